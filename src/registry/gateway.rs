//! The gateway: what is below the public root, by CIDs, for whoever can verify it.
//!
//! A block is public while a folded public root has it, and for [`Limits::root_grace`](super::Limits) after
//! the last one that had it: whoever resolved that root a moment ago may still be reading.

use std::collections::VecDeque;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use cid::Cid;
use futures_util::stream::{FuturesOrdered, try_unfold};
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::blobs::content;
use super::{Registry, RegistryError, Result};
use crate::index::PublicBlock;
use crate::ipld::{Block, Scope, Target, Traversal};

/// How many blocks are read ahead of the one that is sent.
const AHEAD: usize = 3;

/// Blocks in the order of a traversal; an error ends them, and what came before it is not the whole.
pub type Blocks = Pin<Box<dyn Stream<Item = Result<Block>> + Send>>;

/// What is read of something public.
pub struct Archive {
    /// What stands at the end of the path.
    pub target: Target,
    /// The blocks that prove it, and then those of what was asked for, each as often as it is met.
    pub blocks: Blocks,
}

impl Registry {
    /// Returns a block below the public root; none if it is not there, or is nobody's to see.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn public_block(&self, cid: &Cid) -> Result<Option<Block>> {
        // Some CIDs are their content: whoever asks for them asks whether there is a gateway.
        let inline = Bytes::copy_from_slice(cid.hash().digest());
        if let Ok(block) = Block::verify(*cid, inline) {
            return Ok(Some(block));
        }
        let found = self.read_public(cid).await?;
        // A root that was just told may not be folded yet, and what is below it is not known before.
        if found.is_some() || self.index.unfolded_entry_count().await? == 0 {
            return Ok(found);
        }
        self.root().await?;
        self.read_public(cid).await
    }

    /// Reads what stands at a path below a public block; none if that is not public. A path that leads
    /// nowhere is proved to do so.
    ///
    /// # Errors
    /// Those of the index and the storage; [`RegistryError::PathUnreadable`]
    pub async fn public_archive(
        &self,
        root: &Cid,
        path: Vec<String>,
        scope: Scope,
    ) -> Result<Option<Archive>> {
        let Some(first) = self.public_block(root).await? else { return Ok(None) };
        let mut traversal = Traversal::new(*root, path, scope)?;
        let mut known = VecDeque::from([first]);
        traversal.supply(&known[0])?;
        while let (None, Some(cid)) = (traversal.target(), traversal.wanted()) {
            let block = self.expect_public(cid).await?;
            traversal.supply(&block)?;
            known.push_back(block);
        }
        let target = traversal.target().cloned();
        let target = target.ok_or_else(|| RegistryError::Record(format!("{root} ends nowhere")))?;
        let reading = Reading {
            registry: self.clone(),
            traversal,
            cids: VecDeque::new(),
            blocks: FuturesOrdered::new(),
        };
        let known = futures_util::stream::iter(known.into_iter().map(Ok));
        Ok(Some(Archive { target, blocks: known.chain(reading.blocks()).boxed() }))
    }

    async fn read_public(&self, cid: &Cid) -> Result<Option<Block>> {
        let Some(found) = self.index.public_block(cid, self.grace_began()).await? else {
            return Ok(None);
        };
        let bytes = match found {
            PublicBlock::Kept(bytes) => bytes,
            PublicBlock::Part { blob, start, length } => {
                let pieces = self.storage.open(&content(&blob), start..start + length).await?;
                whole(pieces.map_err(RegistryError::from), length).await?
            }
        };
        Ok(Some(Block { cid: *cid, bytes }))
    }

    async fn expect_public(&self, cid: Cid) -> Result<Block> {
        let found = self.read_public(&cid).await?;
        found
            .ok_or_else(|| RegistryError::Record(format!("{cid}, below a public root, is missing")))
    }
}

/// Collects a stream of that length; one that is a single piece is not copied.
async fn whole(
    mut pieces: impl Stream<Item = Result<Bytes>> + Unpin,
    length: u64,
) -> Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(piece) = pieces.try_next().await? {
        if all.is_empty() && piece.len() as u64 == length {
            return Ok(piece);
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

/// A traversal under way, and the blocks that are read for it.
struct Reading {
    registry: Registry,
    traversal: Traversal,
    /// Those that are read, in this order.
    cids: VecDeque<Cid>,
    blocks: FuturesOrdered<Pin<Box<dyn Future<Output = Result<Block>> + Send>>>,
}

impl Reading {
    fn blocks(self) -> impl Stream<Item = Result<Block>> + Send {
        try_unfold(self, |mut reading| async move {
            let block = reading.next().await?;
            Ok(block.map(|block| (block, reading)))
        })
    }

    fn read(&self, cid: Cid) -> Pin<Box<dyn Future<Output = Result<Block>> + Send>> {
        let registry = self.registry.clone();
        Box::pin(async move { registry.expect_public(cid).await })
    }

    async fn next(&mut self) -> Result<Option<Block>> {
        let wanted = self.traversal.upcoming(1 + AHEAD);
        let Some(first) = wanted.first() else { return Ok(None) };
        if self.cids.front().is_some_and(|cid| cid != first) {
            // The last block had others below it: these come before those that are read.
            self.cids.push_front(*first);
            self.blocks.push_front(self.read(*first));
        } else if self.cids.iter().zip(&wanted).all(|(cid, wanted)| cid == wanted) {
            for cid in wanted.into_iter().skip(self.cids.len()) {
                self.cids.push_back(cid);
                self.blocks.push_back(self.read(cid));
            }
        }
        self.cids.pop_front();
        let Some(block) = self.blocks.next().await else { return Ok(None) };
        let block = block?;
        self.traversal.supply(&block)?;
        Ok(Some(block))
    }
}
