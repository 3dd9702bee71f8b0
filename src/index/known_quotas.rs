//! Whether there are quotas at all, as far as that is known without a query: on SQLite, which one process has, pushes cost
//! none as long as there is no quota.

use std::sync::atomic::{AtomicU8, Ordering};

const UNKNOWN: u8 = 0;
const NONE: u8 = 1;
const SOME: u8 = 2;

/// Whether there are quotas.
#[derive(Debug, Default)]
pub(super) struct KnownQuotas(AtomicU8);

impl KnownQuotas {
    /// Returns whether there are quotas, or may be; none where it is not known.
    pub(super) fn get(&self) -> Option<bool> {
        match self.0.load(Ordering::Acquire) {
            UNKNOWN => None,
            known => Some(known == SOME),
        }
    }

    /// Notes what a query has found, unless one was set meanwhile.
    pub(super) fn note(&self, are_there: bool) {
        let found = if are_there { SOME } else { NONE };
        let _ = self.0.compare_exchange(UNKNOWN, found, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Notes that one is about to be set.
    pub(super) fn set(&self) {
        self.0.store(SOME, Ordering::Release);
    }
}
