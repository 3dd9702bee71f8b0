//! Reading the blocks of a traversal one by one, some of them ahead of the one that is wanted.

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
    /// Those that are being loaded, in this order.
    cids: VecDeque<Cid>,
    blocks: FuturesOrdered<Loading<E>>,
}

impl<E: From<TraversalError>> Prefetch<E> {
    /// Loads what a traversal wants, at most so many blocks at a time.
    #[must_use]
    pub fn new(
        traversal: Traversal,
        width: usize,
        load: impl Fn(Cid) -> Loading<E> + Send + 'static,
    ) -> Self {
        let load = Box::new(load);
        Self { traversal, load, width, cids: VecDeque::new(), blocks: FuturesOrdered::new() }
    }

    /// Returns what stands at the end of the path, once that is known.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        self.traversal.target()
    }

    /// Returns what the names of the path lead to, as far as they are looked up and lead anywhere.
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
        let wanted = self.traversal.upcoming(self.width);
        let Some(first) = wanted.first() else { return Ok(None) };
        if self.cids.front().is_some_and(|cid| cid != first) {
            // The last block had others below it: these come before those that are being loaded.
            self.cids.push_front(*first);
            self.blocks.push_front((self.load)(*first));
        } else if self.cids.iter().zip(&wanted).all(|(cid, wanted)| cid == wanted) {
            for cid in wanted.into_iter().skip(self.cids.len()) {
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
