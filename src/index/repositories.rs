//! Repositories: rows that come into being when something is written for them.

use super::columns::parsed;
use super::connection::{Connection, on};
use super::{Index, Result};
use crate::oci::RepositoryName;

impl Index {
    /// Tells whether the repository has a blob or a manifest.
    pub async fn repository_exists(&self, repository: &RepositoryName) -> Result<bool> {
        let connection = &mut self.read().await?;
        let found: Option<(i64,)> = on!(connection, "finding a repository", db => sqlx::query_as(
            "SELECT id FROM repositories r WHERE name = $1 AND ( \
             EXISTS (SELECT 1 FROM repository_manifests m WHERE m.repository = r.id) \
             OR EXISTS (SELECT 1 FROM repository_blobs b WHERE b.repository = r.id))",
        )
        .bind(repository.as_str())
        .fetch_optional(db)
        .await)?;
        Ok(found.is_some())
    }

    /// Lists repositories that have a manifest, bytewise after `last`, at most `limit`.
    pub async fn repositories(
        &self,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RepositoryName>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(String,)> = on!(connection, "listing repositories", db => sqlx::query_as(
            "SELECT name FROM repositories r WHERE name > $1 AND \
             EXISTS (SELECT 1 FROM repository_manifests m WHERE m.repository = r.id) \
             ORDER BY name LIMIT $2",
        )
        .bind(last.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }
}

/// Returns the number of a repository, which is made if need be.
pub(super) async fn ensure(
    connection: &mut Connection,
    repository: &RepositoryName,
    now: i64,
) -> Result<i64> {
    let name = repository.as_str();
    let found: Option<(i64,)> = on!(connection, "finding a repository", db =>
        sqlx::query_as("SELECT id FROM repositories WHERE name = $1")
            .bind(name)
            .fetch_optional(db)
            .await)?;
    if let Some((id,)) = found {
        return Ok(id);
    }
    let (id,): (i64,) = on!(connection, "creating a repository", db => sqlx::query_as(
        "INSERT INTO repositories (name, created) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
    )
    .bind(name)
    .bind(now)
    .fetch_one(db)
    .await)?;
    Ok(id)
}
