//! One node of the trie: its block, and edits that need nothing from outside.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use cid::Cid;

use super::super::block::DAG_PB;
use super::super::unixfs::{self, FANOUT, Kind, MURMUR3};
use super::super::{Block, DecodeError, Entry, Error, Load, dag_pb, murmur};

/// The hash of a name: a byte for each level of shards.
pub(super) type Hash = [u8; 8];

/// A shard in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Shard {
    /// The block that holds exactly this, and its Tsize; `None` once it was edited.
    pub(super) stored: Option<(Cid, u64)>,
    pub(super) slots: BTreeMap<u8, Slot>,
}

/// What stands in a slot that is taken.
#[derive(Debug, Clone)]
pub(super) enum Slot {
    /// The only name so far whose hash goes this way.
    Entry(Entry),
    /// A shard that is not in memory: its CID and Tsize.
    Stored(Cid, u64),
    /// A shard in memory.
    Shard(Box<Shard>),
}

impl Shard {
    /// Loads the shard that holds the names whose hashes begin with `path`.
    pub(super) fn load<L: Load>(
        stored: (Cid, u64),
        path: &[u8],
        loader: &mut L,
    ) -> Result<Self, Error<L::Error>> {
        let (cid, _) = stored;
        let decode = |source| Error::decode(cid, source);
        if cid.codec() != DAG_PB {
            return Err(decode(malformed("a link without a name leads to no node")));
        }
        let block = loader.load(&cid).map_err(|source| Error::load(cid, source))?;
        let node = dag_pb::decode(&block).map_err(decode)?;
        let data = unixfs::decode(&node.data).map_err(decode)?;
        Self::open(stored, node.links, &data, path).map_err(decode)
    }

    /// The shard of a block, if it is one that belongs below `path`.
    pub(super) fn open(
        stored: (Cid, u64),
        links: Vec<Entry>,
        data: &unixfs::Data,
        path: &[u8],
    ) -> Result<Self, DecodeError> {
        if path.len() >= size_of::<Hash>() {
            return Err(malformed("a shard stands deeper than a hash reaches"));
        }
        if data.kind != Kind::Shard || (links.is_empty() && !path.is_empty()) {
            return Err(malformed("a node below a shard is not a shard, or is empty"));
        }
        if data.hash_type != Some(MURMUR3) || data.fanout != Some(FANOUT) {
            return Err(DecodeError::Unsupported("hash function or fanout of a shard"));
        }
        let mut slots = BTreeMap::new();
        for link in links {
            let (index, slot) = open_slot(link, path)?;
            if slots.last_key_value().is_some_and(|(&last, _)| last >= index) {
                return Err(malformed("the links are out of order"));
            }
            slots.insert(index, slot);
        }
        let zeros = data.content.iter().take_while(|&&byte| byte == 0).count();
        let bitfield = bitfield(slots.keys());
        if data.content[zeros..]
            != bitfield[bitfield.iter().take_while(|&&byte| byte == 0).count()..]
        {
            return Err(malformed("the bitfield does not tell which links there are"));
        }
        Ok(Self { stored: Some(stored), slots })
    }

    /// Adds or replaces an entry. The shards on its way are in memory, and no other name has its hash.
    pub(super) fn insert(
        &mut self,
        hash: Hash,
        depth: usize,
        entry: Entry,
        retired: &mut BTreeSet<Cid>,
    ) -> Option<Entry> {
        self.touch(retired);
        let slot = match self.slots.entry(hash[depth]) {
            btree_map::Entry::Vacant(vacant) => {
                vacant.insert(Slot::Entry(entry));
                return None;
            }
            btree_map::Entry::Occupied(occupied) => occupied.into_mut(),
        };
        match slot {
            Slot::Shard(child) => child.insert(hash, depth + 1, entry, retired),
            Slot::Entry(old) if old.name == entry.name => Some(std::mem::replace(old, entry)),
            Slot::Entry(other) => {
                let other = other.clone();
                let mut child = Self::default();
                child.insert(murmur::hash(&other.name), depth + 1, other, retired);
                child.insert(hash, depth + 1, entry, retired);
                *slot = Slot::Shard(Box::new(child));
                None
            }
            Slot::Stored(..) => unreachable!("the way to an edit is in memory"),
        }
    }

    /// Removes an entry, and with it each shard that would be left with a single name. The shards on its
    /// way are in memory.
    pub(super) fn remove(
        &mut self,
        name: &str,
        hash: Hash,
        depth: usize,
        retired: &mut BTreeSet<Cid>,
    ) -> Option<Entry> {
        let btree_map::Entry::Occupied(mut slot) = self.slots.entry(hash[depth]) else {
            return None;
        };
        let old = match slot.get_mut() {
            Slot::Entry(entry) if entry.name != name => return None,
            Slot::Entry(_) => match slot.remove() {
                Slot::Entry(entry) => entry,
                Slot::Shard(_) | Slot::Stored(..) => unreachable!("the slot held an entry"),
            },
            Slot::Shard(child) => {
                let old = child.remove(name, hash, depth + 1, retired)?;
                if let Some(last) = child.last_entry() {
                    slot.insert(Slot::Entry(last));
                } else if child.slots.is_empty() {
                    slot.remove();
                }
                old
            }
            Slot::Stored(..) => unreachable!("the way to an edit is in memory"),
        };
        self.touch(retired);
        Some(old)
    }

    /// The entry of a shard that holds nothing else.
    fn last_entry(&self) -> Option<Entry> {
        match self.slots.first_key_value() {
            Some((_, Slot::Entry(entry))) if self.slots.len() == 1 => Some(entry.clone()),
            _ => None,
        }
    }

    /// Gives up the block that holds the shard as it was.
    fn touch(&mut self, retired: &mut BTreeSet<Cid>) {
        retired.extend(self.stored.take().map(|(cid, _)| cid));
    }

    /// Stores what is new at and below this shard, children first, and keeps none of them in memory.
    pub(super) fn flush(&mut self, sink: &mut impl FnMut(Block)) -> (Cid, u64) {
        for slot in self.slots.values_mut() {
            if let Slot::Shard(child) = slot {
                let (cid, size) = child.flush(sink);
                *slot = Slot::Stored(cid, size);
            }
        }
        *self.stored.get_or_insert_with(|| {
            let links: Vec<Entry> =
                self.slots.iter().filter_map(|(&index, slot)| link(index, slot)).collect();
            let links = links.iter().map(|link| (&link.cid, link.name.as_str(), link.size));
            let data = unixfs::shard(&bitfield(self.slots.keys()));
            let (block, dag_size) = dag_pb::block(links, &data);
            let cid = block.cid;
            sink(block);
            (cid, dag_size)
        })
    }
}

/// The slot that a link of a shard's block says, and what stands in it.
fn open_slot(mut link: Entry, path: &[u8]) -> Result<(u8, Slot), DecodeError> {
    let digits = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    let (prefix, name) = match link.name.split_at_checked(2) {
        Some((prefix, name)) if prefix.as_bytes().iter().all(digits) => (prefix, name),
        _ => return Err(malformed("a link does not begin with its slot")),
    };
    let index = u8::from_str_radix(prefix, 16).expect("two hexadecimal digits are a byte");
    if name.is_empty() {
        return Ok((index, Slot::Stored(link.cid, link.size)));
    }
    let hash = murmur::hash(name);
    if !hash.starts_with(path) || hash[path.len()] != index {
        return Err(malformed("a name stands where its hash does not lead"));
    }
    link.name = name.to_owned();
    Ok((index, Slot::Entry(link)))
}

/// The link of a slot in a shard's block, if nothing below waits to be stored.
fn link(index: u8, slot: &Slot) -> Option<Entry> {
    match slot {
        Slot::Entry(entry) => {
            Some(Entry { name: format!("{index:02X}{}", entry.name), ..entry.clone() })
        }
        &Slot::Stored(cid, size) => Some(Entry { name: format!("{index:02X}"), cid, size }),
        Slot::Shard(child) => {
            let (cid, size) = child.stored?;
            Some(Entry { name: format!("{index:02X}"), cid, size })
        }
    }
}

/// Which slots are taken: slot *n* is bit *n* of a big-endian number.
fn bitfield<'a>(slots: impl Iterator<Item = &'a u8>) -> [u8; 32] {
    let mut bitfield = [0; 32];
    for index in slots {
        bitfield[31 - usize::from(index / 8)] |= 1 << (index % 8);
    }
    bitfield
}

fn malformed(reason: &'static str) -> DecodeError {
    DecodeError::Malformed { format: "shard", reason }
}
