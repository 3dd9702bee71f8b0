//! Since when nothing of a repository names its blob or its manifest, and who has learned since that it is there.
//!
//! The databases note the times by triggers (migration 12), by their own clock. A client that learns that a repository
//! has a blob need not send it: so each such answer moves the time to now, before it is given.

use std::time::{Duration, Instant};

use super::columns::parsed;
use super::connection::{Connection, on};
use super::{
    BlobRow, Index, IndexErrorKind, Lookup, ManifestRow, Result, Writer, blobs, manifests,
};
use crate::oci::{CanonicalDigest, Digest, RepositoryName};

impl Index {
    /// Says how much earlier than the last answer about it the time of a blob or manifest may be in the index, so that
    /// many answers about one cost a single write. Zero until this is called. Whoever removes what is old has to allow
    /// for it.
    pub fn set_renewal_lag(&self, lag: Duration) {
        self.renewals.set_lag(lag);
    }

    /// Finds a blob for a client, as [`Index::blob`] does. One that no manifest of the repository names is unreferenced
    /// since now, when this returns.
    pub async fn renewed_blob(
        &self,
        repository: impl Into<Lookup<'_>>,
        digest: &Digest,
    ) -> Result<Option<BlobRow>> {
        let lookup = repository.into();
        let Some(found) = self.found_blob(lookup, digest).await? else { return Ok(None) };
        if !found.is_unreferenced || self.renewals.is_recent(lookup.repository, digest) {
            return Ok(Some(found.row));
        }
        let begun = Instant::now();
        if renew_named(&mut self.write().await?, lookup.repository, digest).await? {
            self.renewals.note(lookup.repository, digest, begun);
            return Ok(Some(found.row));
        }
        // A manifest names it by now, or it is gone: what is in memory may be older than that.
        let found = blobs::find(&mut self.read().await?, lookup.repository, digest).await?;
        Ok(found.map(|found| found.row))
    }

    /// Finds a manifest by a digest for a client, as [`Index::manifest`] does. One that no tag and no index of the
    /// repository names is untagged since now, when this returns.
    pub async fn renewed_manifest(
        &self,
        repository: impl Into<Lookup<'_>>,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>> {
        let lookup = repository.into();
        let Some(found) = self.found_manifest(lookup, digest).await? else { return Ok(None) };
        if !found.is_untagged || self.renewals.is_recent(lookup.repository, digest) {
            return Ok(Some(found.row));
        }
        let begun = Instant::now();
        let renewed = match self.write().await {
            Ok(mut connection) => renew_manifest(&mut connection, lookup.repository, digest).await,
            Err(error) => Err(error),
        };
        match renewed {
            Ok(true) => self.renewals.note(lookup.repository, digest, begun),
            Ok(false) => {
                let connection = &mut self.read().await?;
                let found = manifests::find(connection, lookup.repository, digest).await?;
                return Ok(found.map(|found| found.row));
            }
            // Pulls go on, and nothing can be pushed that would rely on it.
            Err(error) if matches!(error.kind, IndexErrorKind::Full | IndexErrorKind::ReadOnly) => {
                tracing::debug!(%error, "failed to renew a manifest");
            }
            Err(error) => return Err(error),
        }
        Ok(Some(found.row))
    }
}

#[cfg(test)]
impl Index {
    /// Makes everything that nothing names older by so many milliseconds, as if that time had passed.
    pub(crate) async fn age_unreferenced(&self, milliseconds: i64) -> Result<()> {
        let connection = &mut self.write().await?;
        for update in [
            "UPDATE repository_blobs SET unreferenced_since = unreferenced_since - $1",
            "UPDATE manifests SET unowned_since = unowned_since - $1",
        ] {
            on!(connection, "making blobs older", db =>
                sqlx::query(update).bind(milliseconds).execute(db).await.map(drop))?;
        }
        Ok(())
    }
}

impl Index {
    /// Lists manifests of a repository that no tag and no index has named since before that time, by digest, at most
    /// `limit`. One that refers to a manifest of the repository is not among them.
    pub async fn untagged_of(
        &self,
        repository: &RepositoryName,
        before: i64,
        limit: u32,
    ) -> Result<Vec<CanonicalDigest>> {
        untagged(&mut self.read().await?, repository, before, None, limit).await
    }
}

impl Writer {
    /// Tells whether a manifest of a repository is among [`Index::untagged_of`].
    pub async fn is_untagged_before(
        &mut self,
        repository: &RepositoryName,
        manifest: &CanonicalDigest,
        before: i64,
    ) -> Result<bool> {
        let found = untagged(self.connection(), repository, before, Some(manifest), 1).await?;
        Ok(!found.is_empty())
    }
}

/// Lists manifests that have been untagged since before that time, and refer to none that is there: all, or only one.
async fn untagged(
    connection: &mut Connection,
    repository: &RepositoryName,
    before: i64,
    only: Option<&CanonicalDigest>,
    limit: u32,
) -> Result<Vec<CanonicalDigest>> {
    let rows: Vec<(String,)> = on!(connection, "listing manifests without a tag", db => sqlx::query_as(
        "SELECT m.canonical FROM repositories r JOIN repository_manifests m ON m.repository = r.id \
         WHERE r.name = $1 AND m.untagged_since < $2 \
         AND (CAST($3 AS TEXT) IS NULL OR m.canonical = $3) AND NOT EXISTS ( \
         SELECT 1 FROM manifest_edges e CROSS JOIN manifest_names n \
         WHERE e.repository = m.repository AND e.canonical = m.canonical AND e.kind = 'subject' \
         AND n.repository = e.repository AND n.digest = e.target) \
         ORDER BY m.canonical LIMIT $4",
    )
    .bind(repository.as_str())
    .bind(before)
    .bind(only.map(ToString::to_string))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await)?;
    rows.iter().map(|(digest,)| parsed(digest)).collect()
}

/// Moves the time of a blob to now, if it has one; returns whether it had.
async fn renew_named(
    connection: &mut Connection,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<bool> {
    let update = format!(
        "UPDATE repository_blobs SET unreferenced_since = {} WHERE digest = $2 \
         AND unreferenced_since IS NOT NULL \
         AND repository = (SELECT id FROM repositories WHERE name = $1)",
        connection.clock(),
    );
    let renewed = on!(connection, "renewing a blob", db => sqlx::query(sqlx::AssertSqlSafe(update))
        .bind(repository.as_str())
        .bind(digest.to_string())
        .execute(db)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(renewed > 0)
}

async fn renew_manifest(
    connection: &mut Connection,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<bool> {
    let update = format!(
        "UPDATE repository_manifests SET untagged_since = {} WHERE untagged_since IS NOT NULL \
         AND repository = (SELECT id FROM repositories WHERE name = $1) \
         AND canonical = (SELECT n.canonical FROM manifest_names n JOIN repositories r ON r.id = n.repository \
         WHERE r.name = $1 AND n.digest = $2)",
        connection.clock(),
    );
    let renewed = on!(connection, "renewing a manifest", db => sqlx::query(sqlx::AssertSqlSafe(update))
        .bind(repository.as_str())
        .bind(digest.to_string())
        .execute(db)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(renewed > 0)
}
