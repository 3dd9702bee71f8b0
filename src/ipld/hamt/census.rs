//! Counting the bytes of a HAMT's entries, no further than needed.

use std::collections::BinaryHeap;

use cid::Cid;

use super::super::entry::SHORTEST_CID;
use super::super::{Entry, Error, Load, dag_pb};
use super::Hamt;
use super::shard::{Shard, Slot};

/// What the smallest shard adds at least: two entries with names of one byte.
const SMALLEST_SHARD: usize = 2 * dag_pb::link_length(SHORTEST_CID, 1, 0);

/// The outcome of a count.
pub(in super::super) enum Census {
    /// The entries take more bytes than the limit.
    Beyond,
    /// They do not; here they are.
    Within {
        /// All entries, in no order.
        entries: Vec<Entry>,
        /// All shards that are stored.
        shards: Vec<Cid>,
    },
}

/// A shard that was not looked into. The largest Tsize comes first, as it promises the most entries.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Unseen {
    size: u64,
    cid: Cid,
    path: Vec<u8>,
}

/// What was seen so far.
#[derive(Default)]
struct Count {
    length: usize,
    entries: Vec<Entry>,
    shards: Vec<Cid>,
    unseen: BinaryHeap<Unseen>,
}

impl Hamt {
    /// Counts how many bytes all entries take in one block, until they exceed the limit. What is loaded
    /// for that is not retained.
    pub(in super::super) fn census<L: Load>(
        &mut self,
        limit: usize,
        loader: &mut L,
    ) -> Result<Census, Error<L::Error>> {
        if self.floor > limit {
            return Ok(Census::Beyond);
        }
        let mut count = Count::default();
        count.add(&self.root, &mut Vec::new());
        while count.at_least() <= limit {
            let Some(Unseen { size, cid, mut path }) = count.unseen.pop() else {
                return Ok(Census::Within { entries: count.entries, shards: count.shards });
            };
            let shard = Shard::load((cid, size), &path, loader)?;
            count.add(&shard, &mut path);
        }
        self.floor = count.at_least();
        Ok(Census::Beyond)
    }

    /// All entries, sorted by name.
    pub(in super::super) fn entries<L: Load>(
        &self,
        loader: &mut L,
    ) -> Result<Vec<Entry>, Error<L::Error>> {
        let mut count = Count::default();
        count.add(&self.root, &mut Vec::new());
        while let Some(Unseen { size, cid, mut path }) = count.unseen.pop() {
            let shard = Shard::load((cid, size), &path, loader)?;
            count.add(&shard, &mut path);
        }
        count.entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(count.entries)
    }
}

impl Count {
    /// Adds a shard and those below it that are in memory.
    fn add(&mut self, shard: &Shard, path: &mut Vec<u8>) {
        self.shards.extend(shard.stored.map(|(cid, _)| cid));
        for (&index, slot) in &shard.slots {
            path.push(index);
            match slot {
                Slot::Entry(entry) => {
                    self.length += entry.length();
                    self.entries.push(entry.clone());
                }
                &Slot::Stored(cid, size) => {
                    self.unseen.push(Unseen { size, cid, path: path.clone() });
                }
                Slot::Shard(child) => self.add(child, path),
            }
            path.pop();
        }
    }

    fn at_least(&self) -> usize {
        self.length + self.unseen.len() * SMALLEST_SHARD
    }
}
