//! The protected tags that were to be deleted a moment ago: some clients that may not delete a tag move it to a manifest
//! of their own, and delete that.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use crate::oci::{RepositoryName, Tag};

/// How long a refused deletion is remembered, and how many are.
const REMEMBERED: Duration = Duration::from_mins(1);
const TAGS: usize = 1000;

/// These tags, as this process knows them.
pub(in super::super) struct Refused(Cache<(RepositoryName, Tag), Instant>);

impl Default for Refused {
    fn default() -> Self {
        Self(Cache::new(TAGS))
    }
}

impl Refused {
    /// Notes a tag.
    pub(super) fn note(&self, repository: &RepositoryName, tag: &Tag) {
        self.0.insert((repository.clone(), tag.clone()), Instant::now());
    }

    /// Tells whether that was a moment ago.
    pub(super) fn includes(&self, repository: &RepositoryName, tag: &Tag) -> bool {
        let noted = self.0.get(&(repository.clone(), tag.clone()));
        noted.is_some_and(|at| at.elapsed() < REMEMBERED)
    }
}
