//! Uploads under way, as an operator sees them.

use super::uploads::claimed_since;
use super::{Registry, Result};
use crate::index::IndexErrorKind;
use crate::oci::RepositoryName;

/// An upload that was begun and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadSummary {
    /// Its name.
    pub id: String,
    /// The repository that it is for, where that is known.
    pub repository: Option<RepositoryName>,
    /// How many bytes it takes.
    pub bytes: u64,
    /// How many of them its client can go on from.
    pub saved: u64,
    /// When a client continued it last, in milliseconds since the Unix epoch.
    pub touched: i64,
    /// Whether a request appends to it.
    pub is_active: bool,
}

impl Registry {
    /// Lists uploads under way.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn uploads(&self) -> Result<Vec<UploadSummary>> {
        // What arrived and was not saved, since the disk was full or the process killed, takes space as well.
        let sizes = self.storage.ingest_sizes().await?;
        let rows = self.index.uploads(claimed_since()).await?;
        let uploads = rows.into_iter().map(|row| UploadSummary {
            bytes: row.received.max(sizes.get(&row.id).copied().unwrap_or_default()),
            saved: row.received,
            id: row.id,
            repository: Some(row.repository),
            touched: row.touched,
            is_active: row.is_claimed,
        });
        Ok(uploads.collect())
    }

    /// Forgets an upload with its bytes, and ends the request that goes on with it.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn clear_upload(&self, id: &str) -> Result<()> {
        self.end_upload(id).await;
        // The bytes first: their space may be what the index needs.
        self.discard_upload(id).await?;
        match self.index.remove_upload(id).await {
            // One without bytes is forgotten when its client comes back, or when it expires.
            Err(error) if error.kind == IndexErrorKind::Full => Ok(()),
            removed => removed.map(drop).map_err(Into::into),
        }
    }

    /// Removes the bytes of an upload that is in another process's index: that process forgets it when its client comes
    /// back.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn clear_bytes(&self, id: &str) -> Result<()> {
        Ok(self.storage.discard(id).await?)
    }
}
