//! Nodes of trees, which are read again and again: those read of late are in memory. A block is what its
//! CID says for ever, so nothing here can be stale.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::runtime::Handle;

use super::super::{Edit, Result, StorageError, StorageErrorKind};
use super::node::Node;
use crate::ipld::{self, Block, Cid, Load, describe};

/// How many calls are made at a time where many are to be made.
pub(super) const CALLS: usize = 8;

/// How many bytes of nodes are cached.
const CACHED_BYTES: u64 = 4 * 1024 * 1024;

/// What a node takes beside its bytes, about: its CID, its slot in the table, which doubles when it is
/// full, and two allocations.
const OVERHEAD: u64 = 400;

/// The nodes of the trees on one Kubo.
pub(super) struct Blocks {
    node: Arc<Node>,
    cached: Cache<Cid, Bytes, Weights>,
}

impl Blocks {
    pub(super) fn new(node: Arc<Node>) -> Arc<Self> {
        let entries = usize::try_from(CACHED_BYTES / 1024).unwrap_or(usize::MAX);
        Arc::new(Self { node, cached: Cache::with_weighter(entries, CACHED_BYTES, Weights) })
    }

    /// Returns a block that is on the node, and is what its CID says.
    pub(super) async fn get(&self, cid: &Cid) -> Result<Bytes> {
        if let Some(bytes) = self.cached.get(cid) {
            return Ok(bytes);
        }
        let bytes = self.node.kubo.block(cid).await?;
        // The node does not hash what it reads, and what is in memory stays there.
        let Ok(Block { bytes, .. }) = Block::verify(*cid, bytes) else {
            let what = format!("the node has other bytes as block {cid}");
            return Err(StorageError::new(StorageErrorKind::Damaged, what));
        };
        self.cached.insert(*cid, bytes.clone());
        Ok(bytes)
    }

    /// Reads the directories that lead to these paths, those of one depth at a time: one after the other
    /// they take long, where another process has changed the tree. What fails is left to the reader.
    pub(super) async fn warm(self: &Arc<Self>, root: Cid, edits: &[Edit]) {
        let paths: Vec<Vec<&str>> =
            edits.iter().map(|edit| edit.path().components().collect()).collect();
        let mut level =
            BTreeMap::from([(root, paths.iter().map(Vec::as_slice).collect::<Vec<_>>())]);
        while !level.is_empty() {
            let cids: Vec<Cid> = level.keys().copied().collect();
            let nodes: Vec<_> = stream::iter(cids)
                .map(|cid| {
                    let blocks = Arc::clone(self);
                    async move { (cid, blocks.get(&cid).await) }
                })
                .buffer_unordered(CALLS)
                .collect()
                .await;
            let mut below = BTreeMap::new();
            for (cid, bytes) in nodes {
                // Shards are found by what the fold makes of the names.
                let Ok(Ok(ipld::Node::Directory(entries))) =
                    bytes.map(|bytes| describe(&cid, &bytes))
                else {
                    continue;
                };
                let known: HashMap<&str, Cid> =
                    entries.iter().map(|entry| (entry.name.as_str(), entry.cid)).collect();
                for path in level.remove(&cid).unwrap_or_default() {
                    let [name, rest @ ..] = path else { continue };
                    if let (Some(next), false) = (known.get(name), rest.is_empty()) {
                        below.entry(*next).or_insert_with(Vec::new).push(rest);
                    }
                }
            }
            level = below;
        }
    }

    /// Remembers blocks that were put on the node.
    pub(super) fn remember<'a>(&self, blocks: impl IntoIterator<Item = &'a Block>) {
        for Block { cid, bytes } in blocks {
            self.cached.insert(*cid, bytes.clone());
        }
    }

    /// Returns a source of blocks for code that may block.
    pub(super) fn loader(self: &Arc<Self>) -> Loader {
        Loader { blocks: Arc::clone(self), runtime: Handle::current() }
    }
}

/// The blocks for code that runs where it may block.
pub(super) struct Loader {
    blocks: Arc<Blocks>,
    runtime: Handle,
}

impl Load for Loader {
    type Error = StorageError;

    fn load(&mut self, cid: &Cid) -> Result<Bytes> {
        self.runtime.block_on(self.blocks.get(cid))
    }
}

#[derive(Clone)]
struct Weights;

impl Weighter<Cid, Bytes> for Weights {
    fn weight(&self, _: &Cid, bytes: &Bytes) -> u64 {
        OVERHEAD + bytes.len() as u64
    }
}

/// Says that a block is none of a file.
pub(super) fn odd(cid: &Cid) -> StorageError {
    StorageError::new(StorageErrorKind::Damaged, format!("{cid} is not part of a file"))
}
