//! A tree as an archive: every block below its root, once.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;

use super::root::peek;
use super::{Registry, RegistryError, Result};
use crate::ipld::{Block, Scope, Seen, Traversal};
use crate::oci::TreeId;
use crate::remote::Prefetch;

/// How many blocks are read at a time.
const WIDTH: usize = 4;

/// A tree, on its way out: depth first, in the order of the links, each block where it is met
/// first, so that the same root always makes the same archive.
pub struct Export {
    /// The root.
    pub root: Cid,
    /// How many bytes the blocks have in all, where none is met twice.
    pub bytes: u64,
    blocks: Prefetch<RegistryError>,
    seen: Seen,
}

impl Registry {
    /// Begins to read a tree as it is now. What is changed meanwhile does no harm; what was
    /// replaced is there for [`Limits::root_grace`](super::Limits) at least.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn export(&self, tree: TreeId) -> Result<Export> {
        let folded = peek(self.index.clone(), tree).await?;
        let root = folded.root;
        let added = folded.added.into_iter().map(|block| (block.cid, block.bytes));
        let added: Arc<HashMap<Cid, Bytes>> = Arc::new(added.collect());
        let registry = self.clone();
        let traversal = Traversal::new(root, [], Scope::All { limit: u64::MAX })?;
        let blocks = Prefetch::new(traversal, WIDTH, move |cid| {
            let (registry, added) = (registry.clone(), Arc::clone(&added));
            Box::pin(async move { registry.tree_block(cid, &added).await })
        });
        Ok(Export { root, bytes: folded.dag_size, blocks, seen: Seen::default() })
    }

    async fn tree_block(&self, cid: Cid, added: &HashMap<Cid, Bytes>) -> Result<Block> {
        if let Some(bytes) = added.get(&cid) {
            return Ok(Block { cid, bytes: bytes.clone() });
        }
        let missing = || {
            let why = "a push may have removed it meanwhile (gateway.root_grace); try again";
            RegistryError::Record(format!("{cid}, a block of the tree, is missing: {why}"))
        };
        let found = self.index.block(&cid).await?.ok_or_else(missing)?;
        let Block { bytes, .. } = self.read_found(&cid, found).await?;
        // A disk that lost a bit is not to be copied.
        Block::verify(cid, bytes)
            .map_err(|_| RegistryError::Record(format!("{cid}, a block of the tree, is damaged")))
    }
}

impl Export {
    /// Returns the next block; none at the end.
    ///
    /// # Errors
    /// Those of the index and the storage; [`RegistryError::Record`] when a block is damaged.
    pub async fn next(&mut self) -> Result<Option<Block>> {
        while let Some((block, _)) = self.blocks.next().await? {
            if self.seen.insert(&block.cid) {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }
}
