//! SEAM: where bytes and names live.
//!
//! A [`Storage`] keeps *content* (blobs by their digest, ingested as they stream) and the two
//! *trees* that name it, in the layout of a stock registry. `registry` calls it; nothing here knows
//! of repositories, of the index or of HTTP. A driver is a file or folder of its own and one row in
//! [`DRIVERS`].

mod drivers;
mod edit;
mod embedded;
mod error;
mod files;
mod fold;
mod kubo;
mod locks;
mod path;
mod source;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cid::Cid;
use futures_util::{Stream, TryStreamExt};

#[cfg(test)]
pub(crate) use drivers::open_embedded;
pub use drivers::{DRIVERS, Driver, Opening, StorageContext, UploadFiles};
pub use edit::Edit;
pub use embedded::uploads::UploadFile;
pub use error::{StorageError, StorageErrorKind};
pub use files::Listing;
pub use fold::{Folded, fold};
pub use locks::{Lease, Locks};
pub use path::TreePath;
pub use source::SourceFolder;

use crate::oci::{CanonicalDigest, Digest, Visibility};

/// What every operation of this room returns.
pub type Result<T> = std::result::Result<T, StorageError>;

/// Bytes as they are read; an error ends it, and what came before it is not the whole.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Content that is kept, as the index remembers it.
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

/// What edits made of a tree.
#[derive(Debug)]
pub struct Applied {
    /// The root that the tree had before them.
    pub before: Cid,
    /// What it has become.
    pub folded: Folded,
}

/// What stands at a path of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file of that many bytes.
    File(u64),
    /// A directory.
    Directory,
}

/// Content and trees; one implementation a driver.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Makes what is missing, removes what a crash has left, unfinished ingests aside, and makes sure that
    /// edits will be possible. To be called before this process uses the storage.
    ///
    /// # Errors
    /// [`StorageErrorKind::Unusable`] when content cannot be written or put into a tree.
    async fn repair(&self) -> Result<()>;

    /// Tells whether other processes may use the storage at the same time.
    fn is_shared(&self) -> bool {
        false
    }

    /// Gives back what is of no more use; to be called now and then, beside whatever else goes on.
    async fn clean(&self) -> Result<()> {
        Ok(())
    }

    /// Begins to take content in, under a name that is not in use; a later [`Storage::resume`]
    /// finds it by that name.
    async fn begin(&self, id: &str) -> Result<Box<dyn Ingest>>;

    /// Goes on at a checkpoint of [`Ingest::checkpoint`], at which `offset` bytes had been
    /// appended; what was appended later is dropped. A checkpoint that cannot be read (of another
    /// version) costs a second reading of the bytes, or, where they are nowhere as a whole, the upload.
    ///
    /// # Errors
    /// [`StorageErrorKind::NotFound`] when the bytes are no longer there, or cannot be found.
    async fn resume(&self, id: &str, offset: u64, checkpoint: &[u8]) -> Result<Box<dyn Ingest>>;

    /// Drops what an unfinished ingest has stored. Repeating it succeeds.
    async fn discard(&self, id: &str) -> Result<()>;

    /// Lists the names of unfinished ingests that have stored anything.
    async fn ingests(&self) -> Result<Vec<String>>;

    /// Returns how many bytes unfinished ingests have stored, where more may be stored than was saved.
    async fn ingest_sizes(&self) -> Result<HashMap<String, u64>> {
        Ok(HashMap::new())
    }

    /// Takes a file of a folder in as content of that digest, durably: linked to it where that is
    /// possible, else copied. Repeating it succeeds.
    ///
    /// # Errors
    /// [`StorageErrorKind::NotFound`] when there is no file, [`StorageErrorKind::Damaged`] when it
    /// cannot be read, [`StorageErrorKind::DigestMismatch`], whose context is the digest that it has.
    async fn import(
        &self,
        source: &SourceFolder,
        path: &TreePath,
        expected: &CanonicalDigest,
    ) -> Result<Taken>;

    /// Reads a range of content, which must lie within its size.
    ///
    /// # Errors
    /// [`StorageErrorKind::NotFound`] when it is absent, [`StorageErrorKind::Damaged`] when its
    /// length is not the recorded one.
    async fn open(&self, content: &Content, range: Range<u64>) -> Result<ByteStream>;

    /// Reads a part of content that is a block by itself: the bytes of that range, whose CID is known.
    ///
    /// # Errors
    /// As [`Storage::open`].
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

    /// Returns a URL from which clients can read the content themselves, if the operator has such a
    /// gateway.
    fn location(&self, _content: &Content) -> Option<String> {
        None
    }

    /// Returns whether the content is stored, with its size.
    async fn contains(&self, content: &Content) -> Result<bool>;

    /// Keeps content no longer; what a tree links to stays there. Repeating it succeeds.
    async fn forget(&self, canonical: &CanonicalDigest) -> Result<()>;

    /// Does as [`Storage::forget`] for each of them.
    async fn forget_all(&self, canonicals: &[CanonicalDigest]) -> Result<()> {
        for canonical in canonicals {
            self.forget(canonical).await?;
        }
        Ok(())
    }

    /// Says that content was recorded as stored a while ago: it was durable then, and need not be made so again.
    fn recall(&self, _canonical: &CanonicalDigest) {}

    /// Lists the stored content, in no order.
    async fn contents(&self) -> Result<Vec<CanonicalDigest>>;

    /// Applies edits to a tree in their order. Each is idempotent and seen by readers as a whole or
    /// not at all. After a failure a prefix of them may have been applied: the caller repeats all.
    async fn apply(&self, tree: Visibility, edits: &[Edit]) -> Result<()>;

    /// Applies edits as [`Storage::apply`] does. The caller has looked the content of `present` up and keeps others
    /// from forgetting it, so it need not be looked up again. Returns what the edits made of the tree, where applying
    /// them computes that, so that the caller does not compute it again.
    async fn carry_out(
        &self,
        tree: Visibility,
        edits: &[Edit],
        _present: &HashSet<CanonicalDigest>,
    ) -> Result<Option<Applied>> {
        self.apply(tree, edits).await?;
        Ok(None)
    }

    /// Returns when all that was applied survives a loss of power.
    async fn sync(&self) -> Result<()>;

    /// Reads a small file of a tree; none if there is no file. More than `limit` bytes are an
    /// error of kind [`StorageErrorKind::Damaged`].
    async fn read(&self, tree: Visibility, path: &TreePath, limit: u64) -> Result<Option<Bytes>>;

    /// Lists a directory of a tree, sorted bytewise; none if there is no directory. What goes while
    /// it is listed may be in the list or not.
    async fn list(&self, tree: Visibility, path: &TreePath) -> Result<Option<Vec<(String, Kind)>>>;

    /// Returns the CID of a directory of a tree, where the storage has it at once: of one that has none, each directory
    /// is where it is and nowhere else.
    async fn directory_cid(&self, _tree: Visibility, _path: &TreePath) -> Result<Option<Cid>> {
        Ok(None)
    }

    /// Reads a whole file of a tree and computes its digest and CID. The caller compares the digest
    /// with the name that it stands under.
    ///
    /// # Errors
    /// [`StorageErrorKind::NotFound`] when there is no file.
    async fn identify(&self, tree: Visibility, path: &TreePath) -> Result<Finished>;

    /// Stores what [`Storage::identify`] found at a path as content, replacing whatever was stored
    /// under its digest: from then on the path [`holds`](Storage::holds) it. Repeating it succeeds.
    async fn adopt(&self, tree: Visibility, path: &TreePath, content: &Content) -> Result<()>;

    /// Tells whether that very content stands at a path of a tree.
    async fn is_linked(&self, tree: Visibility, path: &TreePath, content: &Content)
    -> Result<bool>;

    /// Reads stored content as a whole and computes what it is.
    ///
    /// # Errors
    /// [`StorageErrorKind::NotFound`] when it is not stored.
    async fn verify(&self, canonical: &CanonicalDigest) -> Result<Content>;

    /// Has what is below a root of the public tree retained and announced, where others read it from the storage
    /// itself. `known` is another root of which that was requested before. Repeating it succeeds.
    async fn publish(&self, _root: &Cid, _known: Option<&Cid>) -> Result<()> {
        Ok(())
    }

    /// Keeps no published roots but these any longer. Repeating it succeeds.
    async fn release_published(&self, _retained: &[Cid]) -> Result<()> {
        Ok(())
    }

    /// Lists where others can read from the storage itself, as multiaddrs, also those that lead nowhere from
    /// outside.
    async fn addresses(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Answers whether content could be written now.
    async fn ping(&self) -> Result<()>;
}

/// Content on its way in. Dropping it leaves what a checkpoint can go on from.
#[async_trait]
pub trait Ingest: Send {
    /// Appends bytes; waits while earlier ones are being written, so that memory stays constant.
    /// After an error only [`Storage::discard`] or an earlier checkpoint helps.
    async fn append(&mut self, bytes: Bytes) -> Result<()>;

    /// How many bytes were appended.
    fn offset(&self) -> u64;

    /// Returns what [`Storage::resume`] needs to go on from here, at most 150 KB. Everything
    /// appended so far survives a killed process.
    async fn checkpoint(&mut self) -> Result<Vec<u8>>;

    /// Ends the ingest: content of the expected digest is stored, durably. Where the driver can find other
    /// bytes under that digest, they give way ([`Finished::is_replaced`]).
    ///
    /// # Errors
    /// [`StorageErrorKind::DigestMismatch`] when the bytes have another digest, after which an earlier
    /// checkpoint can be gone on from.
    async fn finish(self: Box<Self>, expected: &Digest) -> Result<Finished>;
}
