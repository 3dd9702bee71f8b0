//! What this process has renewed of late: since when nothing names a blob or a manifest need not be written at each answer
//! about it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use crate::oci::{Digest, RepositoryName};

/// How many renewals are remembered.
const REMEMBERED: usize = 4096;

/// What this process has renewed of late: it need not be written again at once.
pub(super) struct Renewals {
    /// For how long, in milliseconds.
    lag: AtomicU64,
    done: Cache<(RepositoryName, Digest), Instant>,
}

impl Default for Renewals {
    fn default() -> Self {
        Self { lag: AtomicU64::default(), done: Cache::new(REMEMBERED) }
    }
}

impl Renewals {
    /// Says for how long.
    pub(super) fn set_lag(&self, lag: Duration) {
        let lag = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        self.lag.store(lag, Ordering::Relaxed);
    }

    fn lag(&self) -> Duration {
        Duration::from_millis(self.lag.load(Ordering::Relaxed))
    }

    /// Tells whether what the index has is new enough. Rows come to be with the present time, and times only grow.
    pub(super) fn is_recent(&self, repository: &RepositoryName, digest: &Digest) -> bool {
        let lag = self.lag();
        if lag.is_zero() {
            return false;
        }
        let renewed = self.done.get(&(repository.clone(), *digest));
        renewed.is_some_and(|renewed| renewed.elapsed() < lag)
    }

    /// Notes that it was renewed by a write that began then.
    pub(super) fn note(&self, repository: &RepositoryName, digest: &Digest, begun: Instant) {
        if !self.lag().is_zero() {
            self.done.insert((repository.clone(), *digest), begun);
        }
    }
}
