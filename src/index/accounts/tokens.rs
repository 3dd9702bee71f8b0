//! Access tokens: the personal ones of users, and those of robots.

use sqlx::QueryBuilder;

use super::super::columns::damaged;
use super::super::connection::on;
use super::super::{Actor, Index, Result};
use super::principals::{find as find_principal, may_make, principal};
use super::rows::{AccessToken, Changed, FoundToken, NewAccessToken, Principal, TokenFilter};
use super::use_times::INTERVAL;

/// Stands for a token that never expires.
const NEVER: i64 = i64::MAX;

const SELECT: &str = "SELECT id, principal, maker, hash, name, scopes, created, expires, last_used, is_revoked \
     FROM access_tokens ";

type Row =
    (String, i64, Option<i64>, Vec<u8>, String, String, i64, Option<i64>, Option<i64>, Option<i64>);

/// A token, without its id, beside a principal whose rights bound it.
type FoundRow = (
    i64,
    Option<i64>,
    Vec<u8>,
    String,
    String,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    i64,
    String,
    String,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i64>,
);

impl Index {
    /// Finds an access token, valid or not, with its principal and those whose rights bound it.
    pub async fn access_token(&self, id: &str) -> Result<Option<FoundToken>> {
        let connection = &mut self.read().await?;
        let rows: Vec<FoundRow> = on!(connection, "finding an access token", db => sqlx::query_as(
            "SELECT t.principal, t.maker, t.hash, t.name, t.scopes, t.created, t.expires, t.last_used, \
             t.is_revoked, p.id, p.kind, p.name, p.is_admin, p.is_disabled, n.name, p.maker \
             FROM access_tokens t JOIN principals h ON h.id = t.principal \
             JOIN principals p ON p.id IN (t.principal, t.maker, h.maker) \
             LEFT JOIN namespaces n ON n.id = p.namespace WHERE t.id = $1",
        )
        .bind(id)
        .fetch_all(db)
        .await)?;
        let mut token = None;
        let mut bounds: Vec<Principal> = Vec::new();
        for row in rows {
            let (of, maker, hash, name, scopes, created, expires, last_used, is_revoked, ..) = &row;
            if token.is_none() {
                let columns = (
                    id.to_owned(),
                    *of,
                    *maker,
                    hash.clone(),
                    name.clone(),
                    scopes.clone(),
                    *created,
                    *expires,
                    *last_used,
                    *is_revoked,
                );
                token = Some(access_token(columns)?);
            }
            let (.., number, kind, name, is_admin, is_disabled, namespace, maker) = row;
            let columns = (number, kind, name, is_admin, is_disabled, namespace, maker);
            bounds.push(principal(columns)?);
        }
        let Some(token) = token else { return Ok(None) };
        let bound = |id: i64| bounds.iter().find(|it| it.id == id).cloned();
        let principal = bound(token.principal);
        let principal = principal.ok_or_else(|| damaged("finding an access token", "of nobody"))?;
        let maker = token.maker.and_then(bound);
        let robot_maker = principal.maker.and_then(bound);
        Ok(Some(FoundToken { token, principal, maker, robot_maker }))
    }

    /// Lists access tokens by their ids, after `last`, at most `limit`.
    pub async fn access_tokens(
        &self,
        filter: TokenFilter,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AccessToken>> {
        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "listing access tokens", db => {
            let mut select = QueryBuilder::new(SELECT);
            select.push("WHERE id > ").push_bind(last.unwrap_or_default());
            match filter {
                TokenFilter::All => &mut select,
                TokenFilter::Of(id) => select.push(" AND principal = ").push_bind(id),
                TokenFilter::MadeBy(id) => select.push(" AND maker = ").push_bind(id),
            };
            select.push(" ORDER BY id LIMIT ").push_bind(i64::from(limit));
            select.build_query_as().fetch_all(db).await
        })?;
        rows.into_iter().map(access_token).collect()
    }

    /// Adds an access token, whose id is random. Unknown is a principal who is gone or disabled, and a maker who is, or is
    /// a robot.
    pub async fn add_access_token(
        &self,
        token: &NewAccessToken<'_>,
        actor: &Actor,
        now: i64,
    ) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let found = find_principal(connection, token.principal).await?;
        let Some(owner) = found.filter(|owner| !owner.is_disabled) else {
            return change.undo(Changed::Unknown).await;
        };
        if !may_make(connection, token.maker).await? {
            return change.undo(Changed::Unknown).await;
        }
        on!(connection, "adding an access token", db => sqlx::query(
            "INSERT INTO access_tokens \
             (id, principal, hash, name, scopes, maker, created, expires, is_revoked) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)",
        )
        .bind(token.id)
        .bind(token.principal)
        .bind(token.hash.as_slice())
        .bind(token.name)
        .bind(token.scopes)
        .bind(token.maker)
        .bind(now)
        .bind(token.expires.unwrap_or(NEVER))
        .execute(db)
        .await
        .map(drop))?;
        change.note("token", format!("add {} of {}", token.id, owner.name)).await?;
        change.commit(Changed::Done).await
    }

    /// Revokes an access token, for good.
    pub async fn revoke_access_token(&self, id: &str, actor: &Actor, now: i64) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let found: Option<(i64, Option<i64>)> = on!(connection, "finding an access token", db =>
            sqlx::query_as("SELECT principal, is_revoked FROM access_tokens WHERE id = $1")
                .bind(id)
                .fetch_optional(db)
                .await)?;
        let Some((owner, is_revoked)) = found else { return change.undo(Changed::Unknown).await };
        if is_revoked != Some(0) {
            return change.undo(Changed::Unchanged).await;
        }
        on!(connection, "revoking an access token", db =>
            sqlx::query("UPDATE access_tokens SET is_revoked = 1 WHERE id = $1")
                .bind(id)
                .execute(db)
                .await
                .map(drop))?;
        let owner = find_principal(connection, owner).await?;
        let owner = owner.map_or_else(String::new, |owner| owner.name);
        change.note("token", format!("revoke {id} of {owner}")).await?;
        change.commit(Changed::Done).await
    }

    /// Notes that an access token was used, at most once a minute; to be called at each use. A loss of power may take the
    /// note back.
    pub async fn note_token_use(&self, id: &str, now: i64) -> Result<()> {
        if !self.token_uses.is_due(id, now) {
            return Ok(());
        }
        let connection = &mut self.write_hastily().await?;
        on!(connection, "noting the use of an access token", db => sqlx::query(
            "UPDATE access_tokens SET last_used = $2 \
             WHERE id = $1 AND (last_used IS NULL OR last_used <= $3)",
        )
        .bind(id)
        .bind(now)
        .bind(now.saturating_sub(INTERVAL))
        .execute(db)
        .await
        .map(drop))
    }

    /// Removes access tokens that ended before `before`. Returns how many went.
    pub async fn prune_access_tokens(&self, before: i64) -> Result<u64> {
        let connection = &mut self.write().await?;
        on!(connection, "pruning access tokens", db =>
            sqlx::query("DELETE FROM access_tokens WHERE expires < $1")
                .bind(before)
                .execute(db)
                .await
                .map(|done| done.rows_affected()))
    }
}

/// Reads a token. What is not known to be valid is not.
fn access_token(row: Row) -> Result<AccessToken> {
    const DOING: &str = "reading an access token";

    let (id, principal, maker, hash, name, scopes, created, expires, last_used, is_revoked) = row;
    let hash = hash.try_into().map_err(|_| damaged(DOING, "its hash is not 32 bytes long"))?;
    let expires = expires.ok_or_else(|| damaged(DOING, "nothing says when it ends"))?;
    let expires = Some(expires).filter(|expires| *expires != NEVER);
    let is_revoked = is_revoked != Some(0);
    Ok(AccessToken {
        id,
        principal,
        maker,
        hash,
        name,
        scopes,
        created,
        expires,
        last_used,
        is_revoked,
    })
}
