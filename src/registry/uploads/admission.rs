//! Whether what an upload sends fits into the quota.

use std::sync::atomic::Ordering;

use super::super::{Registry, RegistryError, Result};
use super::quota::Share;

impl Registry {
    /// Returns how many bytes uploads under way take.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn upload_bytes(&self) -> Result<u64> {
        self.quota.set_saved(self.index.upload_bytes().await?);
        Ok(self.quota.total())
    }

    /// Counts bytes that a request has received, if the quota allows them.
    ///
    /// # Errors
    /// [`RegistryError::UploadTooLarge`], [`RegistryError::UploadsFull`]; those of the index.
    pub(super) async fn admit(&self, share: &mut Share, bytes: u64) -> Result<()> {
        share.take(bytes);
        let admitted = self.check_quota(share.base.saturating_add(share.bytes), 0).await;
        if admitted.is_err() {
            share.give_back(bytes);
        }
        admitted
    }

    /// Fails where an upload of `size` bytes, `more` of which are still to come, does not fit.
    pub(super) async fn check_quota(&self, size: u64, more: u64) -> Result<()> {
        let limit = self.limits.upload_bytes;
        if size > limit {
            return Err(RegistryError::UploadTooLarge { limit });
        }
        let is_over = || self.quota.total().saturating_add(more) > limit;
        if self.quota.is_old() || is_over() {
            self.upload_bytes().await?;
        }
        if is_over() && self.quota.excess.load(Ordering::Relaxed) > 0 {
            self.measure_excess().await?;
        }
        if is_over() { Err(RegistryError::UploadsFull) } else { Ok(()) }
    }

    /// Looks for what is on the disk beyond what uploads have saved, as a process leaves it that is killed.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub(super) async fn measure_excess(&self) -> Result<()> {
        let uploads = self.uploads().await?;
        let rest = uploads.iter().filter(|upload| self.ongoing.current(&upload.id).is_none());
        let mut excess: u64 = rest.map(|upload| upload.bytes.saturating_sub(upload.saved)).sum();
        let leftovers = self.quota.leftovers().clone();
        if !leftovers.is_empty() {
            let sizes = self.storage.ingest_sizes().await?;
            excess += leftovers.iter().filter_map(|id| sizes.get(id)).sum::<u64>();
        }
        self.quota.excess.store(excess, Ordering::Relaxed);
        Ok(())
    }
}
