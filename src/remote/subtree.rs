//! Whole subtrees: every block below a path, from the first source that has them all.

use std::sync::atomic::Ordering;

use cid::Cid;
use futures_util::TryStreamExt;

use super::archive::Draft;
use super::error::NO_SOURCE;
use super::repeats::Repeats;
use super::{ReadRequest, Remote, RemoteError, RemoteErrorKind, Result};
use crate::ipld::{MAX_BLOCK_SIZE, Scope};

impl Remote {
    /// Stores every block below a path, and those on the way to it, in a draft: at most so many, with at most so
    /// many bytes. After a failure the draft may have some of them.
    ///
    /// # Errors
    /// When no source returns all of them.
    pub async fn subtree(
        &self,
        root: Cid,
        path: Vec<String>,
        (blocks, bytes): (u64, u64),
        draft: &mut Draft,
    ) -> Result<()> {
        let (scope, bounds) = (Scope::All { limit: blocks }, self.bounds.clone());
        let request = ReadRequest { root, path, scope, block: MAX_BLOCK_SIZE, bounds };
        let best = self.best.load(Ordering::Relaxed);
        let mut order: Vec<usize> = (0..self.sources.len()).collect();
        order.sort_by_key(|&source| source != best);
        let mut failure = RemoteError::new(RemoteErrorKind::NoSource, NO_SOURCE);
        for source in order {
            let stored = async {
                let mut stream = self.sources[source].blocks(&request).await?;
                let mut repeats = Repeats::default();
                while let Some(block) = stream.try_next().await? {
                    if repeats.is_endless(&block.cid, 1) {
                        let what = "the same blocks are repeated too often";
                        return Err(RemoteError::new(RemoteErrorKind::Invalid, what));
                    }
                    draft.add(&block)?;
                    if draft.length() > bytes {
                        let what = format!("more than {bytes} bytes");
                        return Err(RemoteError::new(RemoteErrorKind::Invalid, what));
                    }
                }
                Ok(())
            };
            match stored.await {
                Ok(()) => return Ok(()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use async_trait::async_trait;
    use futures_util::{StreamExt, stream};

    use super::super::repeats::{REPEATED, SOME};
    use super::*;
    use crate::ipld::Block;
    use crate::remote::{BlockStream, Events, Source};

    /// Sends so many blocks that differ, again and again, and counts all.
    struct Repeating {
        blocks: Vec<Block>,
        sent: Arc<AtomicUsize>,
    }

    #[async_trait]
    impl Source for Repeating {
        fn name(&self) -> &'static str {
            "a test"
        }

        async fn open(&self, _: &ReadRequest) -> Result<Events> {
            unreachable!("whole subtrees are asked for")
        }

        async fn blocks(&self, _: &ReadRequest) -> Result<BlockStream> {
            let (blocks, sent) = (self.blocks.clone(), Arc::clone(&self.sent));
            let all = (0..AHEAD_OF_TESTS).map(move |number| {
                sent.fetch_add(1, Ordering::Relaxed);
                Ok(blocks[number % blocks.len()].clone())
            });
            Ok(stream::iter(all).boxed())
        }
    }

    const AHEAD_OF_TESTS: usize = 1_000_000;

    async fn sent(distinct: usize) -> (Result<()>, usize) {
        let blocks: Vec<_> =
            (0..distinct).map(|number| Block::raw(number.to_string().into())).collect();
        let (root, sent) = (blocks[0].cid, Arc::new(AtomicUsize::new(0)));
        let remote = Remote::new(vec![Arc::new(Repeating { blocks, sent: Arc::clone(&sent) })]);
        let file = || tempfile::tempfile().unwrap();
        let mut draft = Draft::new(file(), file());
        let taken = remote.subtree(root, Vec::new(), (2_000_000, 1 << 30), &mut draft).await;
        (taken, sent.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn the_same_blocks_come_again_but_not_without_end() {
        let (taken, count) = sent(31).await;
        assert_eq!(taken.unwrap_err().kind, RemoteErrorKind::Invalid);
        assert_eq!(count, SOME + 31 * REPEATED + 1);
        let (taken, count) = sent(AHEAD_OF_TESTS / REPEATED).await;
        taken.unwrap();
        assert_eq!(count, AHEAD_OF_TESTS);
    }
}
