//! One block, from the first source that answers.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cid::Cid;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::bounds::{Permit, Purpose};
use super::error::NO_SOURCE;
use super::{BlockAnswer, Remote, RemoteError, RemoteErrorKind, Result};
use crate::ipld::Block;

impl Remote {
    /// Acquires a permit to read a block.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Busy`] when none gets free.
    pub(super) async fn permit_for_block(&self) -> Result<Permit> {
        self.bounds.begin(Purpose::Block).await
    }

    /// Reads one block. A source that has begun to answer is the only one until it fails.
    ///
    /// # Errors
    /// When no source has it.
    pub async fn block(&self, cid: Cid) -> Result<Block> {
        let mut waiting = self.sources_in_order();
        let mut running = FuturesUnordered::new();
        let mut worst = RemoteError::new(RemoteErrorKind::NoSource, NO_SOURCE);
        loop {
            if let Some(source) = waiting.pop_front() {
                let (sources, bounds) = (Arc::clone(&self.sources), self.bounds.clone());
                running.push(async move { (source, sources[source].block(cid, &bounds).await) });
            }
            let next = if waiting.is_empty() {
                running.next().await
            } else {
                let head_start = self.head_start;
                tokio::time::timeout(head_start, running.next()).await.unwrap_or_default()
            };
            let Some((source, answer)) = next else {
                if waiting.is_empty() && running.is_empty() {
                    return Err(worst);
                }
                continue;
            };
            let block = match answer {
                Ok(answer) => answer.await,
                Err(error) => Err(error),
            };
            match block {
                Ok(block) => {
                    self.note_answer(source);
                    return Ok(block);
                }
                Err(error) => {
                    let (name, cause) = (self.sources[source].name(), error.source());
                    tracing::debug!(source = name, %error, cause, %cid, "failed to fetch a block from a source");
                    if error.kind >= worst.kind {
                        worst = error;
                    }
                }
            }
        }
    }

    /// Returns the sources in the order in which they are tried.
    pub(super) fn sources_in_order(&self) -> VecDeque<usize> {
        let best = self.best.load(Ordering::Relaxed);
        let mut order: Vec<usize> = (0..self.sources.len()).collect();
        order.sort_by_key(|&source| source != best);
        order.into()
    }
}

/// Reads a block that a source returns in one piece.
pub(super) fn answered(block: Block) -> BlockAnswer {
    Box::pin(async { Ok(block) })
}
