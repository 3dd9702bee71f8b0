//! SEAM: reads under somebody else's root, verified.
//!
//! `registry` asks a [`Remote`] for what stands at a path under a root. Whoever has the blocks (a
//! publisher's gateway, a configured one, a Kubo node) is a [`Source`]; sources are raced, and one that breaks down is
//! replaced where it stopped. Each block is checked against the root as it comes: a source can keep
//! something back, but never make anything up. Nothing here knows of repositories or of HTTP's other side.

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

pub use address::{AskError, GatewayAddress, Localhost};
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

/// What every operation of this room returns.
pub type Result<T> = std::result::Result<T, RemoteError>;

/// Bytes as they come; an error ends them, and what came before it is not the whole.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// What is read: where, and how much of it.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// The root.
    pub root: Cid,
    /// The names on the way.
    pub path: Vec<String>,
    /// How much of what stands at its end.
    pub scope: Scope,
    /// How long a block may be.
    pub block: usize,
    /// What bounds the memory that blocks take.
    pub bounds: RootBounds,
}

impl ReadRequest {
    fn traversal(&self) -> Result<Traversal> {
        Ok(Traversal::new(self.root, self.path.iter().cloned(), self.scope)?)
    }
}

/// What a source tells, in this order; all of it is proved.
#[derive(Debug)]
pub enum Event {
    /// What stands at the end of the path; once.
    Found(Target),
    /// More of it.
    More(Step),
}

/// What a source tells. It ends without an error only when that is all.
pub type Events = Pin<Box<dyn Stream<Item = Result<Event>> + Send>>;

/// Somebody who may have the blocks.
#[async_trait]
pub trait Source: Send + Sync {
    /// Tells who it is, for people.
    fn name(&self) -> &str;

    /// Begins to read.
    ///
    /// # Errors
    /// When it does not have what is wanted, or cannot be asked.
    async fn open(&self, wanted: &ReadRequest) -> Result<Events>;

    /// Begins to tell every block that is wanted, all in one answer.
    ///
    /// # Errors
    /// As [`Source::open`]; [`RemoteErrorKind::Absent`] when the source has no such answer.
    async fn blocks(&self, _: &ReadRequest) -> Result<BlockStream> {
        let what = format!("{} does not tell blocks", self.name());
        Err(RemoteError::new(RemoteErrorKind::Absent, what))
    }

    /// Begins to tell one block: returns when the answer has begun.
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
    /// The part that was asked for.
    pub bytes: ByteStream,
}

/// Reads under somebody's root, from several sources.
#[derive(Clone)]
pub struct Remote {
    sources: Arc<[Arc<dyn Source>]>,
    /// Which of them answered last, and is asked first.
    best: Arc<AtomicUsize>,
    /// Whether the first one stays that, whoever answered last.
    is_first_near: bool,
    head_start: Duration,
    /// How long they may take until something is told, if that is bounded.
    limit: Option<Duration>,
    /// What bounds how much is read at once.
    bounds: RootBounds,
}

impl Remote {
    /// Reads from these, the best known one first, until another one turns out to be better.
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

    /// The same, where somebody waits: none of it may take longer than that. Of an open file it is told within
    /// that time that it is there; how long its bytes take is up to them.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// The same, within bounds.
    #[must_use]
    pub fn bounded(self, bounds: RootBounds) -> Self {
        Self { bounds, ..self }
    }

    async fn timely<T>(&self, telling: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(limit) = self.limit else { return telling.await };
        let late = |_| RemoteError::new(RemoteErrorKind::TimedOut, "it takes too long to tell");
        tokio::time::timeout(limit, telling).await.map_err(late)?
    }

    /// The same sources after another one, which is on this machine: it is always asked first, and waited
    /// for longer, for what it does not have it says at once.
    #[must_use]
    pub fn after(&self, first: Arc<dyn Source>) -> Self {
        let sources = std::iter::once(first).chain(self.sources.iter().cloned());
        let remote = Self::with(sources.collect(), 10 * self.head_start);
        Self { is_first_near: true, ..remote }
    }

    /// Notes who answered.
    fn note_answer(&self, source: usize) {
        if !self.is_first_near {
            self.best.store(source, Ordering::Relaxed);
        }
    }

    /// Opens a file at a path; none if it is proved that there is none. Of a part that reaches beyond the
    /// end there is what there is.
    ///
    /// # Errors
    /// When no source can tell.
    pub async fn open(
        &self,
        root: Cid,
        path: Vec<String>,
        part: Option<Range<u64>>,
    ) -> Result<Option<File>> {
        self.timely(Race::new(self, root, path, Purpose::Transfer).open(part)).await
    }

    /// Tells how long the file at a path is, and its root; none if it is proved that there is none.
    ///
    /// # Errors
    /// When no source can tell.
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
    /// [`RemoteErrorKind::Invalid`] when it has more than `limit` bytes; when no source can tell.
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
    /// source can tell.
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
