//! How many bytes uploads under way take together, and the bound on them.
//!
//! What they have saved is in the index, for all processes; what arrives is counted here until it is saved. The sum of
//! the index is looked up again when it is old, and before anything is refused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::{Registry, RegistryError, Result};

/// How old the sum of the index may be.
const AGE: Duration = Duration::from_secs(5);

/// What uploads take, as far as this process knows.
#[derive(Default)]
pub(in crate::registry) struct Quota {
    /// What they have saved, and what was on the disk beyond that when it was looked at.
    saved: AtomicU64,
    excess: AtomicU64,
    /// What requests of this process have received and not saved.
    arriving: AtomicU64,
    looked: Mutex<Option<Instant>>,
}

impl Quota {
    fn total(&self) -> u64 {
        let saved = self.saved.load(Ordering::Relaxed);
        let excess = self.excess.load(Ordering::Relaxed);
        let arriving = self.arriving.load(Ordering::Relaxed);
        saved.saturating_add(excess).saturating_add(arriving)
    }

    fn is_old(&self) -> bool {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.is_none_or(|looked| looked.elapsed() > AGE)
    }

    fn set_saved(&self, bytes: u64) {
        self.saved.store(bytes, Ordering::Relaxed);
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// What one request has received, until this is dropped.
pub(super) struct Share {
    quota: Arc<Quota>,
    /// What its upload had before.
    base: u64,
    bytes: u64,
}

impl Share {
    pub(super) fn new(registry: &Registry, base: u64) -> Self {
        Self { quota: Arc::clone(&registry.quota), base, bytes: 0 }
    }

    fn take(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.quota.arriving.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&mut self, bytes: u64) {
        self.bytes -= bytes;
        self.quota.arriving.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts what was received as saved.
    pub(super) fn save(self) {
        self.quota.saved.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

impl Registry {
    /// Returns how many bytes uploads under way take.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn upload_bytes(&self) -> Result<u64> {
        self.quota.set_saved(self.index.upload_bytes().await?);
        Ok(self.quota.total())
    }

    /// Counts bytes that a request has received, if there is room for them.
    ///
    /// # Errors
    /// [`RegistryError::UploadTooLarge`], [`RegistryError::UploadsFull`]; those of the index.
    pub(super) async fn admit(&self, share: &mut Share, bytes: u64) -> Result<()> {
        share.take(bytes);
        let room = self.expect_room(share.base.saturating_add(share.bytes), 0).await;
        if room.is_err() {
            share.give_back(bytes);
        }
        room
    }

    /// Fails where an upload of `size` bytes, `more` of which are still to come, does not fit.
    pub(super) async fn expect_room(&self, size: u64, more: u64) -> Result<()> {
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
        let excess = rest.map(|upload| upload.bytes.saturating_sub(upload.saved)).sum();
        self.quota.excess.store(excess, Ordering::Relaxed);
        Ok(())
    }
}
