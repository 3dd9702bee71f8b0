//! Reading the blocks of a traversal one by one, some of them ahead of the next one.

use std::collections::VecDeque;
use std::pin::Pin;

use cid::Cid;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

use crate::ipld::{Block, Step, Target, Traversal, TraversalError};

type Loading<E> = Pin<Box<dyn Future<Output = Result<Block, E>> + Send>>;

/// A traversal whose blocks are loaded one by one.
pub struct Prefetch<E> {
    traversal: Traversal,
    load: Box<dyn Fn(Cid) -> Loading<E> + Send>,
    /// How many are loaded at a time.
    width: usize,
    /// The blocks that are being loaded, in this order.
    cids: VecDeque<Cid>,
    blocks: FuturesOrdered<Loading<E>>,
}

impl<E: From<TraversalError>> Prefetch<E> {
    /// Loads the blocks of a traversal, at most so many at a time.
    #[must_use]
    pub fn new(
        traversal: Traversal,
        width: usize,
        load: impl Fn(Cid) -> Loading<E> + Send + 'static,
    ) -> Self {
        let load = Box::new(load);
        Self { traversal, load, width, cids: VecDeque::new(), blocks: FuturesOrdered::new() }
    }

    /// Returns the target of the path, once that is known.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        self.traversal.target()
    }

    /// Returns the targets of the names of the path, as far as they are looked up and exist.
    #[must_use]
    pub fn found(&self) -> &[Cid] {
        self.traversal.found()
    }

    /// Returns what the root itself adds, where its CID holds its content.
    #[must_use]
    pub fn inlined(&self) -> &Step {
        self.traversal.inlined()
    }

    /// Returns the next block and what it adds; none at the end.
    ///
    /// # Errors
    /// Those of loading, and of the traversal.
    pub async fn next(&mut self) -> Result<Option<(Block, Step)>, E> {
        let upcoming = self.traversal.upcoming(self.width);
        let Some(first) = upcoming.first() else { return Ok(None) };
        if self.cids.front().is_some_and(|cid| cid != first) {
            // The last block has children: they come before the blocks that are being loaded.
            self.cids.push_front(*first);
            self.blocks.push_front((self.load)(*first));
        } else if self.cids.iter().zip(&upcoming).all(|(cid, next)| cid == next) {
            for cid in upcoming.into_iter().skip(self.cids.len()) {
                self.cids.push_back(cid);
                self.blocks.push_back((self.load)(cid));
            }
        }
        self.cids.pop_front();
        let Some(block) = self.blocks.next().await else { return Ok(None) };
        let block = block?;
        let step = self.traversal.supply(&block)?;
        Ok(Some((block, step)))
    }
}
