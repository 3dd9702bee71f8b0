//! A Kubo node of the operator as a source: it fetches blocks from its peers, and from others that it finds.

use std::sync::Arc;

use async_trait::async_trait;
use cid::Cid;
use tokio::sync::Semaphore;

use super::progress::{Progress, Timeouts};
use super::{
    BlockAnswer, Events, Prefetch, ReadRequest, RemoteError, RemoteErrorKind, Result, RootBounds,
    Source, reading, single,
};
use crate::ipld::{Block, MAX_BLOCK_SIZE, Traversal};
use crate::kubo::{Kubo, KuboError, KuboErrorKind};

/// How many blocks a read requests at a time.
const WIDTH: usize = 6;

/// How many blocks all reads together request at a time.
const BLOCKS: usize = 128;

/// A node that serves blocks by its RPC. A clone shares everything with the original.
#[derive(Clone)]
pub struct Node {
    kubo: Arc<Kubo>,
    name: String,
    timeouts: Timeouts,
    permits: Arc<Semaphore>,
}

impl Node {
    /// Uses that node.
    #[must_use]
    pub fn new(kubo: Arc<Kubo>) -> Self {
        // It may first have to find a peer that has a block.
        let window = 2 * Timeouts::default().window;
        Self::with(kubo, Timeouts { window, ..Timeouts::default() })
    }

    /// Uses that node, with these time limits.
    #[must_use]
    pub fn with(kubo: Arc<Kubo>, timeouts: Timeouts) -> Self {
        let name = format!("the node at {}", kubo.api());
        Self { kubo, name, timeouts, permits: Arc::new(Semaphore::new(BLOCKS)) }
    }

    /// Returns the node itself.
    #[must_use]
    pub fn kubo(&self) -> &Arc<Kubo> {
        &self.kubo
    }

    async fn block_of(&self, cid: Cid, bounds: &RootBounds) -> Result<Block> {
        let _memory = bounds.memory(MAX_BLOCK_SIZE).await?;
        let _permit = self.permits.acquire().await.expect("it is never closed");
        let bytes = self.kubo.fetch(&cid).await.map_err(|error| self.failed(error))?;
        Block::verify(cid, bytes).map_err(|error| {
            let what = format!("{} sent other bytes", self.name);
            RemoteError::wrap(RemoteErrorKind::Invalid, what, error)
        })
    }

    fn failed(&self, error: KuboError) -> RemoteError {
        let (kind, what) = match error.kind {
            KuboErrorKind::MissingBlock | KuboErrorKind::NotFound => {
                (RemoteErrorKind::Absent, "does not have it")
            }
            KuboErrorKind::Unavailable => (RemoteErrorKind::Unreachable, "does not answer"),
            KuboErrorKind::Denied
            | KuboErrorKind::Disabled
            | KuboErrorKind::Displaced
            | KuboErrorKind::Full
            | KuboErrorKind::Exists
            | KuboErrorKind::Failed => (RemoteErrorKind::Unreachable, "cannot be read"),
        };
        RemoteError::wrap(kind, format!("{} {what}", self.name), error)
    }
}

#[async_trait]
impl Source for Node {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(&self, request: &ReadRequest) -> Result<Events> {
        let ReadRequest { root, path, scope, .. } = request;
        let traversal = Traversal::new(*root, path.iter().cloned(), *scope)?;
        let (node, bounds) = (self.clone(), request.bounds.clone());
        let blocks = Prefetch::new(traversal, WIDTH, move |cid| {
            let (node, bounds) = (node.clone(), bounds.clone());
            Box::pin(async move { node.block_of(cid, &bounds).await })
        });
        Ok(reading::single(blocks, Progress::begin(self.timeouts)))
    }

    async fn block(&self, cid: Cid, bounds: &RootBounds) -> Result<BlockAnswer> {
        let read = Progress::begin(self.timeouts).wait(self.block_of(cid, bounds)).await?;
        Ok(single::answered(read?))
    }
}
