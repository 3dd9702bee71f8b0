//! The background work of the cache: counting the files at the start, and evicting the least recently used.
//! It has a thread of its own while there is something to do, and holds no lock that a request waits for.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::cache_store::CacheStore;
use super::ledger::{Excess, RootId, disk_size};
use super::notes::entries;
use crate::oci::CanonicalDigest;

/// How many files are chosen at a time to be evicted: each takes some 60 bytes of memory.
const CHOSEN: usize = 50_000;

/// A file that may be evicted; the greatest is the one that was used last.
type Candidate = (SystemTime, CanonicalDigest, u64);

impl CacheStore {
    /// Counts the files, and then evicts down to the limits, in the background; a small cache is ready when
    /// this returns.
    pub(super) fn count_in_background(self: &Arc<Self>, wait: Duration) {
        self.in_background(wait, |store: &Self| {
            let begun = Instant::now();
            if let Err(error) = store.count() {
                tracing::warn!(%error, "failed to count the files in the cache");
            }
            let mut ledger = store.ledger();
            ledger.counted = [true; 256];
            let (bytes, files) = ledger.totals();
            drop(ledger);
            let duration_ms = begun.elapsed().as_millis();
            tracing::debug!(bytes, files, duration_ms, "counted the files in the cache");
        });
    }

    /// Evicts down to the limits, in the background; a small cache is within its limits when this returns.
    pub(super) fn evict_in_background(self: &Arc<Self>, wait: Duration) {
        self.in_background(wait, |_| {});
    }

    fn in_background(self: &Arc<Self>, wait: Duration, first: impl FnOnce(&Self) + Send + 'static) {
        if !self.cleaner.begin() {
            return;
        }
        let files = Arc::clone(self);
        let thread = std::thread::Builder::new().name("cache".to_owned()).spawn(move || {
            first(&files);
            loop {
                files.evict();
                files.cleaner.end();
                // Files may have been added between the two.
                let is_left = !files.excess_is_stuck() && !files.cleaner.is_closed();
                if !is_left || !files.cleaner.begin() {
                    break;
                }
            }
        });
        match thread {
            Ok(_) => self.cleaner.wait(wait),
            Err(error) => {
                tracing::warn!(%error, "failed to start the cleaning of the cache");
                self.cleaner.end();
            }
        }
    }

    /// Returns whether nothing was added since the excess could not be evicted.
    fn excess_is_stuck(&self) -> bool {
        let ledger = self.ledger();
        ledger.excesses(&self.limits).is_empty() || ledger.stuck_at == Some(ledger.changes)
    }

    /// Counts the files, one folder after the other.
    fn count(&self) -> io::Result<()> {
        // Clocks of file systems are some milliseconds behind.
        let opened = SystemTime::now() - Duration::from_secs(1);
        for byte in 0..=255_u8 {
            if self.cleaner.is_closed() {
                return Ok(());
            }
            let shard = format!("{byte:02x}");
            let mut contents = HashSet::new();
            let mut ledger = self.ledger();
            for file in entries(&self.folder.join("sha256").join(&shard))? {
                let file = file?;
                // It may be gone meanwhile.
                let Ok(about) = file.metadata() else { continue };
                ledger.add(disk_size(&about), RootId::read(&file.path()));
                contents.insert(file.file_name().to_string_lossy().into_owned());
            }
            ledger.counted[usize::from(byte)] = true;
            drop(ledger);
            self.notes.clean_up(&shard, &contents, opened)?;
        }
        Ok(())
    }

    /// Evicts down to the limits, as long as that makes progress.
    fn evict(&self) {
        loop {
            let excesses = self.ledger().excesses(&self.limits);
            if excesses.is_empty() {
                return;
            }
            let mut evicted = 0;
            for excess in excesses {
                match self.evict_excess(&excess) {
                    Ok(count) => evicted += count,
                    Err(error) => tracing::warn!(%error, "failed to evict from the cache"),
                }
            }
            if evicted == 0 || self.cleaner.is_closed() {
                let mut ledger = self.ledger();
                ledger.stuck_at = Some(ledger.changes);
                return;
            }
            tracing::debug!(files = evicted, "evicted from the cache");
        }
    }

    /// Evicts the least recently used files of an excess, and returns how many.
    fn evict_excess(&self, excess: &Excess) -> io::Result<usize> {
        let mut evicted = 0;
        let (mut bytes, mut files) = (0, 0);
        for (used, digest, size) in self.choose(excess)? {
            if (bytes >= excess.bytes && files >= excess.files) || self.cleaner.is_closed() {
                break;
            }
            let path = self.path_of("sha256", &digest);
            // The file may be gone, or used, since it was chosen.
            let is_unused = fs::metadata(&path).and_then(|about| about.modified());
            if is_unused.ok() != Some(used) {
                continue;
            }
            let root = RootId::read(&path);
            fs::remove_file(&path)?;
            self.ledger().subtract(size, root);
            self.proved().remove(&digest);
            self.notes.forget(&digest);
            (bytes, files, evicted) = (bytes + size, files + 1, evicted + 1);
        }
        Ok(evicted)
    }

    /// Chooses the least recently used files, the oldest first, and corrects the counts by the way.
    fn choose(&self, excess: &Excess) -> io::Result<Vec<Candidate>> {
        let (changes, newest) = {
            let ledger = self.ledger();
            (ledger.changes, ledger.newest)
        };
        let mut oldest: BinaryHeap<Candidate> = BinaryHeap::new();
        let mut chosen = 0;
        let (mut bytes, mut files) = (0, 0);
        for byte in 0..=255_u8 {
            for file in entries(&self.folder.join("sha256").join(format!("{byte:02x}")))? {
                if self.cleaner.is_closed() {
                    return Ok(Vec::new());
                }
                let file = file?;
                let Ok(about) = file.metadata() else { continue };
                let size = disk_size(&about);
                (bytes, files) = (bytes + size, files + 1);
                let name = file.file_name().to_string_lossy().into_owned();
                let Ok(digest) = format!("sha256:{name}").parse::<CanonicalDigest>() else {
                    continue;
                };
                let is_meant = newest != Some(digest)
                    && (excess.root.is_none() || excess.root == RootId::read(&file.path()));
                if !is_meant {
                    continue;
                }
                oldest.push((about.modified()?, digest, size));
                chosen += size;
                while let Some((_, _, last)) = oldest.peek()
                    && (oldest.len() > CHOSEN
                        || (chosen - last >= excess.bytes && oldest.len() as u64 > excess.files))
                {
                    chosen -= last;
                    oldest.pop();
                }
            }
        }
        self.ledger().correct(changes, bytes, files);
        let mut oldest = oldest.into_vec();
        oldest.sort_unstable_by_key(|(used, ..)| Reverse(*used));
        oldest.reverse();
        Ok(oldest)
    }
}
