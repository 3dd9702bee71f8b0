//! Blocks that ranges were read from, each in a file of its own until others need the space: two ranges that touch
//! one leaf fetch it once.
//!
//! The blocks do not outlast a restart. Each is compared with its CID whenever it is read.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use futures_util::FutureExt;
use futures_util::future::Shared;
use tokio::task::spawn_blocking;

use super::cached_file::failed;
use super::discard::discard;
use super::{Remote, RemoteError, RemoteErrorKind, Result};
use crate::ipld::Block;

/// The least disk space of a block: its file takes no less.
const LEAST: u64 = 4096;

/// How often a block that was not requested yet checks whether a client still waits for it.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The blocks, and those in transit.
pub(super) struct Leaves {
    folder: PathBuf,
    /// How many bytes they take at the most.
    most: u64,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    files: HashMap<Cid, Entry>,
    /// The blocks by when they were used.
    order: BTreeMap<u64, Cid>,
    /// Counts uses.
    clock: u64,
    bytes: u64,
    coming: HashMap<Cid, Coming>,
}

struct Entry {
    path: PathBuf,
    length: u64,
    used: u64,
}

/// A block in transit: once requested, it goes on when no client waits for it any more.
pub(super) type Coming =
    Shared<Pin<Box<dyn Future<Output = std::result::Result<Leaf, Failure>> + Send>>>;

/// Why a block does not come.
#[derive(Clone)]
pub(super) struct Failure(RemoteErrorKind, String);

/// A block that is there: its file stays readable when it is removed.
#[derive(Clone)]
pub(super) struct Leaf {
    cid: Cid,
    file: Arc<File>,
    length: u64,
}

impl From<Failure> for RemoteError {
    fn from(Failure(kind, what): Failure) -> Self {
        Self::new(kind, what)
    }
}

impl Leaf {
    /// Reads the block.
    pub(super) async fn read(self) -> Result<Block> {
        let reading = spawn_blocking(move || {
            let mut bytes = vec![0; usize::try_from(self.length).map_err(io::Error::other)?];
            self.file.read_exact_at(&mut bytes, 0)?;
            Block::verify(self.cid, bytes.into()).map_err(io::Error::other)
        });
        reading.await.map_err(io::Error::other).flatten().map_err(failed)
    }
}

impl Leaves {
    /// Begins with an empty folder, which is made if need be; files of earlier processes are removed.
    pub(super) fn open(folder: &Path, most: u64) -> io::Result<Arc<Self>> {
        discard(folder)?;
        fs::create_dir_all(folder)?;
        Ok(Arc::new(Self { folder: folder.to_owned(), most, books: Mutex::default() }))
    }

    /// Returns a block that is stored or in transit, or begins to fetch it.
    pub(super) fn get(self: &Arc<Self>, remote: &Remote, cid: Cid) -> Coming {
        let mut books = self.books();
        if let Some(coming) = books.coming.get(&cid) {
            return coming.clone();
        }
        let (leaves, remote, known) = (Arc::clone(self), remote.clone(), books.touch(&cid));
        let fetching = tokio::spawn(async move {
            let found = leaves.fetch(&remote, cid, known).await;
            // An abandoned block may be in transit for other clients again.
            if !matches!(&found, Err(error) if error.kind == RemoteErrorKind::Abandoned) {
                leaves.books().coming.remove(&cid);
            }
            found.map_err(|error| Failure(error.kind, error.to_string()))
        });
        let ended = fetching.map(|ended| {
            ended.unwrap_or_else(|error| Err(Failure(RemoteErrorKind::Failed, error.to_string())))
        });
        let coming = ended.boxed().shared();
        books.coming.insert(cid, coming.clone());
        coming
    }

    /// Opens the block if it is stored, or fetches it.
    async fn fetch(
        self: &Arc<Self>,
        remote: &Remote,
        cid: Cid,
        known: Option<(PathBuf, u64)>,
    ) -> Result<Leaf> {
        if let Some((path, length)) = known {
            let opened = spawn_blocking(move || File::open(path)).await;
            if let Ok(file) = opened.map_err(io::Error::other).flatten() {
                return Ok(Leaf { cid, file: Arc::new(file), length });
            }
        }
        let _permit = tokio::select! {
            permit = remote.permit_for_block() => permit?,
            () = self.abandoned(&cid) => {
                let what = format!("every client that waited for block {cid} disconnected");
                return Err(RemoteError::new(RemoteErrorKind::Abandoned, what));
            }
        };
        let block = remote.block(cid).await?;
        let leaves = Arc::clone(self);
        let written = spawn_blocking(move || leaves.store(cid, &block.bytes)).await;
        written.map_err(io::Error::other).flatten().map_err(failed)
    }

    /// Ends when no client waits for a block any more: then it is not fetched.
    async fn abandoned(&self, cid: &Cid) {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let mut books = self.books();
            let waiting = books.coming.get(cid).and_then(Shared::strong_count);
            // One is this task.
            if waiting.is_none_or(|waiting| waiting <= 1) {
                books.coming.remove(cid);
                return;
            }
        }
    }

    /// Writes a block, and evicts the least recently used if there is no space.
    fn store(&self, cid: Cid, bytes: &Bytes) -> io::Result<Leaf> {
        let length = bytes.len() as u64;
        let number = self.books().tick();
        let path = self.folder.join(number.to_string());
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        let written = file.write_all_at(bytes, 0);
        let mut gone = Vec::new();
        if written.is_ok() && length.max(LEAST) <= self.most {
            gone = self.books().insert(cid, Entry { path, length, used: number }, self.most);
        } else {
            gone.push(path);
        }
        for path in gone {
            // A file that stays takes space, and is removed by the next start.
            let _ = fs::remove_file(path);
        }
        written?;
        Ok(Leaf { cid, file: Arc::new(file), length })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Notes that a block is used, and returns its file.
    fn touch(&mut self, cid: &Cid) -> Option<(PathBuf, u64)> {
        let now = self.tick();
        let entry = self.files.get_mut(cid)?;
        self.order.remove(&entry.used);
        entry.used = now;
        self.order.insert(now, *cid);
        Some((entry.path.clone(), entry.length))
    }

    /// Notes a block, and returns the files of the blocks that are evicted for it.
    fn insert(&mut self, cid: Cid, entry: Entry, most: u64) -> Vec<PathBuf> {
        let mut gone = Vec::new();
        gone.extend(self.remove(&cid));
        self.bytes += entry.length.max(LEAST);
        self.order.insert(entry.used, cid);
        self.files.insert(cid, entry);
        while self.bytes > most
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            let oldest = *oldest;
            gone.extend(self.remove(&oldest));
        }
        gone
    }

    fn remove(&mut self, cid: &Cid) -> Option<PathBuf> {
        let entry = self.files.remove(cid)?;
        self.order.remove(&entry.used);
        self.bytes -= entry.length.max(LEAST);
        Some(entry.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn least_recently_used_blocks_are_evicted_and_open_ones_stay_readable() {
        let folder = tempfile::TempDir::new().unwrap();
        let leaves = Leaves::open(&folder.path().join("leaves"), 3 * LEAST).unwrap();
        let block = |number: u8| Block::raw(vec![number; 4096].into());
        let mut first = None;
        for number in 0..4 {
            let stored = leaves.store(block(number).cid, &block(number).bytes).unwrap();
            first.get_or_insert(stored);
            leaves.books().touch(&block(1).cid);
        }
        let is_stored = |number| leaves.books().files.contains_key(&block(number).cid);
        assert_eq!([0, 1, 2, 3].map(is_stored), [false, true, true, true]);
        leaves.store(block(4).cid, &block(4).bytes).unwrap();
        assert_eq!([1, 2, 3, 4].map(is_stored), [true, false, true, true]);
        assert_eq!(fs::read_dir(&leaves.folder).unwrap().count(), 3);
        assert_eq!(first.unwrap().read().await.unwrap().bytes, block(0).bytes);
        // A block longer than the budget is not stored, but its callers can read it.
        let long = Block::raw(vec![9; 20_000].into());
        let stored = leaves.store(long.cid, &long.bytes).unwrap();
        assert_eq!(stored.read().await.unwrap().bytes, long.bytes);
        assert_eq!(fs::read_dir(&leaves.folder).unwrap().count(), 3);
    }

    #[tokio::test]
    async fn a_block_damaged_on_the_disk_is_not_returned() {
        let folder = tempfile::TempDir::new().unwrap();
        let leaves = Leaves::open(&folder.path().join("leaves"), 1 << 20).unwrap();
        let block = Block::raw(vec![1; 4096].into());
        let leaf = leaves.store(block.cid, &block.bytes).unwrap();
        leaf.file.write_all_at(&[2], 100).unwrap();
        assert_eq!(leaf.read().await.unwrap_err().kind, RemoteErrorKind::Failed);
    }
}
