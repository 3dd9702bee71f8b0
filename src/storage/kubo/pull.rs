//! Content on its way out. The node streams a file fast, but loads ten leaves ahead, and holds them for as
//! long as the client takes: a thousand slow pulls cost it 9 GB. So only some pulls have a stream, for as
//! long as their clients keep up. The others ask for one leaf at a time, take it at once, and keep it here.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;

use super::super::{ByteStream, Content, Result, StorageError, StorageErrorKind};
use super::blocks::{Blocks, odd};
use super::node::Node;
use super::pull_quota::Pulls;
use super::store::Store;
use crate::ipld::file::CHUNK_SIZE;
use crate::ipld::{self, Cid, RAW, describe};
use crate::kubo::Body;

/// For how long a client may take nothing and keep its stream.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a pull waits until it may ask.
const WAIT: Duration = Duration::from_secs(30);

/// How much all pulls hold, together, while there are few.
const BUDGET: u64 = 16 * 1024 * 1024;

/// The least, and the most, that one of them asks for at a time.
const LEAST: u64 = 64 * 1024;
const MOST: u64 = CHUNK_SIZE as u64;

/// A pull under way.
struct Pull {
    node: Arc<Node>,
    blocks: Arc<Blocks>,
    pulls: Arc<Pulls>,
    content: Content,
    left: Range<u64>,
    stream: Option<Streaming>,
}

/// All that is left, as the node sends it.
struct Streaming {
    body: Body,
    /// When the client was given something.
    given: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.pulls.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Store {
    /// Streams a range of content, which is not empty; the first of it is here when this returns.
    pub(super) async fn pull(&self, content: &Content, range: Range<u64>) -> Result<ByteStream> {
        self.pulls.under_way.fetch_add(1, Ordering::Relaxed);
        let mut pull = Pull {
            node: Arc::clone(&self.node),
            blocks: Arc::clone(&self.blocks),
            pulls: Arc::clone(&self.pulls),
            content: *content,
            left: range,
            stream: None,
        };
        if let Ok(permit) = Arc::clone(&self.pulls.streams).try_acquire_owned() {
            let body = pull.node.kubo.read(&content.cid, pull.left.clone()).await?;
            expect_size(&content.cid, content.size, body.size)?;
            pull.stream = Some(Streaming { body, given: Instant::now(), _permit: permit });
        }
        let first = pull.next().await?;
        let rest = stream::try_unfold(pull, |mut pull| async move {
            Ok(pull.next().await?.map(|bytes| (bytes, pull)))
        });
        Ok(Box::pin(stream::iter(first.map(Ok)).chain(rest)))
    }
}

impl Store {
    /// Reads a leaf of content: the node finds it without those above it.
    pub(super) async fn leaf(&self, range: Range<u64>, cid: &Cid) -> Result<Bytes> {
        let leaf = Leaf { cid: *cid, start: range.start, end: range.end };
        read(&self.node, &self.pulls, &leaf, 0..range.end - range.start).await
    }
}

impl Pull {
    /// Waits for the next piece; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.left.is_empty() {
            return Ok(None);
        }
        self.stream.take_if(|stream| stream.given.elapsed() > PAUSE);
        let bytes = match &mut self.stream {
            Some(stream) => {
                let bytes = stream.body.try_next().await?;
                stream.given = Instant::now();
                bytes.expect("a body ends with an error before all of it has come")
            }
            None => self.receive().await?,
        };
        self.left.start += bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Takes a piece of a leaf from the node, as fast as it comes: it is polled until it is here, whatever
    /// the client does.
    async fn receive(&mut self) -> Result<Bytes> {
        let leaf = locate(&self.blocks, &self.content, self.left.start).await?;
        let share = BUDGET / self.pulls.under_way.load(Ordering::Relaxed).max(1);
        let start = self.left.start - leaf.start;
        let end = leaf.end.min(self.left.end) - leaf.start;
        let end = end.min(start + share.clamp(LEAST, MOST));
        read(&self.node, &self.pulls, &leaf, start..end).await
    }
}

/// Reads a part of a leaf, as soon as it gets a permit.
async fn read(node: &Node, pulls: &Pulls, leaf: &Leaf, part: Range<u64>) -> Result<Bytes> {
    let waited = tokio::time::timeout(WAIT, pulls.requests.acquire()).await;
    let Ok(Ok(_permit)) = waited else {
        let what = "the node is too slow";
        return Err(StorageError::new(StorageErrorKind::Unavailable, what));
    };
    let mut all = Vec::with_capacity(usize::try_from(part.end - part.start).unwrap_or(0));
    let mut body = node.kubo.read(&leaf.cid, part).await?;
    expect_size(&leaf.cid, leaf.end - leaf.start, body.size)?;
    while let Some(bytes) = body.try_next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all.into())
}

/// A leaf, and which bytes of the file are its.
struct Leaf {
    cid: Cid,
    start: u64,
    end: u64,
}

/// Finds the leaf that a byte is in.
async fn locate(blocks: &Blocks, content: &Content, byte: u64) -> Result<Leaf> {
    let mut leaf = Leaf { cid: content.cid, start: 0, end: content.size };
    while leaf.cid.codec() != RAW {
        let node = blocks.get(&leaf.cid).await?;
        let (size, parts) = match describe(&leaf.cid, &node) {
            Ok(ipld::Node::File { size, content, parts }) if content.is_empty() => (size, parts),
            _ => return Err(odd(&leaf.cid)),
        };
        expect_size(&leaf.cid, leaf.end - leaf.start, size)?;
        let mut end = leaf.start;
        let found = parts.iter().find(|part| {
            end += part.size;
            byte < end
        });
        let Some(part) = found else { return Err(odd(&leaf.cid)) };
        leaf = Leaf { cid: part.cid, start: end - part.size, end };
    }
    Ok(leaf)
}

fn expect_size(cid: &Cid, expected: u64, found: u64) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let what = format!("{cid} has {found} bytes, not {expected}");
    Err(StorageError::new(StorageErrorKind::Damaged, what))
}
