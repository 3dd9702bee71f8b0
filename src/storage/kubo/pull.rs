//! Content on its way out, leaf by leaf. To stream a file the node loads ten leaves ahead, and holds them
//! for as long as the client takes: a thousand slow pulls cost it 9 GB. So a leaf is asked for by its own
//! CID, is taken from the node at once, and waits for the client here.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::super::{ByteStream, Content, Result, StorageError, StorageErrorKind};
use super::blocks::Blocks;
use super::node::{Node, ended_early};
use super::store::{RAW, Store, odd};
use crate::ipld::file::CHUNK_SIZE;
use crate::ipld::{self, Cid, describe};

/// How much all pulls of the process hold, together, while there are few.
const BUDGET: u64 = 16 * 1024 * 1024;

/// The least that one of them asks for at a time.
const LEAST: u64 = 64 * 1024;

/// The most leaves that one of them holds.
const AHEAD: u64 = 4;

/// How many leaves the node is asked for at a time.
const REQUESTS: usize = 32;

/// How long a pull waits until it may ask the node.
const WAIT: Duration = Duration::from_secs(30);

/// How many buffers wait to be filled again: a fresh one costs as much as the reading.
const SPARE: usize = 4;

/// What all pulls share.
pub(super) struct Pulls {
    under_way: AtomicU64,
    requests: Semaphore,
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Pulls {
    pub(super) fn new() -> Arc<Self> {
        let (under_way, requests) = (AtomicU64::new(0), Semaphore::new(REQUESTS));
        Arc::new(Self { under_way, requests, spare: Mutex::default() })
    }

    /// How much one of the pulls may hold now.
    fn share(&self) -> u64 {
        let share = BUDGET / self.under_way.load(Ordering::Relaxed).max(1);
        share.clamp(LEAST, AHEAD * CHUNK_SIZE as u64)
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that is filled again after it was sent.
struct Buffer {
    bytes: Vec<u8>,
    pulls: Arc<Pulls>,
}

impl Buffer {
    fn new(pulls: &Arc<Pulls>, length: usize) -> Self {
        let spare = if length == CHUNK_SIZE { pulls.spare().pop() } else { None };
        let bytes = spare.unwrap_or_else(|| Vec::with_capacity(length));
        Self { bytes, pulls: Arc::clone(pulls) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut spare = self.pulls.spare();
        if self.bytes.capacity() == CHUNK_SIZE && spare.len() < SPARE {
            self.bytes.clear();
            spare.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// A pull under way.
struct Pull {
    node: Arc<Node>,
    blocks: Arc<Blocks>,
    pulls: Arc<Pulls>,
    content: Content,
    /// What was not asked for yet.
    left: Range<u64>,
    asked: VecDeque<(u64, AbortOnDropHandle<Result<Bytes>>)>,
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.pulls.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Store {
    /// Streams a range of content, which is not empty; the first piece of it is here when this returns.
    pub(super) async fn pull(&self, content: &Content, range: Range<u64>) -> Result<ByteStream> {
        self.pulls.under_way.fetch_add(1, Ordering::Relaxed);
        let mut pull = Pull {
            node: Arc::clone(&self.node),
            blocks: Arc::clone(&self.blocks),
            pulls: Arc::clone(&self.pulls),
            content: *content,
            left: range,
            asked: VecDeque::new(),
        };
        let first = pull.next().await?;
        let rest = stream::try_unfold(pull, |mut pull| async move {
            Ok(pull.next().await?.map(|bytes| (bytes, pull)))
        });
        Ok(Box::pin(stream::iter(first.map(Ok)).chain(rest)))
    }
}

impl Pull {
    /// Waits for the next piece; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let share = self.pulls.share();
        let mut held: u64 = self.asked.iter().map(|(length, _)| length).sum();
        while !self.left.is_empty() && (self.asked.is_empty() || held < share) {
            held += self.ask(share.min(CHUNK_SIZE as u64)).await?;
        }
        let Some((_, bytes)) = self.asked.pop_front() else { return Ok(None) };
        bytes.await.unwrap_or_else(|error| Err(ended_early(error))).map(Some)
    }

    /// Asks for what comes next, out of one leaf, and tells how much that is.
    async fn ask(&mut self, most: u64) -> Result<u64> {
        let leaf = locate(&self.blocks, &self.content, self.left.start).await?;
        let start = self.left.start - leaf.start;
        let length = most.min(leaf.end - self.left.start).min(self.left.end - self.left.start);
        let (node, pulls) = (Arc::clone(&self.node), Arc::clone(&self.pulls));
        let reading = receive(node, pulls, leaf, start..start + length);
        self.asked.push_back((length, AbortOnDropHandle::new(tokio::spawn(reading))));
        self.left.start += length;
        Ok(length)
    }
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
        if size != leaf.end - leaf.start {
            return Err(resized(&leaf, size));
        }
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

/// Takes a range of a leaf from the node, as fast as it comes.
async fn receive(
    node: Arc<Node>,
    pulls: Arc<Pulls>,
    leaf: Leaf,
    range: Range<u64>,
) -> Result<Bytes> {
    let waited = tokio::time::timeout(WAIT, pulls.requests.acquire()).await;
    let Ok(Ok(_permit)) = waited else {
        let what = "the node answers others too slowly";
        return Err(StorageError::new(StorageErrorKind::Unavailable, what));
    };
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let mut body = node.kubo.read(&leaf.cid, range).await?;
    if body.size != leaf.end - leaf.start {
        return Err(resized(&leaf, body.size));
    }
    let mut buffer = Buffer::new(&pulls, length);
    while let Some(bytes) = body.try_next().await? {
        buffer.bytes.extend_from_slice(&bytes);
    }
    Ok(Bytes::from_owner(buffer))
}

fn resized(leaf: &Leaf, size: u64) -> StorageError {
    let what = format!("{} has {size} bytes, not {}", leaf.cid, leaf.end - leaf.start);
    StorageError::new(StorageErrorKind::Damaged, what)
}
