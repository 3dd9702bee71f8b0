//! The gateway: what is below the public root, by CIDs, for clients that verify it.
//!
//! A block is public while a folded public root has it, and for [`Limits::root_grace`](super::Limits) after
//! the last one that had it: a client that resolved that root a moment ago may still be reading. Only what was
//! [withdrawn](Registry::purge) is refused at once.

use std::pin::Pin;

use bytes::Bytes;
use cid::Cid;
use futures_util::stream::{self, try_unfold};
use futures_util::{Stream, StreamExt};

use super::blobs::content;
use super::{Registry, RegistryError, Result};
use crate::index::{PublicBlock, TreeState};
use crate::ipld::{Block, RAW, Scope, Target, Traversal};
use crate::oci::TreeId;
use crate::remote::Prefetch;

/// How many blocks are read at a time: the one that is sent next, and some ahead of it.
const WIDTH: usize = 4;

/// How many bytes of what an earlier root leads to are read before the answer begins.
const LOOKED_AT: usize = 1 << 20;

/// Blocks in the order of a traversal; an error ends them, and what came before it is not the whole.
pub type Blocks = Pin<Box<dyn Stream<Item = Result<Block>> + Send>>;

/// What is read of something public.
pub struct Archive {
    /// What is at the end of the path.
    pub target: Target,
    /// What the names of the path lead to, from the root on, as far as they lead anywhere.
    pub roots: Vec<Cid>,
    /// The blocks that prove it, and then those of what was requested, each as often as it is met.
    pub blocks: Blocks,
}

impl Registry {
    /// Returns whether there is such a block below the public root.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn is_public(&self, cid: &Cid) -> Result<bool> {
        Ok(self.find_public(cid).await?.is_some())
    }

    /// Returns a block below the public root; none if it is not there, or is not public.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn public_block(&self, cid: &Cid) -> Result<Option<Block>> {
        // Some CIDs are their content: a request for them asks whether there is a gateway. What one of them
        // links to has nothing to do with what is public.
        let inline = Bytes::copy_from_slice(cid.hash().digest());
        if let Ok(block) = Block::verify(*cid, inline)
            && cid.codec() == RAW
        {
            return Ok(Some(block));
        }
        match self.find_public(cid).await? {
            Some(found) => self.read_found(cid, found).await.map(Some),
            None => Ok(None),
        }
    }

    /// Finds a block below the public root.
    async fn find_public(&self, cid: &Cid) -> Result<Option<PublicBlock>> {
        let found = self.index.public_block(cid, self.grace_began()).await?;
        if found.is_some() {
            return Ok(found);
        }
        // A root that was just reported may not be folded yet, and what is below it is not known before.
        let is_quiet = self.index.open_entry_count().await? == 0;
        let TreeState { root, last } = self.index.tree_state(TreeId::Public).await?;
        if is_quiet && root.is_some() && last.is_none() {
            return Ok(None);
        }
        self.catch_up().await?;
        Ok(self.index.public_block(cid, self.grace_began()).await?)
    }

    /// Reads what is at a path below a public block, which [`Registry::public_block`] returned. A path that
    /// leads nowhere is proved to do so.
    ///
    /// # Errors
    /// Those of the index and the storage; [`RegistryError::PathUnreadable`]; [`RegistryError::NotPublic`] where
    /// the path leads through what was withdrawn.
    pub async fn public_archive(
        &self,
        first: Block,
        path: Vec<String>,
        scope: Scope,
    ) -> Result<Archive> {
        let (registry, root) = (self.clone(), first.cid);
        let mut reading = Prefetch::new(Traversal::new(root, path, scope)?, WIDTH, move |cid| {
            let known = (cid == first.cid).then(|| first.clone());
            let registry = registry.clone();
            Box::pin(async move {
                match known {
                    Some(block) => Ok(block),
                    None => registry.expect_public(cid, root).await,
                }
            })
        });
        let mut known = Vec::new();
        while reading.target().is_none() {
            let Some((block, _)) = reading.next().await? else { break };
            known.push(block);
        }
        let target = reading.target().cloned();
        let target = target
            .ok_or_else(|| RegistryError::Record(format!("{root} is not the path of a file")))?;
        if !self.index.is_in_public_tree(&root).await? {
            // What it had may be withdrawn in part: where the beginning shows that, there is an answer that says so.
            let mut size = 0;
            while size < LOOKED_AT {
                let Some((block, _)) = reading.next().await? else { break };
                size += block.bytes.len();
                known.push(block);
            }
        }
        let roots = [root].into_iter().chain(reading.found().iter().copied()).collect();
        let rest = try_unfold(reading, |mut reading| async move {
            let block = reading.next().await?;
            Ok(block.map(|(block, _)| (block, reading)))
        });
        let known = stream::iter(known.into_iter().map(Ok));
        Ok(Archive { target, roots, blocks: known.chain(rest).boxed() })
    }

    /// Reads a block that was found.
    pub(super) async fn read_found(&self, cid: &Cid, found: PublicBlock) -> Result<Block> {
        let bytes = match found {
            PublicBlock::Stored(bytes) => bytes,
            PublicBlock::Part { blob, start, length } => {
                self.storage.leaf(&content(&blob), start..start + length, cid).await?
            }
        };
        Ok(Block { cid: *cid, bytes })
    }

    /// Reads a block below a public one. What earlier roots lead to may be withdrawn.
    async fn expect_public(&self, cid: Cid, root: Cid) -> Result<Block> {
        let Some(found) = self.index.public_block(&cid, self.grace_began()).await? else {
            let is_withdrawn = self.index.is_withdrawn(&cid).await?
                || !self.index.is_in_public_tree(&root).await?;
            return Err(if is_withdrawn {
                RegistryError::NotPublic(cid)
            } else {
                RegistryError::Record(format!("{cid}, below a public root, is missing"))
            });
        };
        self.read_found(&cid, found).await
    }
}
