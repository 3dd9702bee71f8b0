//! The protected tags that were to be deleted a moment ago: some clients that may not delete a tag move it to a manifest
//! of their own, and delete that.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use crate::oci::{RepositoryName, Tag};

/// How long a refused deletion is remembered, and how many are.
pub(super) const REMEMBERED: Duration = Duration::from_mins(1);
const TAGS: usize = 1000;

/// How often other processes are notified of the same tag, at the most.
const NOTIFIED: Duration = Duration::from_secs(5);

/// These tags, as this process knows them.
pub(in super::super) struct Refused(Cache<(RepositoryName, Tag), Instant>);

impl Default for Refused {
    fn default() -> Self {
        Self(Cache::new(TAGS))
    }
}

impl Refused {
    /// Notes a tag; returns whether others should be notified: they were not of late.
    pub(super) fn note(&self, repository: &RepositoryName, tag: &Tag) -> bool {
        let key = (repository.clone(), tag.clone());
        if self.0.get(&key).is_some_and(|at| at.elapsed() < NOTIFIED) {
            return false;
        }
        self.0.insert(key, Instant::now());
        true
    }

    /// Tells whether that was a moment ago.
    pub(super) fn includes(&self, repository: &RepositoryName, tag: &Tag) -> bool {
        let noted = self.0.get(&(repository.clone(), tag.clone()));
        noted.is_some_and(|at| at.elapsed() < REMEMBERED)
    }
}
