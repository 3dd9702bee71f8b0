//! What has to be queried elsewhere at a read of the metrics.

use std::time::Duration;

use tokio::task::spawn_blocking;

use super::process::Process;
use crate::registry::{Collected, PublishStatus, Registry};

/// What has to be queried elsewhere.
#[derive(Clone)]
pub(super) struct Counts {
    /// None when the index does not answer.
    pub(super) uploads: Option<u64>,
    pub(super) upload_bytes: Option<u64>,
    /// None when nothing is published, or the index does not answer.
    pub(super) publishing: Option<PublishStatus>,
    /// None when garbage was never collected, or the index does not answer.
    pub(super) collection: Option<(Duration, Collected)>,
    pub(super) process: Option<Process>,
}

impl Counts {
    pub(super) async fn ask(registry: &Registry) -> Self {
        tracing::trace!("read the index for the metrics");
        let uploads = registry.upload_count().await;
        if let Err(error) = &uploads {
            tracing::warn!(%error, "failed to count uploads for the metrics");
        }
        Self {
            uploads: uploads.ok(),
            upload_bytes: registry.upload_bytes().await.ok(),
            publishing: registry.publishing().await.ok().flatten(),
            collection: registry.last_collection().await.ok().flatten(),
            process: spawn_blocking(Process::look).await.ok(),
        }
    }
}
