//! Where images are written.

use async_trait::async_trait;

use super::error::Result;
use super::plan::{Plan, PlannedManifest};
use crate::client::{Content, Repository};
use crate::oci::Descriptor;

/// How a blob came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Its bytes were sent.
    Sent,
    /// The registry had it in another repository.
    Mounted,
}

/// What an image is written to. Nothing of it is seen under its name before [`Self::finish`].
#[async_trait]
pub(crate) trait ImageTarget: Send + Sync {
    /// Begins with what is to come.
    async fn begin(&self, plan: &Plan) -> Result<()>;

    /// Tells whether it hashes itself what it writes, and fails with [`ImageError::WrongBytes`].
    fn hashes(&self) -> bool {
        false
    }

    /// Tells whether it has a blob, whole.
    async fn has(&self, blob: &Descriptor) -> Result<bool>;

    /// Writes a blob. `from` is the repository that has it, if it is in one.
    async fn put_blob(
        &self,
        blob: &Descriptor,
        content: &Content,
        from: Option<&Repository>,
    ) -> Result<Stored>;

    /// Writes a manifest under its digest. What it names was written before.
    async fn put_manifest(&self, manifest: &PlannedManifest) -> Result<()>;

    /// Writes the root, and its name.
    async fn finish(&self, plan: &Plan) -> Result<()>;
}
