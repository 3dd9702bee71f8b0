//! By which method clients sign in: the same in all processes.

use super::super::connection::{Connection, on};
use super::super::{Actor, Index, Result};
use super::rows::Changed;

impl Index {
    /// Records the method unless one is recorded, and returns the one that is: a process that is configured otherwise must
    /// not serve. Of several processes that do so at the same time all get the method of the first.
    pub async fn ensure_sign_in_method(
        &self,
        method: &str,
        actor: &Actor,
        now: i64,
    ) -> Result<String> {
        if let Some(recorded) = self.sign_in_method().await? {
            return Ok(recorded);
        }
        let mut change = self.begin_change(actor, now).await?;
        if let Some(recorded) = find(change.connection()).await? {
            return change.undo(recorded).await;
        }
        store(change.connection(), method).await?;
        change.note("sign_in_method", method.to_owned()).await?;
        change.commit(method.to_owned()).await
    }

    /// Returns the method that is recorded, if any is.
    pub async fn sign_in_method(&self) -> Result<Option<String>> {
        find(&mut self.read().await?).await
    }

    /// Records another method if `expected` is the one that is recorded; unknown is any other. The state of the accounts
    /// changes, so that a process which is serving by the earlier one notices.
    pub async fn set_sign_in_method(
        &self,
        expected: &str,
        method: &str,
        actor: &Actor,
        now: i64,
    ) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let recorded = find(change.connection()).await?;
        if recorded.as_deref() == Some(method) {
            return change.undo(Changed::Unchanged).await;
        }
        if recorded.as_deref() != Some(expected) {
            return change.undo(Changed::Unknown).await;
        }
        store(change.connection(), method).await?;
        change.note("sign_in_method", method.to_owned()).await?;
        change.commit(Changed::Done).await
    }
}

async fn find(connection: &mut Connection) -> Result<Option<String>> {
    let found: Option<(String,)> = on!(connection, "reading the sign-in method", db =>
        sqlx::query_as("SELECT method FROM sign_in_method WHERE id = 1").fetch_optional(db).await)?;
    Ok(found.map(|(method,)| method))
}

async fn store(connection: &mut Connection, method: &str) -> Result<()> {
    on!(connection, "recording the sign-in method", db => sqlx::query(
        "INSERT INTO sign_in_method (id, method) VALUES (1, $1) \
         ON CONFLICT (id) DO UPDATE SET method = excluded.method",
    )
    .bind(method)
    .execute(db)
    .await
    .map(drop))
}
