//! Blobs whose bytes are lost: they have their rows still, and are absent for clients until they are pushed again.
//!
//! `blobs.state` says it. Whatever records the same content as stored makes it `live` again.

use super::columns::parsed;
use super::connection::on;
use super::{BlobRow, Index, Lookup, Result, Writer, blobs};
use crate::oci::{CanonicalDigest, Digest};

impl Index {
    /// Finds a blob that the repository has under that very name, also where its bytes are lost. It is never answered from
    /// memory.
    pub async fn recorded_blob(
        &self,
        repository: impl Into<Lookup<'_>>,
        digest: &Digest,
    ) -> Result<Option<BlobRow>> {
        let lookup = repository.into();
        blobs::find_recorded(&mut self.read().await?, lookup.repository, digest).await
    }

    /// Lists the blobs whose bytes are lost, ordered by digest as text.
    pub async fn lost_blobs(&self) -> Result<Vec<CanonicalDigest>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(String,)> = on!(connection, "listing lost blobs", db => sqlx::query_as(
            "SELECT digest FROM blobs WHERE state = 'lost' ORDER BY digest",
        )
        .fetch_all(db)
        .await)?;
        rows.iter().map(|(digest,)| parsed(digest)).collect()
    }

    /// Returns whether the bytes of a blob are lost.
    pub async fn is_lost(&self, digest: &CanonicalDigest) -> Result<bool> {
        let connection = &mut self.read().await?;
        let found: Option<(String,)> = on!(connection, "finding a lost blob", db => sqlx::query_as(
            "SELECT digest FROM blobs WHERE digest = $1 AND state = 'lost'",
        )
        .bind(digest.to_string())
        .fetch_optional(db)
        .await)?;
        Ok(found.is_some())
    }
}

impl Writer {
    /// Notes whether the bytes of a stored blob are lost. Returns false, changing nothing, where that is noted already, or
    /// there is no such blob.
    pub async fn set_lost(&mut self, digest: &CanonicalDigest, is_lost: bool) -> Result<bool> {
        let (from, to) = if is_lost { ("live", "lost") } else { ("lost", "live") };
        self.write(async |connection| {
            on!(connection, "noting whether a blob is lost", db => {
                sqlx::query("UPDATE blobs SET state = $3 WHERE digest = $1 AND state = $2")
                    .bind(digest.to_string())
                    .bind(from)
                    .bind(to)
                    .execute(db)
                    .await
                    .map(|done| done.rows_affected() > 0)
            })
        })
        .await
    }
}
