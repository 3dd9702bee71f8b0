//! Requests for a fold of the public tree: those that wait share one, and few follow each other.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Registry, RegistryError, Result};
use crate::oci::TreeId;

/// How long after one fold requests may cause the next.
const PAUSE: Duration = Duration::from_secs(1);

impl Registry {
    /// Returns how often this process has folded changes into a root.
    #[must_use]
    pub fn fold_count(&self) -> u64 {
        self.folds.count.load(Ordering::Relaxed)
    }

    /// Waits for a fold of the public tree that begins after this call, and so has all that was acknowledged before it. All requests
    /// that wait at a time share one; they hold no lock, and dropping one changes nothing.
    ///
    /// # Errors
    /// [`RegistryError::RootBehind`] when it fails or does not end in time.
    pub(super) async fn catch_up(&self) -> Result<()> {
        let mut outcome = self.request_fold();
        let ended = timeout(self.limits.commit_wait, outcome.wait_for(Option::is_some)).await;
        match ended {
            Ok(Ok(outcome)) if *outcome == Some(true) => Ok(()),
            _ => Err(RegistryError::RootBehind),
        }
    }

    fn request_fold(&self) -> watch::Receiver<Option<bool>> {
        let mut requested = self.folds.requested();
        // Its sender lives as long as the task below.
        if let Some(next) = requested.next.as_ref().filter(|next| next.has_changed().is_ok()) {
            return next.clone();
        }
        let (sender, next) = watch::channel(None);
        requested.next = Some(next.clone());
        let begin = requested.ended.map(|ended| ended + PAUSE);
        drop(requested);
        let registry = self.clone();
        self.runtime.spawn(async move {
            if let Some(begin) = begin {
                sleep_until(begin).await;
            }
            let running = registry.folds.running.lock().await;
            // Whatever is acknowledged from here on needs another one.
            registry.folds.requested().next = None;
            let folded = registry.fold_alone(TreeId::Public).await;
            drop(running);
            registry.folds.requested().ended = Some(Instant::now());
            if let Err(error) = &folded {
                tracing::warn!(%error, "failed to update the root");
            }
            sender.send_replace(Some(folded.is_ok()));
        });
        next
    }
}
