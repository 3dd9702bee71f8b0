//! Whether a thread does the background work of the cache.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Whether a thread is at work.
#[derive(Default)]
pub(super) struct Cleaner {
    is_busy: Mutex<bool>,
    idle: Condvar,
    /// Whether the cache is closed.
    pub(super) is_closed: AtomicBool,
}

impl Cleaner {
    /// Waits until no thread is at work, at most so long.
    pub(super) fn wait(&self, longest: Duration) {
        let is_busy = self.is_busy.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.idle.wait_timeout_while(is_busy, longest, |is_busy| *is_busy);
    }

    /// Notes that a thread begins to work, unless one is at work.
    pub(super) fn begin(&self) -> bool {
        let mut is_busy = self.is_busy.lock().unwrap_or_else(PoisonError::into_inner);
        !std::mem::replace(&mut *is_busy, true)
    }

    pub(super) fn end(&self) {
        *self.is_busy.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.idle.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}
