//! How many bytes uploads under way take together, and the bound on them.
//!
//! What they have saved is in the index, for all processes; what arrives is counted here until it is saved. The sum of
//! the index is looked up again when it is old, and before anything is refused.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How old the sum of the index may be.
const AGE: Duration = Duration::from_secs(5);

/// What uploads take, as far as this process knows.
#[derive(Default)]
pub(in crate::registry) struct Quota {
    /// What they have saved, and what was on the disk beyond that when it was looked at.
    saved: AtomicU64,
    pub(super) excess: AtomicU64,
    /// What requests of this process have received and not saved.
    arriving: AtomicU64,
    looked: Mutex<Option<Instant>>,
    /// The uploads that are forgotten, but whose bytes could not be removed.
    leftovers: Mutex<HashSet<String>>,
}

impl Quota {
    pub(super) fn total(&self) -> u64 {
        let saved = self.saved.load(Ordering::Relaxed);
        let excess = self.excess.load(Ordering::Relaxed);
        let arriving = self.arriving.load(Ordering::Relaxed);
        saved.saturating_add(excess).saturating_add(arriving)
    }

    pub(super) fn is_old(&self) -> bool {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.is_none_or(|looked| looked.elapsed() > AGE)
    }

    pub(super) fn set_saved(&self, bytes: u64) {
        self.saved.store(bytes, Ordering::Relaxed);
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(super) fn leftovers(&self) -> MutexGuard<'_, HashSet<String>> {
        self.leftovers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one request has received, until this is dropped. Neither saved nor cleared, it is taken to be on the disk
/// still.
pub(super) struct Share {
    quota: Arc<Quota>,
    /// What its upload had before.
    pub(super) base: u64,
    pub(super) bytes: u64,
    is_cleared: AtomicBool,
}

impl Share {
    pub(super) fn new(quota: &Arc<Quota>, base: u64) -> Self {
        let quota = Arc::clone(quota);
        Self { quota, base, bytes: 0, is_cleared: AtomicBool::new(false) }
    }

    pub(super) fn take(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.quota.arriving.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&mut self, bytes: u64) {
        self.bytes -= bytes;
        self.quota.arriving.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts what was received as saved.
    pub(super) fn save(self) {
        self.quota.saved.fetch_add(self.bytes, Ordering::Relaxed);
        self.clear();
    }

    /// Says that what was received is on the disk no more, or is no upload any longer.
    pub(super) fn clear(&self) {
        self.is_cleared.store(true, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if !*self.is_cleared.get_mut() {
            // Looked for before anything is refused for it.
            self.quota.excess.fetch_add(self.bytes, Ordering::Relaxed);
        }
        self.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(end: impl FnOnce(Share)) -> u64 {
        let quota = Arc::<Quota>::default();
        let mut share = Share::new(&quota, 0);
        share.take(7);
        assert_eq!(quota.total(), 7);
        end(share);
        assert_eq!(quota.arriving.load(Ordering::Relaxed), 0);
        quota.total()
    }

    #[test]
    fn what_was_neither_saved_nor_cleared_counts_on() {
        assert_eq!(dropped(drop), 7);
        assert_eq!(dropped(Share::save), 7);
        assert_eq!(dropped(|share| share.clear()), 0);
        let refused = |mut share: Share| {
            share.give_back(7);
        };
        assert_eq!(dropped(refused), 0, "it was not written");
    }
}
