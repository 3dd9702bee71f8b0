//! What all parts of the driver share.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt;

use super::super::{Content, Finished, Result};
use super::blocks::{Blocks, odd};
use super::buffer_pool::BufferPool;
use super::commit::Snapshots;
use super::node::Node;
use super::pull_quota::Pulls;
use crate::ipld::file::{CHUNK_SIZE, Spine, TwinHasher};
use crate::ipld::{self, Cid, RAW, describe, digest_of};
use crate::oci::{Algorithm, CanonicalDigest, Digest, Hasher};

/// A registry on a node.
pub(super) struct Store {
    pub(super) node: Arc<Node>,
    pub(super) blocks: Arc<Blocks>,
    pub(super) snapshots: Snapshots,
    pub(super) pool: Arc<BufferPool>,
    pub(super) pulls: Arc<Pulls>,
    /// Uploads whose parts are of no more use.
    released: Mutex<HashSet<String>>,
}

impl Store {
    pub(super) fn new(node: Arc<Node>) -> Arc<Self> {
        let blocks = Blocks::new(Arc::clone(&node));
        let snapshots = Snapshots::new(Arc::clone(&node), Arc::clone(&blocks));
        let (pool, pulls, released) = (BufferPool::new(), Pulls::new(), Mutex::default());
        Arc::new(Self { node, blocks, snapshots, pool, pulls, released })
    }

    /// Says that the parts of an upload are of no more use; the next cleaning takes them away.
    pub(super) fn release(&self, id: &str) {
        self.released().insert(id.to_owned());
    }

    /// Uploads whose parts are of no more use.
    pub(super) fn released(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists the digests of the leaves of content, out of the nodes above them.
    pub(super) async fn leaves(&self, content: &Content) -> Result<Vec<[u8; 32]>> {
        let (mut leaves, mut left) = (Vec::new(), vec![content.cid]);
        while let Some(cid) = left.pop() {
            let digest = digest_of(&cid).ok_or_else(|| odd(&cid))?;
            if cid.codec() == RAW {
                leaves.push(digest);
                continue;
            }
            let bytes = self.blocks.get(&cid).await?;
            let Ok(ipld::Node::File { parts, .. }) = describe(&cid, &bytes) else {
                return Err(odd(&cid));
            };
            left.extend(parts.iter().rev().map(|part| part.cid));
        }
        Ok(leaves)
    }

    /// Tells how long a file is.
    pub(super) async fn size(&self, cid: &Cid) -> Result<u64> {
        let bytes = self.node.kubo.block(cid).await?;
        match describe(cid, &bytes) {
            Ok(ipld::Node::Leaf { size } | ipld::Node::File { size, .. }) => Ok(size),
            _ => Err(odd(cid)),
        }
    }

    /// Reads a file of that size, and computes what it is.
    pub(super) async fn identify(&self, cid: &Cid, size: u64) -> Result<Finished> {
        let (mut hasher, mut spine, mut leaves) = (TwinHasher::new(), Spine::new(), Vec::new());
        if size > 0 {
            let mut body = self.node.kubo.read(cid, 0..size).await?;
            while let Some(bytes) = body.try_next().await? {
                hasher.append(&bytes, &mut |leaf| leaves.push((leaf, CHUNK_SIZE as u64)));
            }
        }
        let (whole, last) = hasher.finish();
        leaves.extend(last.map(|leaf| (leaf, size % CHUNK_SIZE as u64)));
        for (leaf, length) in leaves.iter().filter(|(_, length)| *length > 0) {
            spine.push_leaf(*leaf, *length, &mut drop);
        }
        let cid = spine.finish(&mut drop).cid;
        let content = Content { canonical: CanonicalDigest(whole), cid, size };
        let leaves = leaves.into_iter().map(|(leaf, _)| leaf).collect();
        Ok(Finished { content, leaves, is_replaced: false })
    }

    /// Reads content, and computes its sha512 digest.
    pub(super) async fn sha512(&self, content: &Content) -> Result<Digest> {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        if content.size > 0 {
            let mut body = self.node.kubo.read(&content.cid, 0..content.size).await?;
            while let Some(bytes) = body.try_next().await? {
                hasher.update(&bytes);
            }
        }
        Ok(hasher.finish())
    }
}
