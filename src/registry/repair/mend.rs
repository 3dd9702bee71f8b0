//! This process as the one that mends, and what it knows of lost blobs.

use async_trait::async_trait;

use super::super::{Registry, Result};
use super::fault::{Fault, Mended, Mender};
use crate::oci::CanonicalDigest;

#[async_trait]
impl Mender for Registry {
    async fn mend(&self, fault: &Fault) -> Result<Mended> {
        let (registry, fault) = (self.clone(), fault.clone());
        self.spawn_uncancellable(async move {
            let mended = match &fault {
                Fault::Content(canonical) => Box::pin(registry.mend_content(canonical)).await?,
                Fault::Names(repository) => Box::pin(registry.mend_names(repository)).await?,
            };
            for finding in &mended.done {
                tracing::info!(about = finding.about, what = finding.what, "mended");
            }
            for finding in &mended.left {
                tracing::warn!(about = finding.about, why = finding.what, "failed to mend");
            }
            Ok(mended)
        })
        .await
    }
}

impl Registry {
    /// Asks the index whether there are lost blobs, so that uploads need not ask each time. To be called after the start.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn look_for_lost_blobs(&self) -> Result<()> {
        self.lost_blobs.clear();
        // One that is noted from here on is found, or stays noted.
        let lost = self.index.lost_blobs().await;
        if !matches!(&lost, Ok(lost) if lost.is_empty()) {
            self.lost_blobs.note();
        }
        Ok(lost.map(drop)?)
    }

    /// Returns whether a blob is noted as lost.
    pub(in crate::registry) async fn is_lost(&self, canonical: &CanonicalDigest) -> Result<bool> {
        Ok(self.lost_blobs.may_be() && self.index.is_lost(canonical).await?)
    }
}
