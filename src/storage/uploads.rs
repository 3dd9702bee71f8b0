//! Uploads on their way into the content.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Finished, Result};
use crate::oci::Digest;

/// Uploads under way, each by its name.
#[async_trait]
pub trait UploadStore: Send + Sync {
    /// Begins to take content in, under a name that is not in use; a later [`UploadStore::resume`]
    /// finds it by that name.
    async fn begin(&self, id: &str) -> Result<Box<dyn Ingest>>;

    /// Goes on at a checkpoint of [`Ingest::checkpoint`], at which `offset` bytes had been
    /// appended; what was appended later is dropped. A checkpoint that cannot be read (of another
    /// version) costs a second reading of the bytes, or, where they are nowhere as a whole, the upload.
    ///
    /// # Errors
    /// [`StorageErrorKind::NotFound`](super::StorageErrorKind::NotFound) when the bytes are no longer there, or cannot be found.
    async fn resume(&self, id: &str, offset: u64, checkpoint: &[u8]) -> Result<Box<dyn Ingest>>;

    /// Drops what an unfinished ingest has stored. Repeating it succeeds.
    async fn discard(&self, id: &str) -> Result<()>;

    /// Lists the names of unfinished ingests that have stored anything.
    async fn ingests(&self) -> Result<Vec<String>>;

    /// Returns how many bytes unfinished ingests have stored, where more may be stored than was saved.
    async fn ingest_sizes(&self) -> Result<HashMap<String, u64>>;
}

/// Content on its way in. Dropping it leaves what a checkpoint can go on from.
#[async_trait]
pub trait Ingest: Send {
    /// Appends bytes; waits while earlier ones are being written, so that memory stays constant.
    /// After an error only [`UploadStore::discard`] or an earlier checkpoint helps.
    async fn append(&mut self, bytes: Bytes) -> Result<()>;

    /// How many bytes were appended.
    fn offset(&self) -> u64;

    /// Returns what [`UploadStore::resume`] needs to go on from here, at most 150 KB. Everything
    /// appended so far survives a killed process.
    async fn checkpoint(&mut self) -> Result<Vec<u8>>;

    /// Does that part of [`Ingest::finish`] with the same digest which may take long, and stores nothing under a digest:
    /// to hash the bytes by sha512 they are read once more. Only `finish` may follow.
    ///
    /// # Errors
    /// [`StorageErrorKind::DigestMismatch`](super::StorageErrorKind::DigestMismatch), after which an earlier checkpoint can be gone on from.
    async fn prepare(&mut self, expected: &Digest) -> Result<()>;

    /// Ends the ingest: content of the expected digest is stored, durably. Where the driver can find other
    /// bytes under that digest, they give way ([`Finished::is_replaced`]).
    ///
    /// # Errors
    /// [`StorageErrorKind::DigestMismatch`](super::StorageErrorKind::DigestMismatch) when the bytes have another digest, after which an earlier
    /// checkpoint can be gone on from.
    async fn finish(self: Box<Self>, expected: &Digest) -> Result<Finished>;
}
