//! Reading long files to prove them: each once for all callers at the same time, and few at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::oci::CanonicalDigest;

/// How many files are read at a time.
const AT_A_TIME: usize = 4;

/// The proofs under way.
pub(super) struct Proofs {
    reading: Mutex<HashMap<CanonicalDigest, Weak<AsyncMutex<()>>>>,
    permits: Arc<Semaphore>,
}

/// The permit to read a file; keep it to the end of the work, also when the request is gone.
pub(super) struct Proof {
    _alone: OwnedMutexGuard<()>,
    _permit: OwnedSemaphorePermit,
}

impl Default for Proofs {
    fn default() -> Self {
        Self { reading: Mutex::default(), permits: Arc::new(Semaphore::new(AT_A_TIME)) }
    }
}

impl Proofs {
    /// Waits until no other task reads that content, and not too many others are read.
    pub(super) async fn begin(&self, digest: &CanonicalDigest) -> Proof {
        let alone = self.lock(digest).lock_owned().await;
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        Proof { _alone: alone, _permit: permit.expect("it is never closed") }
    }

    fn lock(&self, digest: &CanonicalDigest) -> Arc<AsyncMutex<()>> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = reading.get(digest).and_then(Weak::upgrade) {
            return lock;
        }
        reading.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(AsyncMutex::default());
        reading.insert(*digest, Arc::downgrade(&lock));
        lock
    }
}
