//! Where images are read.

use async_trait::async_trait;
use bytes::Bytes;

use super::error::Result;
use crate::client::{Content, Repository};
use crate::oci::{Descriptor, Digest};

/// The largest manifest in bytes, as the stock registry has it.
pub(super) const LARGEST_MANIFEST: u64 = 4 << 20;

/// One image, or all that an index lists, to be read.
#[async_trait]
pub(crate) trait ImageSource: Send + Sync {
    /// How messages name it.
    fn name(&self) -> String;

    /// Reads the manifest or index that the name stands for. It is looked up once: what is read afterwards is named by
    /// digests.
    async fn root(&self) -> Result<(Descriptor, Bytes)>;

    /// Reads a manifest, whose bytes have the digest and size of the descriptor.
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes>;

    /// Begins to read a blob of the descriptor's size. Its bytes are checked by the caller.
    async fn content(&self, descriptor: &Descriptor) -> Result<Content>;

    /// Lists what refers to a manifest; nothing where that is not known.
    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>>;

    /// Returns the repository that is read, for a registry that can mount from it.
    fn repository(&self) -> Option<&Repository> {
        None
    }
}
