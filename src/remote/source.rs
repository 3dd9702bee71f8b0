//! A source that may have the blocks: a request to it, and its answers.

use std::pin::Pin;

use async_trait::async_trait;
use cid::Cid;
use futures_util::Stream;

use super::{RemoteError, RemoteErrorKind, Result, RootBounds};
use crate::ipld::{Block, Scope, Step, Target, Traversal};

/// A request to a source: the path, and how much of its target.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// The root.
    pub root: Cid,
    /// The names of the path.
    pub path: Vec<String>,
    /// How much of the target.
    pub scope: Scope,
    /// How long a block may be.
    pub block: usize,
    /// The bounds of the memory for blocks.
    pub bounds: RootBounds,
}

impl ReadRequest {
    pub(super) fn traversal(&self) -> Result<Traversal> {
        Ok(Traversal::new(self.root, self.path.iter().cloned(), self.scope)?)
    }
}

/// The events of a source, in this order; all are proved.
#[derive(Debug)]
pub enum Event {
    /// The target of the path; once.
    Found(Target),
    /// More of it.
    More(Step),
}

/// The stream of events of a source. It ends without an error only when it is complete.
pub type Events = Pin<Box<dyn Stream<Item = Result<Event>> + Send>>;

/// A source that may have the blocks.
#[async_trait]
pub trait Source: Send + Sync {
    /// Returns its name, for messages.
    fn name(&self) -> &str;

    /// Begins to read.
    ///
    /// # Errors
    /// When it does not have the blocks, or cannot be reached.
    async fn open(&self, request: &ReadRequest) -> Result<Events>;

    /// Begins to read every requested block, all in one answer.
    ///
    /// # Errors
    /// As [`Source::open`]; [`RemoteErrorKind::Absent`] when the source has no such answer.
    async fn blocks(&self, _: &ReadRequest) -> Result<BlockStream> {
        let what = format!("{} does not list its blocks", self.name());
        Err(RemoteError::new(RemoteErrorKind::Absent, what))
    }

    /// Begins to read one block: returns when the answer has begun.
    ///
    /// # Errors
    /// As [`Source::open`]; [`RemoteErrorKind::Absent`] when the source has no such answer.
    async fn block(&self, _: Cid, _: &RootBounds) -> Result<BlockAnswer> {
        Err(no_blocks(self))
    }
}

/// Blocks as they come, verified and in the order of a traversal; an error ends them, and what came before it
/// is not the whole.
pub type BlockStream = Pin<Box<dyn Stream<Item = Result<Block>> + Send>>;

/// A block whose answer has begun; it is compared with its CID.
pub type BlockAnswer = Pin<Box<dyn Future<Output = Result<Block>> + Send>>;

/// Returns the error of a source that serves no single blocks.
fn no_blocks(source: &(impl Source + ?Sized)) -> RemoteError {
    let what = format!("{} does not serve single blocks", source.name());
    RemoteError::new(RemoteErrorKind::Absent, what)
}
