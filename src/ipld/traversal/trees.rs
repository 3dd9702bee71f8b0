//! Files and directories of every making, for the tests.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use cid::Cid;
use multihash::Multihash;
use proptest::prelude::*;

use super::super::hamt::Hamt;
use super::super::{Block, Entry, RAW, dag_pb, symlink, unixfs, wire};

/// The blocks of all that was made.
#[derive(Debug, Default)]
pub(super) struct Store {
    blocks: HashMap<Cid, Bytes>,
}

/// What was made: its root, how many bytes it holds, and how many its blocks take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    pub(super) cid: Cid,
    pub(super) size: u64,
    pub(super) dag_size: u64,
}

impl Store {
    pub(super) fn keep(&mut self, block: Block) -> Cid {
        self.blocks.insert(block.cid, block.bytes);
        block.cid
    }

    pub(super) fn get(&self, cid: &Cid) -> Block {
        Block { cid: *cid, bytes: self.blocks[cid].clone() }
    }

    /// A node of these parts, whatever they are and say.
    pub(super) fn node(&mut self, parts: &[Made], own: &[u8]) -> Made {
        let links = parts.iter().map(|part| (&part.cid, "", part.dag_size));
        let sizes: Vec<u64> = parts.iter().map(|part| part.size).collect();
        let (block, dag_size) = dag_pb::block(links, &message(2, own, &sizes));
        let size = own.len() as u64 + sizes.iter().sum::<u64>();
        Made { cid: self.keep(block), size, dag_size }
    }

    /// A directory of one block.
    pub(super) fn directory(&mut self, entries: &[Entry]) -> Cid {
        let links = entries.iter().map(|entry| (&entry.cid, entry.name.as_str(), entry.size));
        self.keep(Block::dag_pb(dag_pb::encode(links, unixfs::DIRECTORY)))
    }

    pub(super) fn leaf(&mut self, bytes: &[u8]) -> Made {
        let cid = self.keep(Block::raw(Bytes::copy_from_slice(bytes)));
        Made { cid, size: bytes.len() as u64, dag_size: bytes.len() as u64 }
    }
}

/// The message of a file of that type, with bytes of its own before those of its parts.
fn message(kind: u8, own: &[u8], sizes: &[u64]) -> Vec<u8> {
    let mut message = vec![0x08, kind];
    if !own.is_empty() {
        wire::put_bytes(&mut message, 2, own);
    }
    wire::put_number(&mut message, 3, own.len() as u64 + sizes.iter().sum::<u64>());
    for size in sizes {
        wire::put_number(&mut message, 4, *size);
    }
    message
}

pub(super) fn old_form(cid: Cid) -> Cid {
    Cid::new_v0(*cid.hash()).unwrap()
}

pub(super) fn inline(bytes: &[u8]) -> Cid {
    Cid::new_v1(RAW, Multihash::wrap(0, bytes).unwrap())
}

/// A file, by what its blocks are.
#[derive(Debug, Clone)]
pub(super) enum File {
    Raw(Vec<u8>),
    /// A node without parts, of type raw (0) or file (2), named by the old form of CIDs or the new one.
    Leaf(u8, bool, Vec<u8>),
    Inline(Vec<u8>),
    Node(bool, Vec<u8>, Vec<File>),
}

impl File {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..20);
        let leaf = prop_oneof![
            3 => bytes().prop_map(Self::Raw),
            2 => (prop_oneof![Just(0), Just(2)], any::<bool>(), bytes())
                .prop_map(|(kind, old, bytes)| Self::Leaf(kind, old, bytes)),
            1 => bytes().prop_map(Self::Inline),
        ];
        leaf.prop_recursive(4, 64, 8, move |part| {
            let own = prop_oneof![3 => Just(Vec::new()), 1 => bytes()];
            (any::<bool>(), own, prop::collection::vec(part, 0..8))
                .prop_map(|(old, own, parts)| Self::Node(old, own, parts))
        })
    }

    pub(super) fn content(&self) -> Vec<u8> {
        match self {
            Self::Raw(bytes) | Self::Leaf(_, _, bytes) | Self::Inline(bytes) => bytes.clone(),
            Self::Node(_, own, parts) => {
                own.iter().copied().chain(parts.iter().flat_map(Self::content)).collect()
            }
        }
    }

    pub(super) fn make(&self, store: &mut Store) -> Made {
        let (old, mut made) = match self {
            Self::Raw(bytes) => (false, store.leaf(bytes)),
            Self::Inline(bytes) => {
                let size = bytes.len() as u64;
                (false, Made { cid: inline(bytes), size, dag_size: size })
            }
            Self::Leaf(kind, old, bytes) => {
                let block = Block::dag_pb(dag_pb::encode([], &message(*kind, bytes, &[])));
                let dag_size = block.bytes.len() as u64;
                let size = bytes.len() as u64;
                (*old, Made { cid: store.keep(block), size, dag_size })
            }
            Self::Node(old, own, parts) => {
                let parts: Vec<Made> = parts.iter().map(|part| part.make(store)).collect();
                (*old, store.node(&parts, own))
            }
        };
        if old {
            let bytes = store.get(&made.cid).bytes;
            made.cid = store.keep(Block { cid: old_form(made.cid), bytes });
        }
        made
    }

    /// The blocks that have a byte between these two, and the root: those that a range needs.
    pub(super) fn needed(&self, start: u64, end: u64, offset: u64, store: &mut Store) -> Vec<Cid> {
        let Made { cid, size, .. } = self.make(store);
        let mut needed = Vec::new();
        if offset == 0 || (start.max(offset) < end.min(offset + size)) {
            needed.extend((!matches!(self, Self::Inline(_))).then_some(cid));
            if let Self::Node(_, own, parts) = self {
                let mut offset = offset + own.len() as u64;
                for part in parts {
                    let size = part.make(store).size;
                    if start.max(offset) < end.min(offset + size) {
                        needed.extend(part.needed(start, end, offset, store));
                    }
                    offset += size;
                }
            }
        }
        needed
    }
}

/// What stands in a directory.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    File(File),
    Symlink(String),
    /// A directory, of shards or of one block.
    Directory(bool, BTreeMap<String, Tree>),
}

impl Tree {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        let leaf = prop_oneof![
            3 => File::any().prop_map(Self::File),
            1 => "[a-z/.]{0,9}".prop_map(Self::Symlink),
        ];
        leaf.prop_recursive(4, 48, 12, |tree| {
            (any::<bool>(), prop::collection::btree_map("[a-h]{1,2}|\\.\\.|é", tree, 0..12))
                .prop_map(|(sharded, entries)| Self::Directory(sharded, entries))
        })
    }

    pub(super) fn make(&self, store: &mut Store) -> (Cid, u64) {
        match self {
            Self::File(file) => {
                let Made { cid, dag_size, .. } = file.make(store);
                (cid, dag_size)
            }
            Self::Symlink(target) => {
                let block = symlink(target);
                let size = block.bytes.len() as u64;
                (store.keep(block), size)
            }
            Self::Directory(sharded, _) => {
                let entries = self.entries(store);
                if !sharded {
                    return (store.directory(&entries), 1);
                }
                let mut hamt = Hamt::new();
                for entry in entries {
                    hamt.append(entry).unwrap();
                }
                hamt.flush(&mut |block| {
                    store.keep(block);
                })
            }
        }
    }

    /// The entries of a directory, in the order of their names.
    pub(super) fn entries(&self, store: &mut Store) -> Vec<Entry> {
        let Self::Directory(_, entries) = self else { return Vec::new() };
        let mut made = Vec::new();
        for (name, tree) in entries {
            let (cid, size) = tree.make(store);
            made.push(Entry { name: name.clone(), cid, size });
        }
        made
    }

    /// All paths in it, and what is there.
    pub(super) fn paths(&self) -> Vec<(Vec<String>, &Self)> {
        let mut paths = vec![(Vec::new(), self)];
        if let Self::Directory(_, entries) = self {
            for (name, tree) in entries {
                for (mut path, below) in tree.paths() {
                    path.insert(0, name.clone());
                    paths.push((path, below));
                }
            }
        }
        paths
    }
}
