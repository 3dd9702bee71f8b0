//! Pulls: noted in memory, so that no pull waits for the index, and added to it in batches.

mod noted;

use std::net::IpAddr;
use std::time::Instant;

use super::{Registry, Result};
use crate::index::NewPulls;
use crate::oci::{CanonicalDigest, RepositoryName};
pub(super) use noted::Pulls;

impl Registry {
    /// Notes that a client was sent a manifest of a repository.
    pub(super) fn note_pull(
        &self,
        repository: &RepositoryName,
        manifest: &CanonicalDigest,
        client: Option<IpAddr>,
    ) {
        self.pulls.note(repository, manifest, client, Instant::now());
    }

    /// Returns once so many pulls wait that they should be written.
    pub async fn many_pulls(&self) {
        self.pulls.many.notified().await;
    }

    /// Writes the pulls that this process has noted until now. What cannot be written waits for the next time. It goes on
    /// if this future is dropped.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn write_pulls(&self) -> Result<()> {
        let registry = self.clone();
        self.spawn_uncancellable(async move { registry.write_noted().await }).await
    }

    async fn write_noted(&self) -> Result<()> {
        let _alone = self.pulls.writing.lock().await;
        let taken = self.pulls.take();
        let lost = self.pulls.take_lost();
        if lost > 0 {
            tracing::warn!(lost, "failed to note pulls: too many wait to be written");
        }
        if taken.is_empty() {
            return Ok(());
        }
        let new = taken.iter().map(|(repository, manifest, pending)| NewPulls {
            repository: repository.clone(),
            manifest: *manifest,
            count: pending.count,
            age: pending.last.elapsed(),
        });
        let new: Vec<NewPulls> = new.collect();
        let mut written = 0;
        let added = self.index.add_pulls(&new, |done| written = done).await;
        if added.is_err() {
            for (repository, manifest, pending) in &taken[written..] {
                self.pulls.add(repository, *manifest, *pending);
            }
        }
        Ok(added?)
    }
}
