//! Signing keys of our tokens, which all processes share.

use secrecy::ExposeSecret;

use super::super::connection::{Connection, on};
use super::super::{Actor, Index, Result};
use super::change::Change;
use super::rows::{Changed, NewSigningKey, SigningKey};

type Row = (String, String, Vec<u8>, i64, Option<i64>);

impl Index {
    /// Lists all signing keys, also those that only verify, the newest first. A process may remember them as long as the
    /// state of the accounts stays.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>> {
        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "listing signing keys", db => sqlx::query_as(
            "SELECT kid, algorithm, private_key, created, retired FROM signing_keys \
             ORDER BY created DESC, kid",
        )
        .fetch_all(db)
        .await)?;
        Ok(rows.into_iter().map(key).collect())
    }

    /// Returns the key that signs by the algorithm of `new`: the one that is there, or `new`, which is stored then. Of
    /// several processes that do so at the same time all get the key of the first.
    pub async fn ensure_signing_key(
        &self,
        new: &NewSigningKey,
        actor: &Actor,
        now: i64,
    ) -> Result<SigningKey> {
        if let Some(current) = current(&mut self.read().await?, &new.algorithm).await? {
            return Ok(current);
        }
        let mut change = self.begin_change(actor, now).await?;
        if let Some(current) = current(change.connection(), &new.algorithm).await? {
            return change.undo(current).await;
        }
        let added = add(&mut change, new).await?;
        change.commit(added).await
    }

    /// Adds `new`, which signs in the place of the key `old` from the time `from` on; returns the newest key of that
    /// algorithm. That is another process's if that one has replaced `old` before.
    pub async fn rotate_signing_key(
        &self,
        old: &str,
        new: &NewSigningKey,
        from: i64,
        actor: &Actor,
        now: i64,
    ) -> Result<SigningKey> {
        let mut change = self.begin_change(actor, now).await?;
        if let Some(current) = current(change.connection(), &new.algorithm).await? {
            if current.key.kid != old {
                return change.undo(current).await;
            }
            retire(&mut change, old, from).await?;
        }
        let added = add(&mut change, new).await?;
        change.commit(added).await
    }

    /// Has a key sign no more, without another in its place. Does nothing where it signs no more already.
    pub async fn retire_signing_key(&self, kid: &str, actor: &Actor, now: i64) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        if !retire(&mut change, kid, now).await? {
            return change.undo(Changed::Unchanged).await;
        }
        change.commit(Changed::Done).await
    }

    /// Removes keys that were retired before `before`: what they signed is no longer accepted. Returns how many went.
    pub async fn remove_retired_keys(&self, before: i64, actor: &Actor, now: i64) -> Result<u64> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let removed: Vec<(String,)> = on!(connection, "removing signing keys", db =>
            sqlx::query_as("DELETE FROM signing_keys WHERE retired < $1 RETURNING kid")
                .bind(before)
                .fetch_all(db)
                .await)?;
        if removed.is_empty() {
            return change.undo(0).await;
        }
        for (kid,) in &removed {
            change.note("key", format!("remove {kid}")).await?;
        }
        change.commit(removed.len() as u64).await
    }
}

/// Finds the key that signs by an algorithm.
async fn current(connection: &mut Connection, algorithm: &str) -> Result<Option<SigningKey>> {
    let found: Option<Row> = on!(connection, "finding a signing key", db => sqlx::query_as(
        "SELECT kid, algorithm, private_key, created, retired FROM signing_keys \
         WHERE algorithm = $1 AND retired IS NULL",
    )
    .bind(algorithm)
    .fetch_optional(db)
    .await)?;
    Ok(found.map(key))
}

/// Has a key that signs do so only before `from`; returns whether there was one.
async fn retire(change: &mut Change<'_>, kid: &str, from: i64) -> Result<bool> {
    let connection = change.connection();
    let retired = on!(connection, "retiring a signing key", db =>
        sqlx::query("UPDATE signing_keys SET retired = $2 WHERE kid = $1 AND retired IS NULL")
            .bind(kid)
            .bind(from)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
    if retired > 0 {
        change.note("key", format!("retire {kid}")).await?;
    }
    Ok(retired > 0)
}

/// Adds a key where none signs by its algorithm, or only one until it is retired.
async fn add(change: &mut Change<'_>, new: &NewSigningKey) -> Result<SigningKey> {
    let created = change.now();
    let connection = change.connection();
    on!(connection, "adding a signing key", db => sqlx::query(
        "INSERT INTO signing_keys (kid, algorithm, private_key, created) VALUES ($1, $2, $3, $4)",
    )
    .bind(&new.kid)
    .bind(&new.algorithm)
    .bind(new.private_key.expose_secret())
    .bind(created)
    .execute(db)
    .await
    .map(drop))?;
    change.note("key", format!("add {} for {}", new.kid, new.algorithm)).await?;
    Ok(SigningKey { key: new.clone(), created, retired: None })
}

fn key((kid, algorithm, private_key, created, retired): Row) -> SigningKey {
    let key = NewSigningKey { kid, algorithm, private_key: private_key.into() };
    SigningKey { key, created, retired }
}
