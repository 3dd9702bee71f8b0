//! What a peer has: a file below two directories, beside a directory of shards.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;
use cid::Cid;
use roadstead::ipld::{
    Block, ByteRange, Directory, Entry, Scope, Traversal, car_frame, car_header, file,
};
use roadstead::oci::CanonicalDigest;

use super::noise;

/// Where the file stands.
pub(crate) const FILE: &str = "docker/a b%é";
/// Where the directory of shards stands.
pub(crate) const SHARDS: &str = "docker/shards";
/// How many blocks stand in an archive of the file before its first leaf.
pub(crate) const BEFORE: usize = 3;
/// How long a leaf is.
pub(crate) const LEAF: usize = file::CHUNK_SIZE;

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) root: Cid,
    pub(crate) file: Cid,
    pub(crate) content: Bytes,
    /// The names in the directory of shards, sorted.
    pub(crate) names: Vec<String>,
    blocks: HashMap<Cid, Bytes>,
}

impl World {
    /// A file of five leaves.
    pub(crate) fn new() -> Self {
        static WORLD: LazyLock<World> = LazyLock::new(|| World::of(noise(4 * LEAF + 100, 1)));
        WORLD.clone()
    }

    pub(crate) fn of(content: Bytes) -> Self {
        let mut blocks = HashMap::new();
        let file = file::build(&content, &mut |block| keep(&mut blocks, block));
        Self::around(content, (file.cid, file.dag_size), blocks)
    }

    /// A file of two leaves, the first of which is longer than its parent says.
    pub(crate) fn lying() -> Self {
        let leaves = [Block::raw(noise(1000, 1)), Block::raw(noise(1000, 2))];
        let mut node = Vec::new();
        for leaf in &leaves {
            // A link of dag-pb: its hash, its name and its size.
            let cid = leaf.cid.to_bytes();
            node.extend([0x12, u8::try_from(cid.len()).unwrap() + 7, 0x0a]);
            node.extend(
                [&[u8::try_from(cid.len()).unwrap()][..], &cid, b"\x12\x00\x18\xe8\x07"].concat(),
            );
        }
        // A file of 1999 bytes: 999 and 1000.
        node.extend(b"\x0a\x0b\x08\x02\x18\xcf\x0f\x20\xe7\x07\x20\xe8\x07");
        let node = Block::dag_pb(node.into());
        let content = [&leaves[0].bytes[..], &leaves[1].bytes].concat().into();
        let mut blocks = HashMap::new();
        let file = node.cid;
        leaves.into_iter().chain([node]).for_each(|block| keep(&mut blocks, block));
        Self::around(content, (file, 2100), blocks)
    }

    fn around(content: Bytes, (file, size): (Cid, u64), mut blocks: HashMap<Cid, Bytes>) -> Self {
        let names: Vec<String> = (0..2500).map(|name| format!("{name:0>120}")).collect();
        let entry = |name: &String| Entry { name: name.clone(), cid: file, size };
        let shards = directory(names.iter().map(entry), &mut blocks);
        let (name, shards_name) =
            (FILE.split_once('/').unwrap().1, SHARDS.split_once('/').unwrap().1);
        let inner = [(name, (file, size)), (shards_name, shards)];
        let inner = inner.map(|(name, (cid, size))| Entry { name: name.to_owned(), cid, size });
        let (cid, size) = directory(inner, &mut blocks);
        let outer = Entry { name: "docker".to_owned(), cid, size };
        let (root, _) = directory([outer], &mut blocks);
        Self { root, file, content, names, blocks }
    }

    pub(crate) fn digest(&self) -> CanonicalDigest {
        CanonicalDigest::of(&self.content)
    }

    pub(crate) fn block(&self, cid: &Cid) -> Option<&Bytes> {
        self.blocks.get(cid)
    }

    /// The blocks that lead to something, in their order.
    pub(crate) fn walk(&self, root: Cid, path: Vec<String>, scope: Scope) -> Vec<Block> {
        let mut traversal = Traversal::new(root, path, scope).unwrap();
        let mut blocks = Vec::new();
        while let Some(cid) = traversal.next_cid() {
            let block = Block { cid, bytes: self.blocks[&cid].clone() };
            let taken = traversal.supply(&block);
            blocks.push(block);
            if taken.is_err() {
                break;
            }
        }
        blocks
    }
}

/// Makes an archive.
pub(crate) fn archive(root: &Cid, blocks: &[Block]) -> Vec<u8> {
    let mut bytes = car_header(root).to_vec();
    for part in blocks.iter().flat_map(car_frame) {
        bytes.extend_from_slice(&part);
    }
    bytes
}

/// Reads `dag-scope` and `entity-bytes`.
pub(crate) fn scope(query: &HashMap<String, String>) -> Scope {
    let part = query.get("entity-bytes").map(|part| part.parse::<ByteRange>().unwrap());
    match query["dag-scope"].as_str() {
        "block" => Scope::Block,
        "entity" => Scope::Entity(part),
        other => panic!("dag-scope={other}"),
    }
}

fn directory(
    entries: impl IntoIterator<Item = Entry>,
    blocks: &mut HashMap<Cid, Bytes>,
) -> (Cid, u64) {
    let mut directory = Directory::empty();
    for entry in entries {
        directory.insert(entry, &mut |_: &Cid| Err::<Bytes, _>(fmt::Error)).unwrap();
    }
    directory.flush(&mut |block| keep(blocks, block), &mut drop)
}

fn keep(blocks: &mut HashMap<Cid, Bytes>, block: Block) {
    blocks.insert(block.cid, block.bytes);
}
