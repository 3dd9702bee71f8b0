//! Sharded directories: a trie over the hashes of the names, a block a node.
//!
//! Which shards there are follows from the names alone: a shard stands wherever two names or more share
//! the bytes of their hashes so far. Every shard that is loaded is checked to hold only names that
//! belong there, so no name can be hidden from a look-up and no block stand at two positions.

mod census;
mod shard;

use std::collections::BTreeSet;

use bytes::Bytes;
use cid::Cid;

pub(super) use census::Census;
use shard::{Hash, Shard, Slot};

use super::{Block, DecodeError, Entry, Error, Load, dag_pb, murmur, unixfs};

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

/// What stands in a slot of a shard that is only read.
pub(super) enum SlotContent {
    Entry(Entry),
    Shard(Cid),
}

/// Reads the block of the shard that holds the names whose hashes begin with `path`: each slot that is taken.
pub(super) fn read(
    cid: Cid,
    block: &Bytes,
    path: &[u8],
) -> Result<Vec<(u8, SlotContent)>, DecodeError> {
    let node = dag_pb::decode(block)?;
    let data = unixfs::decode(&node.data)?;
    let shard = Shard::open((cid, 0), node.links, &data, path)?;
    let slots = shard.slots.into_iter().map(|(index, slot)| match slot {
        Slot::Entry(entry) => (index, SlotContent::Entry(entry)),
        Slot::Stored(cid, _) => (index, SlotContent::Shard(cid)),
        Slot::Shard(_) => unreachable!("nothing below a shard that was opened is in memory"),
    });
    Ok(slots.collect())
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::ipld::{Directory, raw_cid};

    type Blocks = HashMap<Cid, Bytes>;

    fn load(blocks: &Blocks) -> impl FnMut(&Cid) -> Result<Bytes, Cid> {
        |cid| blocks.get(cid).cloned().ok_or(*cid)
    }

    fn entry(name: &str) -> Entry {
        Entry { name: name.to_owned(), cid: raw_cid([0; 32]), size: 1 }
    }

    fn hamt_of(names: &[&str]) -> Hamt {
        let mut hamt = Hamt::new();
        for name in names {
            hamt.append(entry(name)).unwrap();
        }
        hamt
    }

    fn stored(mut hamt: Hamt) -> (Cid, Blocks) {
        let mut blocks = Blocks::new();
        let (cid, _) = hamt.flush(&mut |block| {
            assert_eq!(blocks.insert(block.cid, block.bytes), None);
        });
        (cid, blocks)
    }

    /// Two names that share exactly so many bytes of their hashes.
    fn alike(bytes: usize) -> [String; 2] {
        let mut seen: HashMap<Vec<u8>, String> = HashMap::new();
        for name in (0..).map(|index: u32| index.to_string()) {
            let hash = murmur::hash(&name);
            if let Some(other) = seen.insert(hash[..bytes].to_vec(), name.clone())
                && murmur::hash(&other)[bytes] != hash[bytes]
            {
                return [other, name];
            }
        }
        unreachable!("names do not run out");
    }

    #[test]
    fn shards_stand_where_names_are_alike_and_fall_when_one_is_removed() {
        for depth in 0..=3 {
            let [first, second] = alike(depth);
            let (root, mut blocks) = stored(hamt_of(&[&first, &second, "apart"]));
            assert_eq!(blocks.len(), 1 + depth);

            let mut directory = Directory::open(&root, &mut load(&blocks)).unwrap();
            for name in [&first, &second] {
                let found = directory.get(name, &mut load(&blocks)).unwrap();
                assert_eq!(found, Some(entry(name)));
            }
            assert_eq!(directory.get("absent", &mut load(&blocks)).unwrap(), None);

            // Below the threshold a removal would make it one block, so the trie is edited itself.
            let data = dag_pb::decode(&blocks[&root]).unwrap();
            let message = unixfs::decode(&data.data).unwrap();
            let mut hamt = Hamt::open((root, 0), data.links, &message).unwrap();
            assert!(matches!(hamt.reach(&second, &mut load(&blocks)), Ok(Reached::Entry(_))));
            let mut retired = BTreeSet::new();
            assert_eq!(hamt.remove(&second, &mut retired), Some(entry(&second)));
            assert_eq!(retired, blocks.keys().copied().collect());
            let (expected, _) = stored(hamt_of(&[&first, "apart"]));
            assert_eq!(stored(hamt.clone()).0, expected);

            assert!(matches!(hamt.reach(&second, &mut load(&blocks)), Ok(Reached::Nothing)));
            assert_eq!(hamt.insert(entry(&second), &mut retired), None);
            assert_eq!(stored(hamt).0, root);

            assert!(directory.remove("apart", &mut load(&blocks)).unwrap().is_some());
            let (basic, _) = directory.flush(
                &mut |block| drop(blocks.insert(block.cid, block.bytes)),
                &mut |cid| {
                    assert!(retired.remove(&cid));
                },
            );
            assert!(retired.is_empty());
            let mut expected = Directory::empty();
            for name in [&first, &second] {
                expected.insert(entry(name), &mut load(&blocks)).unwrap();
            }
            assert_eq!(expected.flush(&mut drop, &mut drop).0, basic);
        }
    }

    /// Two names of the same 64-bit hash, made by solving the last block of one for the state of the other.
    const SAME: [&str; 2] =
        ["one name of many, two of a hash.", "seedmipwobgvieka`3y!Sau0?& &uY5^"];

    #[test]
    fn a_name_with_the_hash_of_another_is_refused_and_never_taken_for_it() {
        assert_eq!(murmur::hash(SAME[0]), murmur::hash(SAME[1]));
        let mut hamt = hamt_of(&[SAME[0], "other"]);
        assert_eq!(hamt.append(entry(SAME[1])), Err(SAME[1].to_owned()));
        let (root, blocks) = stored(hamt);
        let mut directory = Directory::open(&root, &mut load(&blocks)).unwrap();
        assert_eq!(directory.get(SAME[1], &mut load(&blocks)).unwrap(), None);
        assert_eq!(directory.remove(SAME[1], &mut load(&blocks)).unwrap(), None);
        let refused = directory.insert(entry(SAME[1]), &mut load(&blocks));
        assert!(matches!(refused, Err(Error::HashCollision { name }) if name == SAME[1]));
        assert_eq!(directory.flush(&mut drop, &mut drop).0, root);
    }

    #[test]
    fn a_directory_of_one_block_can_hold_what_shards_cannot() {
        let nothing = Blocks::new();
        let mut directory = Directory::empty();
        for name in SAME {
            directory.insert(entry(name), &mut load(&nothing)).unwrap();
        }
        let before = directory.flush(&mut drop, &mut drop);
        let refused = directory.insert(entry(&"long".repeat(70_000)), &mut load(&nothing));
        assert!(matches!(refused, Err(Error::HashCollision { .. })));
        assert_eq!(directory.flush(&mut drop, &mut drop), before);
    }

    /// Opens a shard of these links below a path.
    fn open(links: &[&str], bitfield: &[u8], path: &[u8]) -> Result<Shard, DecodeError> {
        let links = links.iter().map(|name| entry(name)).collect();
        let data = unixfs::decode(&unixfs::shard(bitfield).into())?;
        Shard::open((raw_cid([0; 32]), 0), links, &data, path)
    }

    #[test]
    fn shards_that_hide_or_misplace_names_are_refused() {
        // The hash of `a` begins with 0x85 0x55, that of `b` with 0x31 0x63.
        assert_eq!(murmur::hash("a")[..2], [0x85, 0x55]);
        let bits = |slots: &[u8]| {
            let mut bitfield = [0; 32];
            for slot in slots {
                bitfield[31 - usize::from(slot / 8)] |= 1 << (slot % 8);
            }
            bitfield
        };
        let right = bits(&[0x85]);
        assert!(open(&["85a"], &right, &[]).is_ok());
        assert!(open(&["55a"], &bits(&[0x55]), &[0x85]).is_ok());
        assert!(open(&["85", "FF"], &bits(&[0x85, 0xff]), &[]).is_ok());
        assert!(open(&[], &[], &[]).is_ok());

        assert!(open(&["84a"], &bits(&[0x84]), &[]).is_err(), "not where the hash leads");
        assert!(open(&["55a"], &bits(&[0x55]), &[0x86]).is_err(), "below another path");
        assert!(open(&["85a"], &bits(&[0x84]), &[]).is_err(), "another bit");
        assert!(open(&["85a"], &bits(&[0x85, 0x86]), &[]).is_err(), "a bit without a link");
        assert!(open(&["85a"], &[&[0, 1][..], &right].concat(), &[]).is_err(), "too many bits");
        assert!(open(&["FF", "85"], &bits(&[0x85, 0xff]), &[]).is_err(), "out of order");
        assert!(open(&["85", "85a"], &right, &[]).is_err(), "a slot twice");
        assert!(open(&["ff"], &bits(&[0xff]), &[]).is_err(), "lowercase");
        assert!(open(&["+5"], &bits(&[5]), &[]).is_err(), "a sign");
        assert!(open(&["8"], &bits(&[8]), &[]).is_err(), "one digit");
        assert!(open(&["8é"], &bits(&[8]), &[]).is_err(), "no digit");
        assert!(open(&[], &[], &[0x85]).is_err(), "empty below the root");
        assert!(open(&["00"], &bits(&[0]), &[0; 8]).is_err(), "deeper than the hash");
    }

    #[test]
    fn shards_of_another_kind_are_refused() {
        // Type 5, an empty bitfield, hashType and fanout.
        let open = |hash: u8, fanout: [u8; 2]| {
            let message = [8, 5, 0x12, 0, 0x28, hash, 0x30, fanout[0], fanout[1]];
            let data = unixfs::decode(&Bytes::copy_from_slice(&message)).unwrap();
            Shard::open((raw_cid([0; 32]), 0), Vec::new(), &data, &[])
        };
        assert!(open(0x22, [0x80, 2]).is_ok());
        assert!(open(0x12, [0x80, 2]).is_err());
        assert!(open(0x22, [0x80, 8]).is_err());
    }

    #[test]
    fn a_shard_that_leads_back_above_itself_is_refused() {
        let [first, second] = alike(2);
        let (root, mut blocks) = stored(hamt_of(&[&first, &second, "apart"]));
        // Every shard is replaced by the root: a chain without an end, were it not for the paths.
        let bytes = blocks[&root].clone();
        for block in blocks.values_mut() {
            *block = bytes.clone();
        }
        let mut directory = Directory::open(&root, &mut load(&blocks)).unwrap();
        assert!(directory.get(&first, &mut load(&blocks)).is_err());
        assert!(directory.remove(&first, &mut load(&blocks)).is_err());
        assert!(directory.entries(&mut load(&blocks)).is_err());
    }
}
