//! Domains that publish nothing, or cannot be looked up: each request on behalf of such a one would wait for the
//! DNS again.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use crate::dnslink::DnslinkError;
use crate::oci::RootName;

/// How many names are remembered.
const NAMES: usize = 1000;

/// How long a failed look-up counts.
const COUNTS_FOR: Duration = Duration::from_secs(30);

/// The failures of the last half a minute.
pub(super) struct Unpublished(Cache<RootName, (Instant, DnslinkError)>);

impl Default for Unpublished {
    fn default() -> Self {
        Self(Cache::new(NAMES))
    }
}

impl Unpublished {
    /// Returns how the look-up of a name failed, if that was a short while ago.
    pub(super) fn get(&self, name: &RootName) -> Option<DnslinkError> {
        let (failed, error) = self.0.get(name)?;
        (failed.elapsed() < COUNTS_FOR).then_some(error)
    }

    /// Notes how the look-up of a name failed.
    pub(super) fn note(&self, name: &RootName, error: &DnslinkError) {
        self.0.insert(name.clone(), (Instant::now(), error.clone()));
    }
}
