//! SEAM: where bytes and names live.
//!
//! A [`Storage`] takes *uploads* in as they stream ([`UploadStore`]), keeps *content* by its digest
//! ([`ContentStore`]) and the *trees* that name it, in the layout of a stock registry ([`TreeStore`]). What only
//! some drivers can do is a trait of its own that is asked for: [`Announcer`], [`AddressedTree`], [`SharedStorage`].
//! `registry` calls it; nothing here knows of repositories, of the index or of HTTP. A driver is a file or folder of
//! its own and one row in [`DRIVERS`].

mod announcer;
mod block_collector;
mod block_mender;
mod blocking;
mod content;
mod context;
mod drivers;
mod edit;
mod embedded;
mod error;
mod files;
mod fold;
mod kind;
mod kubo;
mod locks;
mod path;
mod permission;
mod source;
mod tree;
mod uploads;

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

pub use announcer::Announcer;
pub use block_collector::BlockCollector;
pub use block_mender::BlockMender;
pub use content::{Content, ContentStore, Finished, Taken};
pub use context::StorageContext;
#[cfg(test)]
pub(crate) use drivers::open_embedded;
pub use drivers::{DRIVERS, Driver, Opening, UploadFiles};
pub use edit::{Edit, TreeEdit};
pub use embedded::uploads::UploadFile;
pub use error::{StorageError, StorageErrorKind};
pub use files::Listing;
pub use fold::{Folded, fold};
pub use kind::Kind;
pub use locks::{Lease, Locks};
pub use path::TreePath;
pub use permission::Permission;
pub use source::SourceFolder;
pub use tree::{AddressedTree, Applied, NewContent, TreeStore};
pub use uploads::{Ingest, UploadStore};

use crate::oci::CanonicalDigest;

/// What every operation of this room returns.
pub type Result<T> = std::result::Result<T, StorageError>;

/// Bytes as they are read; an error ends it, and what came before it is not the whole.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Uploads, content and trees; one implementation a driver.
#[async_trait]
pub trait Storage: UploadStore + ContentStore + TreeStore {
    /// Makes what is missing, removes what a crash has left, unfinished ingests aside, and makes sure that
    /// edits will be possible. To be called before this process uses the storage.
    ///
    /// # Errors
    /// [`StorageErrorKind::Unusable`] when content cannot be written or put into a tree.
    async fn repair(&self) -> Result<()>;

    /// Gives back what is of no more use; to be called now and then, beside whatever else goes on.
    async fn clean(&self) -> Result<()>;

    /// Gives back the space that was reserved for a full disk; returns whether there was any. [`Storage::clean`] reserves it
    /// again.
    async fn release_reserve(&self) -> Result<bool>;

    /// Answers whether content could be written now.
    async fn ping(&self) -> Result<()>;

    /// Returns a URL from which clients can read the content themselves, if the operator has such a
    /// gateway.
    fn location(&self, content: &Content) -> Option<String>;

    /// Returns what the driver does for processes that use the storage at the same time; none where it belongs to one.
    fn shared(&self) -> Option<&dyn SharedStorage>;

    /// Returns what removes blocks that nothing names, where the operator has that done; none where content goes with its
    /// name.
    fn block_collector(&self) -> Option<&dyn BlockCollector>;

    /// Returns what removes damaged blocks; none where storing content replaces whatever stands there.
    fn block_mender(&self) -> Option<&dyn BlockMender>;

    /// Returns the driver's side towards other peers; none where they read from this process alone.
    fn announcer(&self) -> Option<&dyn Announcer>;
}

/// A storage that several processes use at the same time.
pub trait SharedStorage: Send + Sync {
    /// Says that content was recorded as stored a while ago: it was durable then, and need not be made so again.
    fn recall(&self, canonical: &CanonicalDigest);

    /// Returns whether this process itself stored the content durably within the last minute. A process that withdraws it
    /// may have removed it since, as the index says; any other removal was made by hand.
    fn has_just_stored(&self, content: &Content) -> bool;
}
