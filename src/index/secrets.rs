//! Random keys that all processes of an index share.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use super::columns::damaged;
use super::connection::{Connection, on};
use super::{Index, Result};

impl Index {
    /// Returns the random key of that name, the same for every process that uses this index, at any
    /// time; made when first requested.
    pub async fn secret(&self, name: &str) -> Result<[u8; 32]> {
        if let Some(key) = find(&mut self.read().await?, name).await? {
            return Ok(key);
        }
        let mut connection = self.write().await?;
        make(&mut connection, name).await?;
        let made = find(&mut connection, name).await?;
        made.ok_or_else(|| damaged("making a key", "it is not there"))
    }
}

/// Returns the key of that name, if there is one.
async fn find(connection: &mut Connection, name: &str) -> Result<Option<[u8; 32]>> {
    let found: Option<(Vec<u8>,)> = on!(connection, "reading a key", db =>
        sqlx::query_as("SELECT key FROM secrets WHERE name = $1")
            .bind(name)
            .fetch_optional(db)
            .await)?;
    let Some((key,)) = found else { return Ok(None) };
    let key = key.try_into();
    key.map(Some).map_err(|_| damaged("reading a key", "not 32 bytes long"))
}

/// Makes a key, unless there is one.
async fn make(connection: &mut Connection, name: &str) -> Result<()> {
    let mut key = [0; 32];
    SystemRandom::new().fill(&mut key).expect("the system has random numbers");
    on!(connection, "making a key", db => sqlx::query(
        "INSERT INTO secrets (name, key) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    )
    .bind(name)
    .bind(key.as_slice())
    .execute(db)
    .await
    .map(drop))
}
