//! Content in no index, which another process may be about to record.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::oci::CanonicalDigest;

/// What was found in no index, and when first.
#[derive(Default)]
pub(super) struct Suspects(Mutex<HashMap<CanonicalDigest, Instant>>);

impl Suspects {
    /// Returns those of what was found that have been so for that long, and remembers the others.
    pub(super) fn old(&self, found: Vec<CanonicalDigest>, age: Duration) -> Vec<CanonicalDigest> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: HashSet<CanonicalDigest> = found.iter().copied().collect();
        known.retain(|digest, _| all.contains(digest));
        let old = |digest: &CanonicalDigest| {
            let since = known.entry(*digest).or_insert_with(Instant::now);
            since.elapsed() >= age
        };
        found.into_iter().filter(old).collect()
    }
}
