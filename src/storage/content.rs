//! Content: bytes by their digest.

use std::ops::Range;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cid::Cid;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::permission::Always;
use super::{ByteStream, Permission, Result, SourceFolder, StorageErrorKind, TreePath};
use crate::oci::CanonicalDigest;

/// How many contents are looked for at a time.
const LOOKUPS: usize = 16;

/// Stored content, as the index remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// The sha256 of the bytes.
    pub canonical: CanonicalDigest,
    /// The CID of the bytes as a UnixFS file.
    pub cid: Cid,
    /// In bytes.
    pub size: u64,
}

/// What an ingest came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The content, which is stored from now on.
    pub content: Content,
    /// The sha256 digests of its leaves in order, of 1 MiB each but the last.
    pub leaves: Vec<[u8; 32]>,
    /// Whether other bytes were stored as this content before. A tree that links to them does so still.
    pub is_replaced: bool,
}

/// What taking in a file came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The content, which is stored from now on.
    pub finished: Finished,
    /// Whether it shares its bytes with the file.
    pub is_linked: bool,
}

/// Stored content, by its digest.
#[async_trait]
pub trait ContentStore: Send + Sync {
    /// Takes a file of a folder in as content of that digest, durably: linked to it where that is
    /// possible, else copied. Repeating it succeeds.
    ///
    /// # Errors
    /// [`StorageErrorKind::NotFound`](super::StorageErrorKind::NotFound) when there is no file, [`StorageErrorKind::Damaged`](super::StorageErrorKind::Damaged) when it
    /// cannot be read, [`StorageErrorKind::DigestMismatch`](super::StorageErrorKind::DigestMismatch), whose context is the digest that it has.
    async fn import(
        &self,
        source: &SourceFolder,
        path: &TreePath,
        expected: &CanonicalDigest,
    ) -> Result<Taken>;

    /// Reads a range of content, which must lie within its size.
    ///
    /// # Errors
    /// [`StorageErrorKind::NotFound`](super::StorageErrorKind::NotFound) when it is absent, [`StorageErrorKind::Damaged`](super::StorageErrorKind::Damaged) when its
    /// length is not the recorded one.
    async fn open(&self, content: &Content, range: Range<u64>) -> Result<ByteStream>;

    /// Reads a part of content that is a block by itself: the bytes of that range, whose CID is known.
    ///
    /// # Errors
    /// As [`ContentStore::open`].
    async fn leaf(&self, content: &Content, range: Range<u64>, _cid: &Cid) -> Result<Bytes> {
        let length = range.end - range.start;
        let mut pieces = self.open(content, range).await?;
        let mut all = BytesMut::new();
        while let Some(piece) = pieces.try_next().await? {
            // One that is a single piece is not copied.
            if all.is_empty() && piece.len() as u64 == length {
                return Ok(piece);
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// Returns whether the content is stored, with its size.
    async fn contains(&self, content: &Content) -> Result<bool>;

    /// The same of several, in their order, each with a failure of its own.
    ///
    /// # Errors
    /// When none could be looked for.
    async fn contain(&self, contents: Vec<Content>) -> Result<Vec<Result<bool>>> {
        let look = |content: Content| async move { self.contains(&content).await };
        Ok(stream::iter(contents).map(look).buffered(LOOKUPS).collect().await)
    }

    /// Forgets content; what a tree links to stays there. Repeating it succeeds.
    async fn forget(&self, canonicals: &[CanonicalDigest]) -> Result<()> {
        self.forget_if(canonicals, &mut Always).await
    }

    /// The same with leave that may be lost meanwhile: it is asked for right before anything goes.
    ///
    /// # Errors
    /// [`StorageErrorKind::Unavailable`](super::StorageErrorKind::Unavailable) when it was lost, after which the rest is there still.
    async fn forget_if(
        &self,
        canonicals: &[CanonicalDigest],
        permission: &mut dyn Permission,
    ) -> Result<()>;

    /// Lists the stored content, in no order.
    async fn contents(&self) -> Result<Vec<CanonicalDigest>>;

    /// Reads stored content as a whole and computes what it is.
    ///
    /// # Errors
    /// [`StorageErrorKind::NotFound`](super::StorageErrorKind::NotFound) when it is not stored.
    async fn verify(&self, canonical: &CanonicalDigest) -> Result<Content>;

    /// The same; none when it is not stored.
    async fn find(&self, canonical: &CanonicalDigest) -> Result<Option<Content>> {
        match self.verify(canonical).await {
            Err(error) if error.kind == StorageErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }
}
