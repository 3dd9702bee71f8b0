//! This process as the one that mends.

use async_trait::async_trait;

use super::super::{Registry, Result};
use super::fault::{Fault, Mended, Mender};

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
