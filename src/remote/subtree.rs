//! Whole subtrees: every block below a path, from the first source that has them all.

use std::pin::Pin;
use std::sync::atomic::Ordering;

use cid::Cid;
use futures_util::{Stream, TryStreamExt};

use super::archive::Draft;
use super::error::NO_SOURCE;
use super::{Remote, RemoteError, RemoteErrorKind, Result, Wanted};
use crate::ipld::{Block, MAX_BLOCK_SIZE, Scope};

/// Blocks as they come, verified and in the order of a traversal; an error ends them, and what came before it
/// is not the whole.
pub type BlockStream = Pin<Box<dyn Stream<Item = Result<Block>> + Send>>;

impl Remote {
    /// Keeps every block below a path, and those on the way to it, in a draft: at most so many, with at most so
    /// many bytes. After a failure it may have some of them.
    ///
    /// # Errors
    /// When no source tells all of them.
    pub async fn subtree(
        &self,
        root: Cid,
        path: Vec<String>,
        (blocks, bytes): (u64, u64),
        draft: &mut Draft,
    ) -> Result<()> {
        let (scope, bounds) = (Scope::All { limit: blocks }, self.bounds.clone());
        let wanted = Wanted { root, path, scope, block: MAX_BLOCK_SIZE, bounds };
        let best = self.best.load(Ordering::Relaxed);
        let mut order: Vec<usize> = (0..self.sources.len()).collect();
        order.sort_by_key(|&source| source != best);
        let mut failure = RemoteError::new(RemoteErrorKind::NoSource, NO_SOURCE);
        for source in order {
            let kept = async {
                let mut stream = self.sources[source].blocks(&wanted).await?;
                while let Some(block) = stream.try_next().await? {
                    draft.add(&block)?;
                    if draft.length() > bytes {
                        let what = format!("there are more than {bytes} bytes");
                        return Err(RemoteError::new(RemoteErrorKind::Invalid, what));
                    }
                }
                Ok(())
            };
            match kept.await {
                Ok(()) => return Ok(()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}
