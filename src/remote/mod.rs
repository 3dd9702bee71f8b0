//! SEAM: verified reads under a foreign root.
//!
//! `registry` reads paths under a root through a [`Remote`]. Blocks come from a [`Source`] (the
//! publisher's gateway, a configured one, a Kubo node); sources are raced, and one that fails is
//! replaced where it stopped. Each block is checked against the root as it comes: a source can withhold
//! blocks, but never forge them. Nothing here knows of repositories or of HTTP's other side.

mod address;
mod archive;
mod bounds;
mod byte_stream;
mod cache;
mod cache_store;
mod cached_file;
mod cleaner;
mod cleaning;
mod discard;
mod error;
mod fetch;
mod file_digest;
mod gateway;
mod in_flight_quota;
mod leaves;
mod ledger;
mod link_cache;
mod node;
mod notes;
mod paths;
mod prefetch;
mod progress;
mod proofs;
mod race;
mod ranges;
mod reading;
mod repeats;
mod single;
mod source;
mod subtree;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub use address::{GatewayAddress, Localhost, RequestError};
pub use archive::{Archive, Draft};
pub use bounds::{Bounds, ReadLimits, RootBounds};
pub use byte_stream::{ByteStream, File, collect};
pub use cache::Cache;
pub use cached_file::{Cached, CachedFile, read_cached};
pub use error::{RemoteError, RemoteErrorKind, Result};
pub use fetch::Fetch;
pub use gateway::{Gateway, read_url_path, url_path};
pub use ledger::CacheLimits;
pub use link_cache::LinkCache;
pub use node::Node;
pub use prefetch::Prefetch;
pub use progress::Timeouts;
pub use repeats::Repeats;
pub use source::{BlockAnswer, BlockStream, Event, Events, ReadRequest, Source};

/// How long a better known source is ahead of the next one.
const HEAD_START: Duration = Duration::from_millis(300);

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
}
