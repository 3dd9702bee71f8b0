//! The code by which the first administrator is made, while there is no user.

use secrecy::{ExposeSecret, SecretString};

use super::super::connection::{Connection, on};
use super::super::{Index, Result};

/// A code by which the first administrator is made.
#[derive(Debug, Clone)]
pub struct SetupCode {
    /// The name of that administrator.
    pub name: String,
    /// The hash of the code.
    pub hash: SecretString,
}

impl Index {
    /// Stores a code, unless there is a user. It takes the place of an earlier one. Returns whether it was stored.
    pub async fn set_setup_code(&self, code: &SetupCode, now: i64) -> Result<bool> {
        let connection = &mut self.write().await?;
        let stored = on!(connection, "storing a setup code", db => sqlx::query(
            "INSERT INTO setup_code (id, name, hash, created) \
             SELECT 1, $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM principals WHERE kind = 'user') \
             ON CONFLICT (id) DO UPDATE \
             SET name = excluded.name, hash = excluded.hash, created = excluded.created",
        )
        .bind(&code.name)
        .bind(code.hash.expose_secret())
        .bind(now)
        .execute(db)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(stored > 0)
    }

    /// Returns the code; none where there is a user.
    pub async fn setup_code(&self) -> Result<Option<SetupCode>> {
        let connection = &mut self.read().await?;
        let found: Option<(String, String)> = on!(connection, "finding a setup code", db => sqlx::query_as(
            "SELECT name, hash FROM setup_code \
             WHERE id = 1 AND NOT EXISTS (SELECT 1 FROM principals WHERE kind = 'user')",
        )
        .fetch_optional(db)
        .await)?;
        Ok(found.map(|(name, hash)| SetupCode { name, hash: hash.into() }))
    }
}

/// Removes the code. In a change.
pub(super) async fn forget(connection: &mut Connection) -> Result<()> {
    on!(connection, "removing a setup code", db =>
        sqlx::query("DELETE FROM setup_code").execute(db).await.map(drop))
}
