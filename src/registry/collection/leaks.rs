//! Leaks: content that is stored and in no index, as a process leaves it that was killed between the two, or a rebuild.

use std::time::Duration;

use super::super::blobs::blob_without_blocks;
use super::super::{Registry, Result, now};
use super::slice::SLICE;
use crate::oci::CanonicalDigest;
use crate::storage::StorageErrorKind;

/// How many digests are looked up at a time.
const LOOKED_UP: usize = 1000;

/// For how long content in no index may belong to another process that is about to record it.
const RECORDING: Duration = Duration::from_mins(10);

impl Registry {
    /// Lists content that is stored and in no index.
    pub(super) async fn leaks(&self) -> Result<Vec<CanonicalDigest>> {
        let stored = self.storage.contents().await?;
        let mut leaks = Vec::new();
        for part in stored.chunks(LOOKED_UP) {
            let known = self.index.known_among(part).await?;
            leaks.extend(part.iter().filter(|digest| !known.contains(digest)).copied());
        }
        Ok(leaks)
    }

    /// Removes what is stored and in no index. Returns how much.
    pub(super) async fn forget_leaks(&self) -> Result<u64> {
        let leaks = self.leaks().await?;
        if self.storage.shared().is_some() {
            return self.own_leaks(leaks).await;
        }
        let mut count = 0;
        for part in leaks.chunks(SLICE as usize) {
            count += self.forget_unknown(part).await?;
        }
        Ok(count)
    }

    /// Has the next collection take leaks of a storage that processes share: each gets a row, so all processes see that
    /// it is withdrawn. Those that another process may be about to record are left for later.
    async fn own_leaks(&self, leaks: Vec<CanonicalDigest>) -> Result<u64> {
        let age = RECORDING.min(self.limits.collection_grace);
        let mut count = 0;
        for canonical in self.collections.suspects.old(leaks, age) {
            let content = match self.storage.find(&canonical).await {
                Ok(Some(content)) => content,
                Ok(None) => continue,
                Err(error) if error.kind == StorageErrorKind::Damaged => {
                    tracing::warn!(digest = %canonical, %error, "failed to read content that is in no index");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let mut writer = self.index.lock().await?;
            if writer.known_among(&[canonical]).await?.is_empty() {
                writer.put_blob(None, &blob_without_blocks(&content, Vec::new()), now()).await?;
                count += 1;
            }
        }
        Ok(count)
    }
}
