//! How much disk space the files of the cache take, in total and for each root.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{XattrFlags, fsetxattr, getxattr};

use crate::oci::CanonicalDigest;

/// The extended attribute of a file that says for which root it was fetched. Where the file system has none
/// the file counts for no root.
const ATTRIBUTE: &str = "user.roadstead.root";

/// The least disk space of a file and of its notes.
const BLOCK: u64 = 4096;

/// The limits of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// In bytes of the disk.
    pub bytes: u64,
    /// In files.
    pub files: u64,
    /// In bytes of the disk, for what was fetched below one root.
    pub root_bytes: u64,
}

impl CacheLimits {
    /// Limits the bytes alone.
    #[must_use]
    pub fn bytes(bytes: u64) -> Self {
        Self { bytes, files: u64::MAX, root_bytes: u64::MAX }
    }
}

/// A root, by the hash of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RootId(u64);

impl RootId {
    pub(super) fn of(name: &str) -> Self {
        let CanonicalDigest(hash) = CanonicalDigest::of(name.as_bytes());
        Self(hash.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte)))
    }

    /// Reads for which root a file was fetched.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let mut value = [0; 16];
        let length = getxattr(path, ATTRIBUTE, &mut value).ok()?;
        let text = std::str::from_utf8(&value[..length]).ok()?;
        u64::from_str_radix(text, 16).ok().map(Self)
    }

    /// Writes for which root a file was fetched.
    pub(super) fn write(self, file: &File) {
        let text = format!("{:016x}", self.0);
        if let Err(error) = fsetxattr(file, ATTRIBUTE, text.as_bytes(), XattrFlags::empty()) {
            tracing::debug!(%error, "failed to record the root of a cache entry");
        }
    }
}

/// Returns the disk space of a file of the cache, with its notes.
pub(super) fn disk_size(about: &Metadata) -> u64 {
    let taken = match about.blocks() {
        // Bytes that are not on the disk yet.
        0 => about.len().next_multiple_of(BLOCK),
        blocks => blocks.saturating_mul(512),
    };
    taken.max(BLOCK) + BLOCK
}

/// The disk space of the files.
pub(super) struct Ledger {
    bytes: u64,
    files: u64,
    by_root: HashMap<RootId, u64>,
    /// How often it was changed.
    pub(super) changes: u64,
    /// The folders, by the first byte of the digests, whose files are counted.
    pub(super) counted: [bool; 256],
    /// The file that was added last: it is not evicted for itself.
    pub(super) newest: Option<CanonicalDigest>,
    /// At which change nothing more could be evicted.
    pub(super) stuck_at: Option<u64>,
}

/// How far a limit is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Excess {
    /// The root whose files exceed the limit; none: all together.
    pub(super) root: Option<RootId>,
    pub(super) bytes: u64,
    pub(super) files: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            bytes: 0,
            files: 0,
            by_root: HashMap::new(),
            changes: 0,
            counted: [false; 256],
            newest: None,
            stuck_at: None,
        }
    }
}

impl Ledger {
    pub(super) fn add(&mut self, bytes: u64, root: Option<RootId>) {
        self.changes += 1;
        self.bytes += bytes;
        self.files += 1;
        if let Some(root) = root {
            *self.by_root.entry(root).or_default() += bytes;
        }
    }

    pub(super) fn subtract(&mut self, bytes: u64, root: Option<RootId>) {
        self.changes += 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.files = self.files.saturating_sub(1);
        if let Some(root) = root
            && let Some(taken) = self.by_root.get_mut(&root)
        {
            *taken = taken.saturating_sub(bytes);
            if *taken == 0 {
                self.by_root.remove(&root);
            }
        }
    }

    /// Replaces the counts by new ones, unless something was changed since.
    pub(super) fn correct(&mut self, changes: u64, bytes: u64, files: u64) {
        if self.changes == changes {
            (self.bytes, self.files) = (bytes, files);
        }
    }

    /// Returns whether the files of that root, or all, exceed a limit.
    pub(super) fn is_over(&self, limits: &CacheLimits, root: RootId) -> bool {
        let of_root = self.by_root.get(&root).copied().unwrap_or_default();
        self.bytes > limits.bytes || self.files > limits.files || of_root > limits.root_bytes
    }

    /// Lists the limits that are exceeded. The excess includes a tenth more, so that not each new file causes an
    /// eviction.
    pub(super) fn excesses(&self, limits: &CacheLimits) -> Vec<Excess> {
        let goal = |limit: u64| limit - limit / 10;
        let mut excesses = Vec::new();
        if self.bytes > limits.bytes || self.files > limits.files {
            excesses.push(Excess {
                root: None,
                bytes: self.bytes.saturating_sub(goal(limits.bytes)),
                files: self.files.saturating_sub(goal(limits.files)),
            });
        }
        let over = self.by_root.iter().filter(|(_, taken)| **taken > limits.root_bytes);
        excesses.extend(over.map(|(root, taken)| Excess {
            root: Some(*root),
            bytes: taken.saturating_sub(goal(limits.root_bytes)),
            files: 0,
        }));
        excesses
    }

    /// Returns how many bytes and files there are.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.bytes, self.files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_takes_a_block_and_what_is_noted_about_it_another_one() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("file");
        for (length, least) in [(0, 8192), (200, 8192), (100_000, 100_000 + 4096)] {
            std::fs::write(&path, vec![1; length]).unwrap();
            assert!(disk_size(&std::fs::metadata(&path).unwrap()) >= least, "{length}");
        }
    }

    #[test]
    fn the_excess_includes_a_tenth_more() {
        let limits = CacheLimits { bytes: 1000, files: 100, root_bytes: 500 };
        let (one, other) = (RootId::of("one"), RootId::of("other"));
        let mut ledger = Ledger::default();
        ledger.add(400, Some(one));
        ledger.add(500, Some(other));
        assert_eq!(ledger.excesses(&limits), []);
        ledger.add(101, None);
        let all = Excess { root: None, bytes: 101, files: 0 };
        assert_eq!(ledger.excesses(&limits), [all]);
        ledger.subtract(101, None);
        ledger.add(1, Some(other));
        assert!(ledger.is_over(&limits, other) && !ledger.is_over(&limits, one));
        let of_other = Excess { root: Some(other), bytes: 51, files: 0 };
        assert_eq!(ledger.excesses(&limits), [of_other]);
        ledger.subtract(1, Some(other));
        for _ in 0..100 {
            ledger.add(0, None);
        }
        let excess = ledger.excesses(&limits);
        assert_eq!(excess, [Excess { root: None, bytes: 0, files: 12 }]);
    }
}
