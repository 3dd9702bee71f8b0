//! Blobs: looking, reading, mounting, deleting.

use std::ops::Range;

use futures_util::StreamExt;

use super::intent::Intent;
use super::{Registry, RegistryError, Result, now};
use crate::auth::{DeleteGrant, PullGrant, PushGrant};
use crate::index::{BlobBlock, BlobRow, NewBlob};
use crate::ipld::{file, raw_cid};
use crate::oci::{Algorithm, Digest, Hasher, RepositoryName};
use crate::storage::{ByteStream, Content, Finished, StorageError};

/// How many repositories a mount without a source looks at.
const MOUNT_CANDIDATES: u32 = 100;

/// A blob of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// The name that it was asked by.
    pub digest: Digest,
    /// What the storage knows it as.
    pub content: Content,
}

impl Registry {
    /// Finds a blob of the repository.
    ///
    /// # Errors
    /// [`RegistryError::BlobUnknown`]
    pub async fn stat_blob(&self, grant: &PullGrant, digest: &Digest) -> Result<Blob> {
        let repository = grant.repository();
        let row = self.index.blob(repository, digest).await?;
        let row = row.ok_or_else(|| RegistryError::BlobUnknown(*digest, repository.clone()))?;
        Ok(Blob { digest: *digest, content: content(&row) })
    }

    /// Returns a URL from which clients can read a blob themselves, if the operator has set that up.
    #[must_use]
    pub fn blob_location(&self, blob: &Blob) -> Option<String> {
        self.storage.location(&blob.content)
    }

    /// Reads a range of a blob that was found by [`Registry::stat_blob`].
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn read_blob(&self, blob: &Blob, range: Range<u64>) -> Result<ByteStream> {
        Ok(self.storage.open(&blob.content, range).await?)
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
        Ok(Some(Blob { digest: *digest, content: content(&row) }))
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
        self.commit(Intent::DeleteBlob { repository, digest: *digest }, None).await
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
pub(super) fn named_blob(content: &Content, aliases: Vec<Digest>) -> NewBlob {
    let Content { canonical, cid, size } = *content;
    NewBlob { blob: BlobRow { canonical, cid, size }, aliases, blocks: Vec::new() }
}

/// Makes the row of content that was just finished, with the blocks that its file is made of.
pub(super) fn new_blob(finished: &Finished, aliases: Vec<Digest>) -> Result<NewBlob> {
    let Content { canonical, cid, size } = finished.content;
    let chunk = file::CHUNK_SIZE as u64;
    let mut blocks: Vec<_> = (0..)
        .map(|place| place * chunk)
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
