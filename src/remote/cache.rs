//! The cache of fetched content: each blob by its sha256, whole and verified; the least recently used are evicted
//! first.
//!
//! ```text
//! sha256/<ab>/<hex>   content
//! notes/<ab>/<hex>    notes about it: see `notes.rs`
//! tmp/                in transit
//! leaves/             blocks that ranges were read from
//! discarded-<…>/      to be removed
//! ```

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cid::Cid;
use futures_util::{StreamExt, stream};
use tokio::task::spawn_blocking;

use super::cache_store::CacheStore;
use super::cached_file::{Cached, failed};
use super::fetch::{Fetch, Fetching};
use super::in_flight_quota::InFlightQuota;
use super::leaves::Leaves;
use super::ledger::{CacheLimits, RootId};
use super::{ByteStream, File as RemoteFile, Remote, RemoteError, RemoteErrorKind, Result, ranges};
use crate::oci::CanonicalDigest;

/// The cache of fetched content.
pub struct Cache {
    store: Arc<CacheStore>,
    /// For content in transit: as much again as the cache.
    quota: Arc<InFlightQuota>,
    leaves: Arc<Leaves>,
    temporary: AtomicU64,
    /// Content that is about to come, or in transit, by the root under which it is fetched.
    fetches: Mutex<HashMap<FetchKey, Weak<Slot>>>,
}

type FetchKey = (Cid, CanonicalDigest);

/// The part of the budget that the blocks of ranges may take beside it.
const LEAVES: u64 = 8;

/// Files up to this are proved when they are found.
const SMALL: u64 = 128 * 1024;

/// Locked by the caller that begins to fetch; the other callers wait for its outcome.
type Slot = tokio::sync::Mutex<Opening>;

#[derive(Default)]
enum Opening {
    #[default]
    Idle,
    Begun(Weak<Fetch>),
    Failed(RemoteErrorKind, String),
}

impl Cache {
    /// Opens the cache in a folder, which is made if need be; what a crash left in transit is removed.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn open(folder: &Path, budget: u64) -> io::Result<Arc<Self>> {
        Self::open_within(folder, CacheLimits::bytes(budget))
    }

    /// The same within more limits.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn open_within(folder: &Path, limits: CacheLimits) -> io::Result<Arc<Self>> {
        let store = CacheStore::open(folder, limits)?;
        let leaves = Leaves::open(&folder.join("leaves"), limits.bytes / LEAVES)?;
        let (temporary, fetches) = (AtomicU64::new(0), Mutex::default());
        Ok(Arc::new(Self {
            store,
            quota: InFlightQuota::new(limits.bytes),
            leaves,
            temporary,
            fetches,
        }))
    }

    /// Returns how many bytes of the disk and how many files the cache takes, as far as it was counted.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        self.store.ledger().totals()
    }

    /// Returns content that is in transit from below a root, if it has begun to come.
    pub fn under_way(&self, root: Cid, digest: CanonicalDigest) -> Option<Arc<Fetch>> {
        let slot = self.fetches().get(&(root, digest)).and_then(Weak::upgrade)?;
        // While it is locked, it is being opened: nothing has come yet.
        let opening = slot.try_lock().ok()?;
        let Opening::Begun(fetch) = &*opening else { return None };
        fetch.upgrade().filter(|fetch| !fetch.has_failed())
    }

    /// Reads a part of a file, which is not empty and ends before the file does, from the blocks that it touches
    /// and no others. It begins with what has come of `coming`, the same file as a whole.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Invalid`] when no file can have such a part.
    pub fn part(
        &self,
        remote: Remote,
        file: Cid,
        range: Range<u64>,
        coming: Option<&Fetch>,
    ) -> Result<ByteStream> {
        let came = coming.map_or(0, Fetch::came).clamp(range.start, range.end);
        let begun = coming.filter(|_| came > range.start).map(|it| it.read(range.start..came));
        if came == range.end {
            return Ok(begun.unwrap_or_else(|| stream::empty().boxed()));
        }
        let rest = ranges::read(Arc::clone(&self.leaves), remote, file, &(came..range.end))?;
        Ok(match begun {
            Some(begun) => begun.chain(rest).boxed(),
            None => rest,
        })
    }

    /// Finds cached content, and notes its use.
    ///
    /// Each process reads a file once to compare it with its digest, and again when the file was written
    /// to. A small file that does not match is not found; of a long one the first read fails, and then it
    /// is not found either.
    pub async fn find(&self, digest: &CanonicalDigest) -> Option<Cached> {
        let (files, digest) = (Arc::clone(&self.store), *digest);
        spawn_blocking(move || files.find(&digest, SMALL)).await.ok().flatten()
    }

    /// Finds cached content that a name was seen to lead to.
    pub async fn find_known(&self, name: &str, digest: &CanonicalDigest) -> Option<Cached> {
        let (files, name, digest) = (Arc::clone(&self.store), name.to_owned(), *digest);
        let find = move || {
            if files.notes.knows(&name, &digest) { files.find(&digest, SMALL) } else { None }
        };
        spawn_blocking(find).await.ok().flatten()
    }

    /// Returns whether a name was seen to lead to that content, while that was cached. It reads a file.
    pub fn knows(&self, name: &str, digest: &CanonicalDigest) -> bool {
        self.store.notes.knows(name, digest)
    }

    /// Notes that a name leads to that content, if that is cached or in transit. It writes a file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn note(&self, name: &str, digest: &CanonicalDigest) -> io::Result<()> {
        let is_coming = || self.fetches().keys().any(|(_, coming)| coming == digest);
        if self.store.has(digest) || is_coming() {
            return self.store.notes.note(name, digest);
        }
        Ok(())
    }

    /// Begins to fetch content, or joins a transfer below the same root, but not below another one: its publisher
    /// can claim to have anything, and then be slow. The transfer ends soon after its last reader has gone, unless
    /// it is nearly whole.
    ///
    /// # Errors
    /// Those of opening the source; [`RemoteErrorKind::Full`] when the content is longer than the budget.
    pub async fn fetch(
        self: &Arc<Self>,
        root: Cid,
        digest: CanonicalDigest,
        open: impl Future<Output = Result<RemoteFile>>,
    ) -> Result<Arc<Fetch>> {
        self.fetch_for(&root.to_string(), root, digest, open).await
    }

    /// The same for a root that has a name: the content counts for that name.
    ///
    /// # Errors
    /// Those of [`Self::fetch`].
    pub async fn fetch_for(
        self: &Arc<Self>,
        name: &str,
        root: Cid,
        digest: CanonicalDigest,
        open: impl Future<Output = Result<RemoteFile>>,
    ) -> Result<Arc<Fetch>> {
        let slot = self.slot((root, digest));
        let mut opening = slot.lock().await;
        match &*opening {
            Opening::Idle => {}
            Opening::Begun(fetch) => {
                if let Some(fetch) = fetch.upgrade().filter(|fetch| !fetch.has_failed()) {
                    return Ok(fetch);
                }
            }
            Opening::Failed(kind, what) => return Err(RemoteError::new(*kind, what)),
        }
        let begun = match open.await {
            Ok(source) => {
                let owner = RootId::of(name);
                self.begin(Arc::clone(&slot), (root, digest), source, owner).await
            }
            Err(error) => Err(error),
        };
        match begun {
            Ok(fetch) => {
                *opening = Opening::Begun(Arc::downgrade(&fetch));
                Ok(fetch)
            }
            Err(error) => {
                // The callers that wait get this error; later ones try again.
                *opening = Opening::Failed(error.kind, error.to_string());
                self.forget(&slot, &(root, digest));
                Err(error)
            }
        }
    }

    async fn begin(
        self: &Arc<Self>,
        slot: Arc<Slot>,
        key: FetchKey,
        source: RemoteFile,
        owner: RootId,
    ) -> Result<Arc<Fetch>> {
        let (root, digest) = key;
        let share = self.quota.share(root, source.size)?;
        let path = self.store.temporary(self.temporary.fetch_add(1, Ordering::Relaxed));
        let opened = path.clone();
        let file = spawn_blocking(move || {
            File::options().read(true).write(true).create_new(true).open(opened)
        });
        let file = Arc::new(file.await.map_err(io::Error::other).flatten().map_err(failed)?);
        let (fetch, fetching) = Fetching::begin(digest, source, file, share);
        let (cache, claim) = (Arc::clone(self), Arc::clone(&fetch));
        tokio::spawn(async move {
            let fetching = fetching.receive(&claim).await;
            let (store, is_whole) = (Arc::clone(&cache.store), fetching.is_whole());
            let stored = spawn_blocking(move || {
                let stored = if is_whole { store.add(&path, &digest, owner) } else { Ok(()) };
                // It is not there any more if it was stored.
                let _ = fs::remove_file(&path);
                if !store.has(&digest) {
                    store.notes.forget(&digest);
                }
                stored
            });
            if let Err(error) = stored.await.map_err(io::Error::other).flatten() {
                // Waiting callers can still read it.
                tracing::warn!(%error, %digest, "failed to store content in the cache");
            }
            // Removed before the end is reported: a caller that then retries begins anew.
            cache.forget(&slot, &key);
            fetching.end();
            drop(claim);
        });
        Ok(fetch)
    }

    fn slot(&self, key: FetchKey) -> Arc<Slot> {
        let mut fetches = self.fetches();
        if let Some(slot) = fetches.get(&key).and_then(Weak::upgrade) {
            return slot;
        }
        // Slots of callers that went away while they opened a source.
        fetches.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::new(Slot::default());
        fetches.insert(key, Arc::downgrade(&slot));
        slot
    }

    fn forget(&self, slot: &Arc<Slot>, key: &FetchKey) {
        let mut fetches = self.fetches();
        if fetches.get(key).is_some_and(|found| found.as_ptr() == Arc::as_ptr(slot)) {
            fetches.remove(key);
        }
    }

    fn fetches(&self) -> MutexGuard<'_, HashMap<FetchKey, Weak<Slot>>> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.store.cleaner.is_closed.store(true, Ordering::Relaxed);
    }
}
