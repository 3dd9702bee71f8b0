//! What has arrived of an upload: the chunk that is not whole, the window that fills, the windows that are on
//! their way to the node.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};
use uuid::Uuid;

use super::super::{Content, Finished, Result, StorageError, StorageErrorKind};
use super::buffer_pool::Loan;
use super::checkpoint::Checkpoint;
use super::chunk::{Chunk, Window};
use super::mfs_paths;
use super::node::ended_early;
use super::store::Store;
use crate::ipld::file::{CHUNK_SIZE, Interior, Spine, TwinHasher};
use crate::ipld::{Block, Cid, RAW, raw_cid};
use crate::oci::{Algorithm, CanonicalDigest, Digest};

/// How many chunks are sent at a time.
const WINDOW: usize = 12;

/// How many windows are on their way while another one fills: the names of the next are taken while the
/// chunks of the one before go.
const SENDING: usize = 2;

/// How long memory is waited for before what is here goes to the node for want of it.
const TIMEOUT: Duration = Duration::from_millis(100);

/// An upload as far as it has come.
pub(super) struct UploadWindow {
    store: Arc<Store>,
    id: String,
    /// Tells the names of this process's parts from those of an earlier one.
    session: String,
    parts: u32,
    /// The name that was staged last.
    staged: String,
    hashing: Hashing,
    spine: Spine,
    chunk: Chunk,
    window: Window,
    sending: VecDeque<JoinHandle<Result<()>>>,
    /// All of it, once it is on the node and of the expected digest by sha512.
    prepared: Option<Content>,
    /// Whether something failed, after which nothing more can be appended.
    pub(super) is_broken: bool,
}

/// The hashes of what has arrived, which are elsewhere while a chunk is hashed.
enum Hashing {
    Idle(Box<TwinHasher>),
    Busy(JoinHandle<Hashed>),
}

/// A chunk that was hashed.
struct Hashed {
    hasher: Box<TwinHasher>,
    leaf: [u8; 32],
    bytes: Bytes,
    loan: Option<Loan>,
}

impl Drop for UploadWindow {
    fn drop(&mut self) {
        self.chunk = Chunk::default();
        self.window = Window::default();
        self.store.pool.rest();
    }
}

impl UploadWindow {
    pub(super) fn new(store: &Arc<Store>, id: &str, checkpoint: Checkpoint) -> Self {
        let Checkpoint { hasher, spine, rest, staged } = checkpoint;
        let length = usize::try_from(hasher.length() % CHUNK_SIZE as u64).unwrap_or_default();
        let parked = rest.map(|digest| (digest, length));
        Self {
            store: Arc::clone(store),
            id: id.to_owned(),
            session: Uuid::new_v4().simple().to_string()[..8].to_owned(),
            parts: 0,
            staged,
            hashing: Hashing::Idle(Box::new(hasher)),
            spine,
            chunk: Chunk { parked, ..Chunk::default() },
            window: Window::default(),
            sending: VecDeque::new(),
            prepared: None,
            is_broken: false,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn expect_sound(&self) -> Result<()> {
        if !self.is_broken {
            return Ok(());
        }
        let what = "an earlier write of this upload failed";
        Err(StorageError::new(StorageErrorKind::Unavailable, what))
    }

    /// How many bytes are in memory, but for those that are being hashed or sent.
    pub(super) fn bytes(&self) -> usize {
        self.chunk.bytes.len() + self.window.leaves * CHUNK_SIZE
    }

    /// Appends bytes; what was appended is counted at once, in case that this is dropped.
    pub(super) async fn append(&mut self, mut bytes: &[u8], offset: &AtomicU64) -> Result<()> {
        while !bytes.is_empty() {
            self.end_chunk().await?;
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_SIZE - self.chunk.length()));
            self.make_space(now.len()).await?;
            self.chunk.bytes.extend_from_slice(now);
            offset.fetch_add(now.len() as u64, Ordering::Relaxed);
            bytes = later;
        }
        self.end_chunk().await
    }

    /// Makes sure that there is memory for that many more bytes of the chunk.
    async fn make_space(&mut self, more: usize) -> Result<()> {
        loop {
            // Of an upload that fills chunks, the next one will be full as well.
            let more = if self.spine.size() > 0 { CHUNK_SIZE } else { more };
            let missing = self.chunk.missing(more);
            if missing == 0 {
                break;
            }
            let pool = Arc::clone(&self.store.pool);
            let loan = match pool.try_lend(missing)? {
                Some(loan) => loan,
                None if !self.sending.is_empty() => {
                    self.settle(self.sending.len() - 1).await?;
                    continue;
                }
                None if self.window.leaves > 0 => {
                    self.send().await?;
                    continue;
                }
                None => {
                    let lent = tokio::time::timeout(TIMEOUT, pool.lend(missing)).await;
                    let Ok(loan) = lent else {
                        // An upload that waits for long holds no loan, or all might wait for each other.
                        self.park().await?;
                        pool.call_in().await;
                        continue;
                    };
                    loan?
                }
            };
            self.chunk.lend(loan, &self.store.pool);
        }
        if let Some((digest, _)) = self.chunk.parked {
            let bytes = self.store.node.kubo.block(&raw_cid(digest)).await?;
            self.chunk.hashed = bytes.len();
            self.chunk.bytes.extend_from_slice(&bytes);
            self.chunk.parked = None;
        }
        Ok(())
    }

    /// Has the chunk hashed, if it is whole, while the next one comes.
    async fn end_chunk(&mut self) -> Result<()> {
        if self.chunk.bytes.len() < CHUNK_SIZE {
            return Ok(());
        }
        let mut hasher = self.hashed().await?;
        if self.window.leaves >= WINDOW {
            self.send().await?;
        }
        let Chunk { bytes, loan, hashed, .. } = mem::take(&mut self.chunk);
        let bytes = bytes.freeze();
        self.hashing = Hashing::Busy(spawn_blocking(move || {
            let mut leaf = [0; 32];
            hasher.append(&bytes[hashed..], &mut |digest| leaf = digest);
            Hashed { hasher, leaf, bytes, loan }
        }));
        Ok(())
    }

    /// Waits for the chunk that is being hashed, which goes to the window, and returns a copy of the
    /// hashes.
    async fn hashed(&mut self) -> Result<Box<TwinHasher>> {
        if let Hashing::Busy(job) = &mut self.hashing {
            let Hashed { hasher, leaf, bytes, loan } = job.await.map_err(ended_early)?;
            self.hashing = Hashing::Idle(hasher);
            self.window.loans.extend(loan);
            self.push_leaf(leaf, Some(bytes), CHUNK_SIZE);
        }
        match &self.hashing {
            Hashing::Idle(hasher) => Ok(hasher.clone()),
            Hashing::Busy(_) => unreachable!("it was awaited just now"),
        }
    }

    /// Adds a leaf to the file, and to the window unless it is on the node already.
    fn push_leaf(&mut self, leaf: [u8; 32], bytes: Option<Bytes>, length: usize) {
        let Self { spine, window, .. } = self;
        if let Some(bytes) = bytes {
            window.leaves += 1;
            window.blocks.push(Block { cid: raw_cid(leaf), bytes });
        }
        let mut sink = |node: Interior| window.blocks.push(node.block);
        spine.push_leaf(leaf, length as u64, &mut sink);
    }

    /// Sends the window on its way, behind those before it.
    async fn send(&mut self) -> Result<()> {
        self.settle(SENDING - 1).await?;
        if self.window.blocks.is_empty() {
            return Ok(());
        }
        let name = self.next_name();
        let Window { blocks, loans, .. } = mem::take(&mut self.window);
        let store = Arc::clone(&self.store);
        self.staged.clone_from(&name);
        self.sending.push_back(tokio::spawn(async move {
            let sent = store.node.send(&name, &blocks, 1).await;
            for block in blocks {
                if block.cid.codec() == RAW {
                    store.pool.reuse(block.bytes);
                } else if sent.is_ok() {
                    store.blocks.remember([&block]);
                }
            }
            drop(loans);
            sent
        }));
        Ok(())
    }

    /// Waits until no more than that many windows are on their way.
    async fn settle(&mut self, most: usize) -> Result<()> {
        while self.sending.len() > most {
            let Some(first) = self.sending.front_mut() else { break };
            let sent = first.await.unwrap_or_else(|error| Err(ended_early(error)));
            self.sending.pop_front();
            sent?;
        }
        Ok(())
    }

    fn next_name(&mut self) -> String {
        self.parts += 1;
        mfs_paths::part(&self.id, &self.session, self.parts)
    }

    /// Puts all that is here on the node, the chunk that is not whole as a block of its own.
    pub(super) async fn park(&mut self) -> Result<()> {
        self.end_chunk().await?;
        self.hashed().await?;
        self.send().await?;
        self.settle(0).await?;
        if self.chunk.bytes.is_empty() {
            return Ok(());
        }
        let hasher = self.hash_rest().await?;
        let leaf = hasher.finish().1.expect("the chunk is not whole, and not empty");
        let name = self.next_name();
        let bytes = Bytes::copy_from_slice(&self.chunk.bytes);
        let length = bytes.len();
        self.store.node.hold(&Block { cid: raw_cid(leaf), bytes }, &name).await?;
        self.staged = name;
        self.chunk = Chunk { parked: Some((leaf, length)), ..Chunk::default() };
        Ok(())
    }

    /// Hashes what has arrived of the chunk, and returns a copy of the hashes.
    async fn hash_rest(&mut self) -> Result<Box<TwinHasher>> {
        let mut hasher = self.hashed().await?;
        let fresh = Bytes::copy_from_slice(&self.chunk.bytes[self.chunk.hashed..]);
        if fresh.is_empty() {
            return Ok(hasher);
        }
        let job = spawn_blocking(move || {
            hasher.append(&fresh, &mut |_| unreachable!("the chunk is not whole"));
            hasher
        });
        let hasher = job.await.map_err(ended_early)?;
        self.chunk.hashed = self.chunk.bytes.len();
        self.hashing = Hashing::Idle(hasher.clone());
        Ok(hasher)
    }

    pub(super) async fn checkpoint(&mut self) -> Result<Vec<u8>> {
        self.park().await?;
        let hasher = *self.hashed().await?;
        let rest = self.chunk.parked.map(|(digest, _)| digest);
        let (spine, staged) = (self.spine.clone(), self.staged.clone());
        Ok(Checkpoint { hasher, spine, rest, staged }.to_bytes())
    }

    /// Has the node read all that has arrived, to compare its digest by sha512. Only `finish` may follow.
    pub(super) async fn prepare(&mut self, expected: &Digest) -> Result<()> {
        let content = self.end(expected).await?;
        self.send().await?;
        self.settle(0).await?;
        let found = self.store.sha512(&content).await?;
        if found != *expected {
            return Err(refusal(expected, found));
        }
        self.prepared = Some(content);
        Ok(())
    }

    pub(super) async fn finish(&mut self, expected: &Digest) -> Result<Finished> {
        if self.prepared.is_none() && expected.algorithm() == Algorithm::Sha512 {
            self.prepare(expected).await?;
        }
        let content = match self.prepared {
            Some(content) => content,
            None => self.end(expected).await?,
        };
        self.keep(&content).await?;
        let leaves = self.store.leaves(&content).await?;
        self.store.release(&self.id);
        Ok(Finished { content, leaves, is_replaced: false })
    }

    /// Puts the rest of the file into the window, and returns what it is; fails where that is not of an expected digest by
    /// sha256.
    async fn end(&mut self, expected: &Digest) -> Result<Content> {
        self.end_chunk().await?;
        let hasher = self.hash_rest().await?;
        let size = hasher.length();
        let (whole, last) = hasher.finish();
        let canonical = CanonicalDigest(whole);
        if expected.algorithm() == Algorithm::Sha256 && *expected != canonical.into() {
            return Err(refusal(expected, canonical.into()));
        }
        if let Some(last) = last {
            let Chunk { bytes, loan, parked, .. } = mem::take(&mut self.chunk);
            self.window.loans.extend(loan);
            let here = parked.is_none().then(|| bytes.freeze());
            if size > 0 {
                let length = usize::try_from(size % CHUNK_SIZE as u64).unwrap_or_default();
                self.push_leaf(last, here, length);
            } else {
                self.window.blocks.push(Block::raw(Bytes::new()));
            }
        }
        let cid = self.complete();
        Ok(Content { canonical, cid, size })
    }

    /// Puts the nodes above the leaves into the window, and names the file.
    fn complete(&mut self) -> Cid {
        let window = &mut self.window;
        let spine = mem::take(&mut self.spine);
        spine.finish(&mut |node: Interior| window.blocks.push(node.block)).cid
    }

    async fn keep(&mut self, content: &Content) -> Result<()> {
        let node = Arc::clone(&self.store.node);
        let Content { canonical, cid, size } = content;
        if let [only] = &self.window.blocks[..]
            && only.cid == *cid
            && *size <= CHUNK_SIZE as u64
        {
            // One block need not be staged before it has its name.
            return node.keep(canonical, *cid, Some(only)).await;
        }
        self.send().await?;
        self.settle(0).await?;
        node.keep(canonical, *cid, None).await
    }
}

/// Says that what has arrived is not what was expected.
fn refusal(expected: &Digest, found: Digest) -> StorageError {
    let what = format!("expected {expected}, the content is {found}");
    StorageError::new(StorageErrorKind::DigestMismatch, what)
}
