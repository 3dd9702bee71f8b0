//! Whether any blob is noted as lost: then an upload looks whether it brings one back.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the index may have lost blobs. Only the process that has the storage to itself relies on it.
pub(in crate::registry) struct LostBlobs(AtomicBool);

impl Default for LostBlobs {
    fn default() -> Self {
        // Until the index was asked.
        Self(AtomicBool::new(true))
    }
}

impl LostBlobs {
    /// Notes that there is one, after the index has it.
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Notes that there is none, before the index is asked.
    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }

    pub(super) fn may_be(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
