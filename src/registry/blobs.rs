//! Blobs: looking, reading, mounting, deleting.

use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use cid::Cid;
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::federation::{BlobSource, Extent};
use super::intent::Intent;
use super::walk::TREE;
use super::{Registry, RegistryError, Result, layout, not_fetched, now};
use crate::auth::{DeleteGrant, PullGrant, PushGrant};
use crate::index::{BlobBlock, BlobRow, NewBlob};
use crate::ipld::{file, raw_cid};
use crate::oci::{Algorithm, Digest, Hasher, RepositoryName};
use crate::storage::{Content, Edit, Finished, StorageError};

/// How many repositories a mount without a source looks at.
const MOUNT_CANDIDATES: u32 = 100;

/// A blob of a repository.
#[derive(Clone)]
pub struct Blob {
    /// The digest that was requested.
    pub digest: Digest,
    content: Content,
    source: BlobSource,
}

/// Bytes of a blob as they are read; an error ends them, and what came before it is not the whole.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

impl Blob {
    /// How long it is.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.content.size
    }

    /// The root of its file, if that is known: of foreign content in the cache it is not.
    #[must_use]
    pub fn cid(&self) -> Option<&Cid> {
        (!matches!(self.source, BlobSource::Cached(_))).then_some(&self.content.cid)
    }

    /// A blob of this registry.
    pub(super) fn here(digest: Digest, content: Content) -> Self {
        Self { digest, content, source: BlobSource::Here }
    }
}

impl Registry {
    /// Finds a blob of the repository.
    ///
    /// # Errors
    /// [`RegistryError::BlobUnknown`]
    pub async fn stat_blob(&self, grant: &PullGrant, digest: &Digest) -> Result<Blob> {
        self.open_blob(grant, digest, Extent::Nothing).await
    }

    /// Finds a blob of the repository of which so much is going to be read: if it is foreign, and all of
    /// it is requested, it is on its way from here.
    ///
    /// # Errors
    /// [`RegistryError::BlobUnknown`]; [`RegistryError::Remote`]
    pub async fn open_blob(
        &self,
        grant: &PullGrant,
        digest: &Digest,
        extent: Extent,
    ) -> Result<Blob> {
        let repository = grant.repository();
        let digest = *digest;
        if let Some((federation, name)) = self.foreign(grant) {
            if let Some(refusal) = grant.cache_only() {
                let found = federation.cached_blob(name, &digest).await?;
                let (content, source) = found.ok_or_else(|| not_fetched(refusal))?;
                return Ok(Blob { digest, content, source });
            }
            // It is long, and what is this registry's own has no use for it.
            let found = Box::pin(federation.blob(name, repository, &digest, extent)).await?;
            let (content, source) = found;
            return Ok(Blob { digest, content, source });
        }
        let row = self.index.blob(repository, &digest).await?;
        let row = row.ok_or_else(|| RegistryError::BlobUnknown(digest, repository.clone()))?;
        Ok(Blob::here(digest, content(&row)))
    }

    /// Returns a URL from which clients can read a blob themselves, if the operator has set that up.
    #[must_use]
    pub fn blob_location(&self, blob: &Blob) -> Option<String> {
        matches!(blob.source, BlobSource::Here)
            .then(|| self.storage.location(&blob.content))
            .flatten()
    }

    /// Reads a range of a blob that was found by [`Registry::open_blob`]; it is not empty unless the blob is. A
    /// foreign blob is read as it comes: its last bytes follow once the whole was checked, and a range
    /// that ends before is checked block by block.
    ///
    /// # Errors
    /// Those of the storage; [`RegistryError::Remote`] when nothing of it comes in time.
    pub async fn read_blob(&self, blob: &Blob, range: Range<u64>) -> Result<BlobStream> {
        if matches!(blob.source, BlobSource::Here) {
            let bytes = self.storage.open(&blob.content, range).await?;
            return Ok(bytes.map_err(RegistryError::from).boxed());
        }
        let federation = self.federation.as_ref();
        let federation =
            federation.ok_or_else(|| RegistryError::Record("cannot read the blob".to_owned()))?;
        let bytes = federation.read(&blob.source, &blob.content, range).await?;
        Ok(bytes.map_err(RegistryError::from).boxed())
    }

    /// Gives the repository a blob that `from` has. Returns none when it does not.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn mount_blob(
        &self,
        grant: &PushGrant,
        from: &PullGrant,
        digest: &Digest,
    ) -> Result<Option<Blob>> {
        let Some(row) = self.index.blob(from.repository(), digest).await? else { return Ok(None) };
        if !self.index.mount_blob(grant.repository(), digest, now()).await? {
            return Ok(None);
        }
        Ok(Some(Blob::here(*digest, content(&row))))
    }

    /// Lists repositories that a mount without a source may take the blob from, if the client may
    /// pull there.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn mount_candidates(&self, digest: &Digest) -> Result<Vec<RepositoryName>> {
        Ok(self.index.repositories_with_blob(digest, MOUNT_CANDIDATES).await?)
    }

    /// Takes a blob from the repository, under every name.
    ///
    /// # Errors
    /// [`RegistryError::BlobUnknown`]; [`RegistryError::Referenced`] while a manifest names it.
    pub async fn delete_blob(&self, grant: &DeleteGrant, digest: &Digest) -> Result<()> {
        let repository = grant.repository().clone();
        self.commit(Intent::DeleteBlob { repository, digest: *digest }).await
    }

    /// Announces to the storage content that is about to come where the index has it: its client knows that
    /// it lasts, so that a storage which processes share need not make sure of that again, with all others waiting.
    pub(super) async fn recall(&self, digest: &Digest) -> Result<()> {
        let (Some(canonical), Some(storage)) = (digest.canonical(), self.storage.shared()) else {
            return Ok(());
        };
        if self.index.stored_blob(&canonical).await?.is_some()
            || self.index.stored_manifest(&canonical).await?.is_some()
        {
            storage.recall(&canonical);
        }
        Ok(())
    }

    /// Makes the row of content that was just finished. Where other bytes gave way to it, the tree links to it from
    /// then on.
    pub(super) async fn row(&self, finished: &Finished, aliases: Vec<Digest>) -> Result<NewBlob> {
        let content = &finished.content;
        if finished.is_replaced {
            let mut writer = self.index.lock().await?;
            if writer.is_named(&content.canonical).await? {
                let edit = Edit::link(layout::blob_data(&content.canonical), content);
                self.storage.apply(TREE, &[edit]).await?;
            }
        }
        new_blob(finished, aliases)
    }

    /// Computes the sha512 digest of content.
    pub(super) async fn sha512(
        &self,
        content: &Content,
    ) -> std::result::Result<Digest, StorageError> {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        let mut bytes = self.storage.open(content, 0..content.size).await?;
        while let Some(piece) = bytes.next().await {
            hasher.update(&piece?);
        }
        Ok(hasher.finish())
    }
}

/// Reads a row as the storage's word for it.
pub(super) fn content(row: &BlobRow) -> Content {
    Content { canonical: row.canonical, cid: row.cid, size: row.size }
}

/// Makes the row of content, and names for it, without the blocks of its file.
pub(super) fn blob_without_blocks(content: &Content, aliases: Vec<Digest>) -> NewBlob {
    let Content { canonical, cid, size } = *content;
    NewBlob { blob: BlobRow { canonical, cid, size }, aliases, blocks: Vec::new() }
}

/// Makes the row of content that was just finished, with the blocks that its file is made of.
pub(super) fn new_blob(finished: &Finished, aliases: Vec<Digest>) -> Result<NewBlob> {
    let Content { canonical, cid, size } = finished.content;
    let chunk = file::CHUNK_SIZE as u64;
    let mut blocks: Vec<_> = (0..)
        .map(|index| index * chunk)
        .zip(&finished.leaves)
        .map(|(start, leaf)| BlobBlock {
            cid: raw_cid(*leaf),
            start,
            length: chunk.min(size - start),
            node: None,
        })
        .collect();
    if finished.leaves.len() > 1 {
        let interior = file::interior(&finished.leaves, size).map_err(|error| {
            RegistryError::Record(format!("the leaves of {canonical}: {error}"))
        })?;
        blocks.extend(interior.into_iter().map(|node| BlobBlock {
            cid: node.block.cid,
            start: node.offset,
            length: node.length,
            node: Some(node.block.bytes),
        }));
    }
    Ok(NewBlob { blob: BlobRow { canonical, cid, size }, aliases, blocks })
}
