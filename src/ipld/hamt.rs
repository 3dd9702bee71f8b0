//! Sharded directories: a trie over the hashes of the names, a block a node.
//!
//! Which shards there are follows from the names alone: a shard stands wherever two names or more share
//! the bytes of their hashes so far. Every shard that is loaded is checked to hold only names that
//! belong there, so no name can be hidden from a look-up and no block be part of two places.

mod census;
mod shard;

use std::collections::BTreeSet;

use cid::Cid;

pub(super) use census::Census;
use shard::{Shard, Slot};

use super::directory::Load;
use super::{Block, DecodeError, Entry, Error, murmur, unixfs};

/// The hash of a name: a byte for each level of shards.
type Hash = [u8; 8];

/// A sharded directory, in memory as far as it was edited.
#[derive(Debug, Clone)]
pub(super) struct Hamt {
    root: Shard,
    /// The entries take at least so many bytes in one block.
    floor: usize,
}

/// What stands where a name belongs.
pub(super) enum Reached {
    Nothing,
    Entry(Entry),
    /// Another name whose whole hash is the same.
    SameHash,
}

impl Hamt {
    /// A HAMT without entries, to be filled at once.
    pub(super) fn new() -> Self {
        Self { root: Shard::default(), floor: 0 }
    }

    /// The HAMT of a root block: its CID and Tsize, links and message.
    pub(super) fn open(
        stored: (Cid, u64),
        links: Vec<Entry>,
        data: &unixfs::Data,
    ) -> Result<Self, DecodeError> {
        Ok(Self { root: Shard::open(stored, links, data, &[])?, floor: 0 })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.root.slots.is_empty()
    }

    pub(super) fn get<L: Load>(
        &self,
        name: &str,
        loader: &mut L,
    ) -> Result<Option<Entry>, Error<L::Error>> {
        get(&self.root, name, 0, loader)
    }

    /// Looks for a name, and keeps the shards on the way in memory: what an edit needs.
    pub(super) fn reach<L: Load>(
        &mut self,
        name: &str,
        loader: &mut L,
    ) -> Result<Reached, Error<L::Error>> {
        let hash = murmur::hash(name);
        let mut shard = &mut self.root;
        for (depth, index) in hash.iter().enumerate() {
            let Some(slot) = shard.slots.get_mut(index) else { return Ok(Reached::Nothing) };
            if let Slot::Stored(cid, size) = *slot {
                let child = Shard::load((cid, size), &hash[..=depth], loader)?;
                *slot = Slot::Shard(Box::new(child));
            }
            match slot {
                Slot::Entry(entry) => return Ok(Reached::compare(entry, name, hash)),
                Slot::Shard(child) => shard = child,
                Slot::Stored(..) => unreachable!("the shard was loaded above"),
            }
        }
        unreachable!("a shard below the last byte of the hash is never loaded")
    }

    /// Adds or replaces an entry. The way to it was [reached](Self::reach), and holds no name of the
    /// same hash.
    pub(super) fn insert(&mut self, entry: Entry, retired: &mut BTreeSet<Cid>) -> Option<Entry> {
        self.floor += entry.length();
        let old = self.root.insert(murmur::hash(&entry.name), 0, entry, retired);
        self.floor = self.floor.saturating_sub(old.as_ref().map_or(0, Entry::length));
        old
    }

    /// Removes an entry. The way to it was [reached](Self::reach).
    pub(super) fn remove(&mut self, name: &str, retired: &mut BTreeSet<Cid>) -> Option<Entry> {
        let old = self.root.remove(name, murmur::hash(name), 0, retired);
        self.floor = self.floor.saturating_sub(old.as_ref().map_or(0, Entry::length));
        old
    }

    /// Adds an entry to a HAMT that is being built in memory, or gives back a name that collides.
    pub(super) fn append(&mut self, entry: Entry) -> Result<(), String> {
        let mut nothing_to_load = |_: &Cid| Err(());
        match self.reach(&entry.name, &mut nothing_to_load) {
            Ok(Reached::SameHash) | Err(_) => return Err(entry.name),
            Ok(Reached::Nothing | Reached::Entry(_)) => {}
        }
        self.insert(entry, &mut BTreeSet::new());
        Ok(())
    }

    /// Hands out the new shards, children before parents, and keeps only the root in memory.
    pub(super) fn flush(&mut self, sink: &mut impl FnMut(Block)) -> (Cid, u64) {
        self.root.flush(sink)
    }
}

impl Reached {
    fn compare(entry: &Entry, name: &str, hash: Hash) -> Self {
        if entry.name == name {
            Self::Entry(entry.clone())
        } else if murmur::hash(&entry.name) == hash {
            Self::SameHash
        } else {
            Self::Nothing
        }
    }
}

fn get<L: Load>(
    shard: &Shard,
    name: &str,
    depth: usize,
    loader: &mut L,
) -> Result<Option<Entry>, Error<L::Error>> {
    let hash = murmur::hash(name);
    match shard.slots.get(&hash[depth]) {
        None => Ok(None),
        Some(Slot::Entry(entry)) => Ok((entry.name == name).then(|| entry.clone())),
        Some(Slot::Shard(child)) => get(child, name, depth + 1, loader),
        Some(&Slot::Stored(cid, size)) => {
            let child = Shard::load((cid, size), &hash[..=depth], loader)?;
            get(&child, name, depth + 1, loader)
        }
    }
}
