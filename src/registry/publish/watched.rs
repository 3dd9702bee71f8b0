//! What this process knows of publishing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What this process knows of publishing.
pub(in super::super) struct Watched {
    pub(super) domain: String,
    pub(super) is_pending: AtomicBool,
    pub(super) failures: AtomicU64,
}

impl Watched {
    pub(super) fn new(domain: String) -> Self {
        Self { domain, is_pending: AtomicBool::new(true), failures: AtomicU64::new(0) }
    }

    pub(super) fn set_pending(&self, is_pending: bool) {
        self.is_pending.store(is_pending, Ordering::Relaxed);
    }

    pub(super) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}
