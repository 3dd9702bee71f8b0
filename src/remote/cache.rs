//! Somebody else's content, kept: each by its sha256, as a whole and verified, those used longest ago going
//! first.
//!
//! ```text
//! sha256/<ab>/<hex>         content
//! links/<ab>/<hex>/<name>   that a name was seen to lead to it; the hash of the name
//! tmp/                      on its way
//! leaves/                   blocks that ranges were read from
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

use super::fetch::{Fetch, Fetching};
use super::kept::{Kept, failed};
use super::leaves::Leaves;
use super::room::Room;
use super::shelf::Shelf;
use super::{ByteStream, File as RemoteFile, Remote, RemoteError, RemoteErrorKind, Result, ranges};
use crate::oci::CanonicalDigest;

/// The content of other people that this process keeps.
pub struct Cache {
    shelf: Arc<Shelf>,
    /// For what is on its way: as much again as is kept.
    room: Arc<Room>,
    leaves: Arc<Leaves>,
    temporary: AtomicU64,
    /// Content that is about to come, or on its way, by the root that it is looked for under.
    fetches: Mutex<HashMap<Wish, Weak<Slot>>>,
}

type Wish = (Cid, CanonicalDigest);

/// Which part of the budget blocks take beside it that ranges were read from.
const LEAVES: u64 = 8;

/// Files up to this are proved when they are found.
const SMALL: u64 = 128 * 1024;

/// Held by whoever begins to fetch; the others wait for what comes of it.
type Slot = tokio::sync::Mutex<Opening>;

#[derive(Default)]
enum Opening {
    #[default]
    Idle,
    Begun(Weak<Fetch>),
    Failed(RemoteErrorKind, String),
}

impl Cache {
    /// Opens the cache in a folder, which is made if need be; what a crash left on its way is removed.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn open(folder: &Path, budget: u64) -> io::Result<Arc<Self>> {
        let shelf = Arc::new(Shelf::open(folder, budget)?);
        let leaves = Leaves::open(&folder.join("leaves"), budget / LEAVES)?;
        let (temporary, fetches) = (AtomicU64::new(0), Mutex::default());
        Ok(Arc::new(Self { shelf, room: Room::new(budget), leaves, temporary, fetches }))
    }

    /// Returns content that is on its way from below a root, if it has begun to come.
    pub fn under_way(&self, root: Cid, digest: CanonicalDigest) -> Option<Arc<Fetch>> {
        let slot = self.fetches().get(&(root, digest)).and_then(Weak::upgrade)?;
        // Whoever opens it has nothing of it yet.
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

    /// Finds content that is kept, and notes that it was asked for.
    ///
    /// Each process reads a file once to see that it is what its digest says, and again when somebody wrote
    /// to it. A small one that is not is not found; of a long one the first read fails, and then it
    /// is not found either.
    pub async fn find(&self, digest: &CanonicalDigest) -> Option<Kept> {
        let kept = self.shelf.find(digest)?;
        if kept.size <= SMALL && kept.file.prove_now().await.is_err() {
            return None;
        }
        Some(kept)
    }

    /// Tells whether a name was seen to lead to that content, while that was kept.
    pub fn knows(&self, name: &str, digest: &CanonicalDigest) -> bool {
        self.shelf.knows(name, digest)
    }

    /// Notes that a name leads to that content, if that is kept or on its way.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn note(&self, name: &str, digest: &CanonicalDigest) -> io::Result<()> {
        let is_coming = || self.fetches().keys().any(|(_, coming)| coming == digest);
        if self.shelf.has(digest) || is_coming() {
            return self.shelf.note(name, digest);
        }
        Ok(())
    }

    /// Begins to fetch content, or joins whoever does already below the same root: whoever publishes another one
    /// can claim to have anything, and then be slow. It goes on when nobody waits for it any more, unless what
    /// is on its way takes more than half as much room as the budget.
    ///
    /// # Errors
    /// Those of opening it, by whoever began; [`RemoteErrorKind::Full`] when it is longer than the budget.
    pub async fn fetch(
        self: &Arc<Self>,
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
            Ok(source) => self.begin(Arc::clone(&slot), (root, digest), source),
            Err(error) => Err(error),
        };
        match begun {
            Ok(fetch) => {
                *opening = Opening::Begun(Arc::downgrade(&fetch));
                Ok(fetch)
            }
            Err(error) => {
                // Those who wait are told; whoever comes later tries again.
                *opening = Opening::Failed(error.kind, error.to_string());
                self.forget(&slot, &(root, digest));
                Err(error)
            }
        }
    }

    fn begin(
        self: &Arc<Self>,
        slot: Arc<Slot>,
        wish: Wish,
        source: RemoteFile,
    ) -> Result<Arc<Fetch>> {
        let (root, digest) = wish;
        let share = self.room.share(root, source.size)?;
        let path = self.shelf.temporary(self.temporary.fetch_add(1, Ordering::Relaxed));
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = Arc::new(file.map_err(failed)?);
        let (fetch, fetching) = Fetching::begin(digest, source, file, share);
        let (cache, held) = (Arc::clone(self), Arc::clone(&fetch));
        tokio::spawn(async move {
            let fetching = fetching.bring(&held).await;
            let (keeper, is_whole) = (Arc::clone(&cache.shelf), fetching.is_whole());
            let kept = spawn_blocking(move || {
                let kept = if is_whole { keeper.keep(&path, &digest) } else { Ok(()) };
                // It stands there no more if it is kept.
                let _ = fs::remove_file(&path);
                if !keeper.has(&digest) {
                    keeper.forget(&digest);
                }
                kept
            });
            if let Err(error) = kept.await.map_err(io::Error::other).flatten() {
                // It is good all the same, for those who wait.
                tracing::warn!(%error, %digest, "could not keep it");
            }
            // Whoever is told how it ended, and asks again, begins anew.
            cache.forget(&slot, &wish);
            fetching.end();
            drop(held);
        });
        Ok(fetch)
    }

    fn slot(&self, wish: Wish) -> Arc<Slot> {
        let mut fetches = self.fetches();
        if let Some(slot) = fetches.get(&wish).and_then(Weak::upgrade) {
            return slot;
        }
        // Those of whoever went away while it was opened.
        fetches.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::new(Slot::default());
        fetches.insert(wish, Arc::downgrade(&slot));
        slot
    }

    fn forget(&self, slot: &Arc<Slot>, wish: &Wish) {
        let mut fetches = self.fetches();
        if fetches.get(wish).is_some_and(|found| found.as_ptr() == Arc::as_ptr(slot)) {
            fetches.remove(wish);
        }
    }

    fn fetches(&self) -> MutexGuard<'_, HashMap<Wish, Weak<Slot>>> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
