//! The state of the folds of this process: the one under way, and the next one that requests wait for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

/// The folds of this process.
#[derive(Default)]
pub(super) struct Folds {
    /// Locked by the fold under way.
    pub(super) running: tokio::sync::Mutex<()>,
    requested: Mutex<Requested>,
    pub(super) count: AtomicU64,
}

/// What requests have caused.
#[derive(Default)]
pub(super) struct Requested {
    /// The outcome of the fold that has not begun yet: whether it succeeded, once it has ended.
    pub(super) next: Option<watch::Receiver<Option<bool>>>,
    /// When the last one ended.
    pub(super) ended: Option<Instant>,
}

impl Folds {
    /// Counts a fold.
    pub(super) fn note(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn requested(&self) -> MutexGuard<'_, Requested> {
        self.requested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
