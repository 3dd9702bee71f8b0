//! Foreign content for clients that nothing is looked up or fetched for: what is in the cache, below roots that
//! are known.

use std::sync::Arc;

use super::super::{Result, layout};
use super::blobs::{as_source, cached_blob};
use super::foreign_repository::ForeignRepository;
use super::foreign_repository::label;
use super::{BlobSource, Federation, Role};
use crate::index::ManifestRow;
use crate::oci::{CanonicalDigest, Digest, ForeignName, Reference, RepositoryName};
use crate::remote::{collect, read_cached};
use crate::storage::{Content, TreePath};

impl Federation {
    /// Finds a manifest in the cache.
    pub(in super::super) async fn cached_manifest(
        &self,
        name: &ForeignName,
        reference: &Reference,
    ) -> Result<Option<ManifestRow>> {
        self.roots.allow(&name.root)?;
        let (canonical, digest) = match reference {
            Reference::Digest(digest) => {
                if let Some(found) = self.remembered_manifest(name, digest).await? {
                    return Ok(Some(found));
                }
                let link = |name: &RepositoryName| layout::revision_link(name, digest);
                (self.known_link(name, link).await, Some(*digest))
            }
            Reference::Tag(tag) => {
                let link = |name: &RepositoryName| layout::tag_current_link(name, tag);
                (self.known_link(name, link).await, None)
            }
        };
        let Some(canonical) = canonical else { return Ok(None) };
        let Some(cached) = self.cache.find(&canonical).await else { return Ok(None) };
        self.check_limit(&canonical, cached.size)?;
        let bytes = collect(read_cached(cached.file, 0..cached.size)).await?;
        super::manifests::row(digest.unwrap_or(canonical.into()), canonical, bytes).await.map(Some)
    }

    /// Finds a blob in the cache.
    pub(in super::super) async fn cached_blob(
        &self,
        name: &ForeignName,
        digest: &Digest,
    ) -> Result<Option<(Content, BlobSource)>> {
        self.roots.allow(&name.root)?;
        let canonical = match digest.canonical() {
            Some(canonical) => {
                let cached = self.remembered(&label(name), Role::Blob, &canonical).await;
                if let Some(cached) = cached {
                    return Ok(Some(as_source(cached_blob(canonical, cached))));
                }
                self.known_link(name, |name| layout::layer_link(name, digest)).await
            }
            None => self.known_link(name, |name| layout::layer_link(name, digest)).await,
        };
        let Some(canonical) = canonical else { return Ok(None) };
        let Some(cached) = self.cache.find(&canonical).await else { return Ok(None) };
        let (content, fetched) = cached_blob(canonical, cached);
        if digest.canonical() != Some(canonical) {
            self.verify(&content, &fetched, digest).await?;
        }
        Ok(Some(as_source((content, fetched))))
    }

    /// Reads a link below a root that is known, if it was read before.
    async fn known_link(
        &self,
        name: &ForeignName,
        path: impl Fn(&RepositoryName) -> TreePath,
    ) -> Option<CanonicalDigest> {
        let located = self.roots.recall(&name.root).await?;
        ForeignRepository::new(name, located, Arc::clone(&self.answers)).known_link(path).await
    }
}
