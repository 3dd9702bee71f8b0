//! The directory that is one block.

use std::collections::{BTreeMap, BTreeSet};

use cid::Cid;

use super::super::{Block, DecodeError, dag_pb, unixfs};
use super::Entry;

/// The length of the block of an empty directory.
pub(super) const EMPTY_LENGTH: usize = dag_pb::data_length(unixfs::DIRECTORY.len());

/// The entries of one block, which may be longer than it ought to be.
#[derive(Debug, Clone)]
pub(super) struct Basic {
    /// The block that holds exactly these entries, and its Tsize.
    stored: Option<(Cid, u64)>,
    entries: BTreeMap<String, (Cid, u64)>,
    length: usize,
}

impl Basic {
    pub(super) fn empty() -> Self {
        Self { stored: None, entries: BTreeMap::new(), length: EMPTY_LENGTH }
    }

    /// The directory of a block: its CID and Tsize, and its links.
    pub(super) fn open(stored: (Cid, u64), links: Vec<Entry>) -> Result<Self, DecodeError> {
        let malformed = |reason| Err(DecodeError::Malformed { format: "directory", reason });
        let count = links.len();
        if links.iter().any(|link| link.name.is_empty()) {
            return malformed("an entry has no name");
        }
        let basic = Self { stored: Some(stored), ..Self::of(links) };
        if basic.entries.len() < count {
            return malformed("a name stands twice");
        }
        Ok(basic)
    }

    /// A directory of these entries, not stored as yet.
    pub(super) fn of(entries: Vec<Entry>) -> Self {
        let mut basic = Self::empty();
        for entry in entries {
            basic.insert(entry, &mut BTreeSet::new());
        }
        basic
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<Entry> {
        self.entries.get_key_value(name).map(to_entry)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.entries.iter().map(to_entry)
    }

    /// How long the block is without the entry of that name.
    pub(super) fn length_without(&self, name: &str) -> usize {
        self.length - self.get(name).map_or(0, |entry| entry.length())
    }

    pub(super) fn insert(&mut self, entry: Entry, retired: &mut BTreeSet<Cid>) -> Option<Entry> {
        self.touch(retired);
        let Entry { name, cid, size } = entry;
        self.length += dag_pb::link_length(cid.encoded_len(), name.len(), size);
        let (cid, size) = self.entries.insert(name.clone(), (cid, size))?;
        let old = Entry { name, cid, size };
        self.length -= old.length();
        Some(old)
    }

    pub(super) fn remove(&mut self, name: &str, retired: &mut BTreeSet<Cid>) -> Option<Entry> {
        let (name, (cid, size)) = self.entries.remove_entry(name)?;
        self.touch(retired);
        let old = Entry { name, cid, size };
        self.length -= old.length();
        Some(old)
    }

    /// Gives up the block that holds the directory as it was.
    pub(super) fn touch(&mut self, retired: &mut BTreeSet<Cid>) {
        retired.extend(self.stored.take().map(|(cid, _)| cid));
    }

    pub(super) fn flush(&mut self, sink: &mut impl FnMut(Block)) -> (Cid, u64) {
        *self.stored.get_or_insert_with(|| {
            let links = self.entries.iter().map(|(name, (cid, size))| (cid, name.as_str(), *size));
            let (block, dag_size) = dag_pb::block(links, unixfs::DIRECTORY);
            let cid = block.cid;
            sink(block);
            (cid, dag_size)
        })
    }
}

fn to_entry((name, &(cid, size)): (&String, &(Cid, u64))) -> Entry {
    Entry { name: name.clone(), cid, size }
}
