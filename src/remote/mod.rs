//! SEAM: verified reads under a foreign root.
//!
//! `registry` reads paths under a root through a [`Remote`]. Blocks come from a [`Source`] (the
//! publisher's gateway, a configured one, a Kubo node); sources are raced, and one that fails is
//! replaced where it stopped. Each block is checked against the root as it comes: a source can withhold
//! blocks, but never forge them. Nothing here knows of repositories or of HTTP's other side.

mod address;
mod archive;
mod bounds;
mod cache;
mod cache_store;
mod cached_file;
mod cleaning;
mod discard;
mod error;
mod fetch;
mod gateway;
mod in_flight_quota;
mod leaves;
mod ledger;
mod link_cache;
mod node;
mod notes;
mod prefetch;
mod progress;
mod proofs;
mod race;
mod ranges;
mod reading;
mod repeats;
mod single;
mod subtree;

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures_util::{Stream, TryStreamExt};

pub use address::{GatewayAddress, Localhost, RequestError};
pub use archive::{Archive, Draft};
pub use bounds::{Bounds, ReadLimits, RootBounds};
pub use cache::Cache;
pub use cached_file::{Cached, CachedFile, read_cached};
pub use error::{RemoteError, RemoteErrorKind};
pub use fetch::Fetch;
pub use gateway::{Gateway, read_url_path, url_path};
pub use ledger::CacheLimits;
pub use link_cache::LinkCache;
pub use node::Node;
pub use prefetch::Prefetch;
pub use progress::Timeouts;
pub use repeats::Repeats;
pub use single::BlockAnswer;
pub use subtree::BlockStream;

use crate::ipld::{Entry, Scope, Step, Target, Traversal};
use bounds::Purpose;
use race::Race;

/// How long a better known source is ahead of the next one.
const HEAD_START: Duration = Duration::from_millis(300);

/// The result of every operation of this room.
pub type Result<T> = std::result::Result<T, RemoteError>;

/// Bytes as they come; an error ends them, and what came before it is not the whole.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A request to a source: the path, and how much of its target.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// The root.
    pub root: Cid,
    /// The names of the path.
    pub path: Vec<String>,
    /// How much of the target.
    pub scope: Scope,
    /// How long a block may be.
    pub block: usize,
    /// The bounds of the memory for blocks.
    pub bounds: RootBounds,
}

impl ReadRequest {
    fn traversal(&self) -> Result<Traversal> {
        Ok(Traversal::new(self.root, self.path.iter().cloned(), self.scope)?)
    }
}

/// The events of a source, in this order; all are proved.
#[derive(Debug)]
pub enum Event {
    /// The target of the path; once.
    Found(Target),
    /// More of it.
    More(Step),
}

/// The stream of events of a source. It ends without an error only when it is complete.
pub type Events = Pin<Box<dyn Stream<Item = Result<Event>> + Send>>;

/// A source that may have the blocks.
#[async_trait]
pub trait Source: Send + Sync {
    /// Returns its name, for messages.
    fn name(&self) -> &str;

    /// Begins to read.
    ///
    /// # Errors
    /// When it does not have the blocks, or cannot be reached.
    async fn open(&self, request: &ReadRequest) -> Result<Events>;

    /// Begins to read every requested block, all in one answer.
    ///
    /// # Errors
    /// As [`Source::open`]; [`RemoteErrorKind::Absent`] when the source has no such answer.
    async fn blocks(&self, _: &ReadRequest) -> Result<BlockStream> {
        let what = format!("{} does not list its blocks", self.name());
        Err(RemoteError::new(RemoteErrorKind::Absent, what))
    }

    /// Begins to read one block: returns when the answer has begun.
    ///
    /// # Errors
    /// As [`Source::open`]; [`RemoteErrorKind::Absent`] when the source has no such answer.
    async fn block(&self, _: Cid, _: &RootBounds) -> Result<BlockAnswer> {
        Err(single::no_blocks(self))
    }
}

/// A file under a root.
pub struct File {
    /// Its root.
    pub cid: Cid,
    /// How long it is as a whole.
    pub size: u64,
    /// The requested part.
    pub bytes: ByteStream,
}

/// Reads under a foreign root, from several sources.
#[derive(Clone)]
pub struct Remote {
    sources: Arc<[Arc<dyn Source>]>,
    /// The source that answered last, and is tried first.
    best: Arc<AtomicUsize>,
    /// Whether the first source stays first, even if another one answered last.
    is_first_near: bool,
    head_start: Duration,
    /// How long they may take to answer, if that is bounded.
    limit: Option<Duration>,
    /// The bounds of how much is read at once.
    bounds: RootBounds,
}

impl Remote {
    /// Reads from these sources, the best known one first, until another one turns out to be better.
    #[must_use]
    pub fn new(sources: Vec<Arc<dyn Source>>) -> Self {
        Self::with(sources, HEAD_START)
    }

    /// The same; a better known source is that long ahead of the next one.
    #[must_use]
    pub fn with(sources: Vec<Arc<dyn Source>>, head_start: Duration) -> Self {
        let (sources, best) = (sources.into(), Arc::default());
        let (limit, bounds) = (None, RootBounds::default());
        Self { sources, best, is_first_near: false, head_start, limit, bounds }
    }

    /// The same, for a client that waits: no operation may take longer than that. A file is opened within that
    /// time; its bytes may take longer.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// The same, within bounds.
    #[must_use]
    pub fn bounded(self, bounds: RootBounds) -> Self {
        Self { bounds, ..self }
    }

    async fn timely<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(limit) = self.limit else { return operation.await };
        let late = |_| RemoteError::new(RemoteErrorKind::TimedOut, "no source answered in time");
        tokio::time::timeout(limit, operation).await.map_err(late)?
    }

    /// The same sources after another one, which is on this machine: it is always tried first, and has a longer
    /// head start, since it reports missing blocks at once.
    #[must_use]
    pub fn after(&self, first: Arc<dyn Source>) -> Self {
        let sources = std::iter::once(first).chain(self.sources.iter().cloned());
        let remote = Self::with(sources.collect(), 10 * self.head_start);
        Self { is_first_near: true, ..remote }
    }

    /// Notes which source answered.
    fn note_answer(&self, source: usize) {
        if !self.is_first_near {
            self.best.store(source, Ordering::Relaxed);
        }
    }

    /// Opens a file at a path; none if it is proved that there is none. A part that reaches beyond the
    /// end is cut there.
    ///
    /// # Errors
    /// When no source can answer.
    pub async fn open(
        &self,
        root: Cid,
        path: Vec<String>,
        part: Option<Range<u64>>,
    ) -> Result<Option<File>> {
        self.timely(Race::new(self, root, path, Purpose::Transfer).open(part)).await
    }

    /// Returns the root and the length of the file at a path; none if it is proved that there is none.
    ///
    /// # Errors
    /// When no source can answer.
    pub async fn stat(&self, root: Cid, path: Vec<String>) -> Result<Option<(Cid, u64)>> {
        Ok(
            match self
                .timely(Race::new(self, root, path, Purpose::Small).begin(Scope::Block))
                .await?
            {
                Target::File { cid, size } => Some((cid, size)),
                _ => None,
            },
        )
    }

    /// Reads a small file as a whole; none if it is proved that there is none.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Invalid`] when it has more than `limit` bytes; when no source can answer.
    pub async fn read(
        &self,
        root: Cid,
        path: Vec<String>,
        limit: u64,
    ) -> Result<Option<(Cid, Bytes)>> {
        let reading = async {
            let race = Race::new(self, root, path, Purpose::Small);
            let Some(file) = race.open(None).await? else { return Ok(None) };
            if file.size > limit {
                let what = format!("{} has {} bytes, more than {limit}", file.cid, file.size);
                return Err(RemoteError::new(RemoteErrorKind::Invalid, what));
            }
            Ok(Some((file.cid, collect(file.bytes).await?)))
        };
        self.timely(reading).await
    }

    /// Lists the directory at a path, sorted bytewise, without names of more than 255 bytes; none if it is proved
    /// that there is none.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Invalid`] when it has more than `limit` entries, or names of more than 168
    /// bytes on average where it has as many as that; when no
    /// source can answer.
    pub async fn list(
        &self,
        root: Cid,
        path: Vec<String>,
        limit: usize,
    ) -> Result<Option<Vec<Entry>>> {
        let listing = Race::new(self, root, path, Purpose::List).list(limit);
        let Some(mut entries) = self.timely(listing).await? else {
            return Ok(None);
        };
        entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(Some(entries))
    }
}

/// Reads all bytes, which the caller knows to be few.
///
/// # Errors
/// Those of the bytes.
pub async fn collect(bytes: ByteStream) -> Result<Bytes> {
    let all = bytes.try_fold(Vec::new(), async |mut all, piece| {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    Ok(all.await?.into())
}
