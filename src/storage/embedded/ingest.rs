//! Taking content in: bytes are written and hashed as a whole on one thread while the leaves of
//! the UnixFS file are hashed on another.
//!
//! A blob of at most one chunk has one leaf, whose hash is that of the whole, so the second thread
//! only begins with the second chunk.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, LazyLock};
use std::{fs, mem};

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use digest::common::hazmat::SerializableState;
use rustix::io::{pwritev, retry_on_intr};
use sha2::{Digest as _, Sha256};
use tokio::task::{JoinHandle, spawn_blocking};
use uuid::Uuid;

use super::super::{Content, Finished, Ingest, Result, StorageError, StorageErrorKind};
use super::{Layout, join};
use crate::ipld::file::{CHUNK_SIZE, Spine};
use crate::ipld::raw_cid;
use crate::oci::{Algorithm, CanonicalDigest, Digest, Hasher};

/// How many bytes are handed to the threads at a time.
const BATCH: usize = 256 * 1024;

/// How many bytes are sent to the disk at a time while others come, lest the end wait for all of them.
const FLUSH: u64 = 32 * 1024 * 1024;

/// How many pieces the kernel takes in one call (`IOV_MAX`).
const MOST_SLICES: usize = 1024;

/// The version of a checkpoint's form; another one is hashed again from the bytes.
const CHECKPOINT_VERSION: u8 = 1;

/// Where Linux tells one start of the machine from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Content that is written to a file of its own.
pub(super) struct FileIngest {
    layout: Arc<Layout>,
    id: String,
    offset: u64,
    batch: Vec<Bytes>,
    batch_size: usize,
    work: Work,
    file: Arc<File>,
    /// The flush under way, and up to where bytes were flushed when it began.
    flush: Option<JoinHandle<Result<()>>>,
    flushed: u64,
}

/// The state of the work: here, or with a batch on its way.
enum Work {
    Idle(Box<State>),
    Busy(JoinHandle<Result<Box<State>>>),
    Broken,
}

/// All that a batch changes.
struct State {
    file: Arc<File>,
    written: u64,
    whole: Sha256,
    leaves: Leaves,
}

/// The leaves so far. The first is not hashed apart from the whole.
struct Leaves {
    spine: Spine,
    /// Digests of finished leaves that no checkpoint has put beside the file yet.
    fresh: Vec<[u8; 32]>,
    /// How many there are in all, and of those how many stand beside the file.
    finished: u64,
    saved: u64,
    open: Sha256,
    open_size: usize,
}

impl FileIngest {
    /// Starts a file.
    pub(super) fn begin(layout: Arc<Layout>, id: String) -> Result<Self> {
        let path = layout.upload(&id);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(|error| StorageError::io(format!("creating {}", path.display()), error))?;
        Ok(Self::new(
            layout,
            id,
            State { file: Arc::new(file), written: 0, whole: Sha256::new(), leaves: Leaves::new() },
        ))
    }

    /// Goes on with a file.
    pub(super) fn resume(
        layout: Arc<Layout>,
        id: String,
        offset: u64,
        checkpoint: &[u8],
    ) -> Result<Self> {
        if offset == 0 {
            return Self::begin(layout, id);
        }
        let path = layout.upload(&id);
        let context = || format!("resuming {}", path.display());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| StorageError::io(context(), error))?;
        let length = file.metadata().map_err(|error| StorageError::io(context(), error))?.len();
        if length < offset {
            return Err(StorageError::new(
                StorageErrorKind::NotFound,
                format!("{}: {length} bytes are left of {offset}", context()),
            ));
        }
        file.set_len(offset).map_err(|error| StorageError::io(context(), error))?;
        let state = match State::restore(&layout, &id, &file, offset, checkpoint) {
            Some(state) => state,
            None => State::hash_again(&file, offset)
                .map_err(|error| StorageError::io(context(), error))?,
        };
        let (file, (whole, leaves)) = (Arc::new(file), state);
        Ok(Self::new(layout, id, State { file, written: offset, whole, leaves }))
    }

    fn new(layout: Arc<Layout>, id: String, state: State) -> Self {
        let (offset, file) = (state.written, Arc::clone(&state.file));
        Self {
            layout,
            id,
            offset,
            batch: Vec::new(),
            batch_size: 0,
            work: Work::Idle(Box::new(state)),
            file,
            flush: None,
            flushed: offset,
        }
    }

    /// Sends what was written so far to the disk, beside what comes.
    async fn flush_early(&mut self) -> Result<()> {
        if self.offset - self.flushed < FLUSH {
            return Ok(());
        }
        self.flushed = self.offset;
        self.end_flush().await?;
        let file = Arc::clone(&self.file);
        self.flush = Some(spawn_blocking(move || file.sync_data().map_err(sync_failed)));
        Ok(())
    }

    /// Waits for the flush under way: a failure is told once, and must not be lost.
    async fn end_flush(&mut self) -> Result<()> {
        match self.flush.take() {
            Some(flush) => join(flush.await),
            None => Ok(()),
        }
    }

    /// Waits for the batch under way.
    async fn settle(&mut self) -> Result<()> {
        if let Work::Busy(task) = &mut self.work {
            let ended = join(task.await);
            self.work = Work::Broken;
            self.work = Work::Idle(ended?);
        }
        Ok(())
    }

    /// Hands the collected bytes to the threads.
    async fn send(&mut self) -> Result<()> {
        self.settle().await?;
        if self.batch.is_empty() {
            return Ok(());
        }
        let Work::Idle(state) = mem::replace(&mut self.work, Work::Broken) else {
            return Err(broken());
        };
        let batch = mem::take(&mut self.batch);
        self.batch_size = 0;
        self.work = Work::Busy(tokio::spawn(state.absorb(batch)));
        self.flush_early().await
    }

    /// Waits until all that was appended is written and hashed.
    async fn drain(&mut self) -> Result<Box<State>> {
        self.send().await?;
        self.settle().await?;
        self.end_flush().await?;
        match mem::replace(&mut self.work, Work::Broken) {
            Work::Idle(state) => Ok(state),
            Work::Busy(_) | Work::Broken => Err(broken()),
        }
    }
}

#[async_trait]
impl Ingest for FileIngest {
    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.offset += bytes.len() as u64;
        self.batch_size += bytes.len();
        self.batch.push(bytes);
        if self.batch_size >= BATCH { self.send().await } else { Ok(()) }
    }

    fn offset(&self) -> u64 {
        self.offset
    }

    async fn checkpoint(&mut self) -> Result<Vec<u8>> {
        let state = self.drain().await?;
        let (layout, id) = (Arc::clone(&self.layout), self.id.clone());
        let task = spawn_blocking(move || {
            let mut state = state;
            let checkpoint = state.save(&layout, &id)?;
            Ok((state, checkpoint))
        });
        let (state, checkpoint) = join(task.await)?;
        self.work = Work::Idle(state);
        Ok(checkpoint)
    }

    async fn finish(mut self: Box<Self>, expected: &Digest) -> Result<Finished> {
        let state = self.drain().await?;
        let (layout, id, expected) = (Arc::clone(&self.layout), self.id.clone(), *expected);
        join(spawn_blocking(move || state.keep(&layout, &id, &expected)).await)
    }
}

impl State {
    /// Writes and hashes a batch; the leaves on a second thread once there is a second chunk.
    async fn absorb(mut self: Box<Self>, batch: Vec<Bytes>) -> Result<Box<Self>> {
        let size: usize = batch.iter().map(Bytes::len).sum();
        if self.written + (size as u64) <= CHUNK_SIZE as u64 {
            let write = spawn_blocking(move || self.write(&batch).map(|()| self));
            return join(write.await);
        }
        let mut leaves = mem::replace(&mut self.leaves, Leaves::new());
        let again = batch.clone();
        if self.written <= CHUNK_SIZE as u64 {
            // The first chunk was not hashed apart: up to here its hash is that of the whole.
            leaves.open = self.whole.clone();
            leaves.open_size = usize::try_from(self.written).unwrap_or(CHUNK_SIZE);
        }
        let hash = spawn_blocking(move || {
            for bytes in &again {
                leaves.update(bytes);
            }
            Ok(leaves)
        });
        let write = spawn_blocking(move || self.write(&batch).map(|()| self));
        let (hash, write) = tokio::join!(hash, write);
        let mut state = join(write)?;
        state.leaves = join(hash)?;
        Ok(state)
    }

    fn write(&mut self, batch: &[Bytes]) -> Result<()> {
        let failed = |error| StorageError::io("writing an upload", error);
        let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let next = &left[..left.len().min(MOST_SLICES)];
            let written = retry_on_intr(|| pwritev(&self.file, next, self.written))
                .map_err(|error| failed(error.into()))?;
            if written == 0 {
                return Err(failed(io::ErrorKind::WriteZero.into()));
            }
            self.written += written as u64;
            IoSlice::advance_slices(&mut left, written);
        }
        for bytes in batch {
            self.whole.update(bytes);
        }
        Ok(())
    }

    /// Puts fresh leaves beside the file and returns the rest as a checkpoint: version, the machine's
    /// start, sha-256 state, number of finished leaves, spine.
    ///
    /// The file is not synced. After a loss of power its pages may be gone although the state says
    /// that they were hashed, so a checkpoint counts only until the machine starts anew.
    fn save(&mut self, layout: &Layout, id: &str) -> Result<Vec<u8>> {
        if !self.leaves.fresh.is_empty() {
            let path = layout.leaves(id);
            let bytes: Vec<u8> = self.leaves.fresh.concat();
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .and_then(|file| file.write_all_at(&bytes, self.leaves.saved * 32))
                .map_err(|error| StorageError::io(format!("writing {}", path.display()), error))?;
            self.leaves.saved = self.leaves.finished;
            self.leaves.fresh.clear();
        }
        let mut checkpoint = vec![CHECKPOINT_VERSION];
        checkpoint.extend_from_slice(boot().unwrap_or(&[0; 16]));
        checkpoint.extend_from_slice(&self.whole.serialize());
        checkpoint.extend_from_slice(&self.leaves.finished.to_le_bytes());
        checkpoint.extend_from_slice(&self.leaves.spine.to_bytes());
        Ok(checkpoint)
    }

    /// Reads a checkpoint; none when it is of another form or does not fit the files.
    fn restore(
        layout: &Layout,
        id: &str,
        file: &File,
        offset: u64,
        checkpoint: &[u8],
    ) -> Option<(Sha256, Leaves)> {
        let (version, rest) = checkpoint.split_first()?;
        if *version != CHECKPOINT_VERSION {
            return None;
        }
        let (started, rest) = rest.split_at_checked(16)?;
        if boot()? != started {
            return None;
        }
        let mut serialized = digest::common::hazmat::SerializedState::<Sha256>::default();
        let (hash, rest) = rest.split_at_checked(serialized.len())?;
        serialized.copy_from_slice(hash);
        let whole = Sha256::deserialize(&serialized).ok()?;
        let (finished, spine) = rest.split_at_checked(8)?;
        let finished = u64::from_le_bytes(finished.try_into().ok()?);
        let spine = Spine::from_bytes(spine).ok()?;
        if finished > 0 && fs::metadata(layout.leaves(id)).ok()?.len() < finished * 32 {
            return None;
        }
        if spine.size() != finished * CHUNK_SIZE as u64 || spine.size() > offset {
            return None;
        }
        let mut leaves = Leaves {
            spine,
            fresh: Vec::new(),
            finished,
            saved: finished,
            open: Sha256::new(),
            open_size: 0,
        };
        if offset > CHUNK_SIZE as u64 {
            let mut open = vec![0; usize::try_from(offset - leaves.spine.size()).ok()?];
            file.read_exact_at(&mut open, leaves.spine.size()).ok()?;
            leaves.update(&open);
        }
        Some((whole, leaves))
    }

    /// Makes the state from the bytes alone.
    fn hash_again(file: &File, offset: u64) -> io::Result<(Sha256, Leaves)> {
        let (mut whole, mut leaves) = (Sha256::new(), Leaves::new());
        let mut buffer = vec![0; BATCH];
        let mut position = 0;
        while position < offset {
            let size = usize::try_from(offset - position).unwrap_or(usize::MAX).min(BATCH);
            file.read_exact_at(&mut buffer[..size], position)?;
            whole.update(&buffer[..size]);
            leaves.update(&buffer[..size]);
            position += size as u64;
        }
        Ok((whole, leaves))
    }

    /// Compares the digest, then keeps the file as content, durably.
    fn keep(self: Box<Self>, layout: &Layout, id: &str, expected: &Digest) -> Result<Finished> {
        let canonical = CanonicalDigest(self.whole.clone().finalize().into());
        let found = match expected.algorithm() {
            Algorithm::Sha256 => Digest::from(canonical),
            Algorithm::Sha512 => digest_file(&self.file)
                .map_err(|error| StorageError::io("hashing an upload", error))?,
        };
        if found != *expected {
            return Err(StorageError::new(
                StorageErrorKind::DigestMismatch,
                format!("{expected} was expected, the content is {found}"),
            ));
        }
        let (cid, leaves) = self.leaves.close(layout, id, self.written, canonical)?;
        self.file.sync_all().map_err(sync_failed)?;
        super::folder::keep(layout, &layout.upload(id), &canonical)?;
        super::folder::remove_file(&layout.leaves(id))?;
        Ok(Finished { content: Content { canonical, cid, size: self.written }, leaves })
    }
}

impl Leaves {
    fn new() -> Self {
        Self {
            spine: Spine::new(),
            fresh: Vec::new(),
            finished: 0,
            saved: 0,
            open: Sha256::new(),
            open_size: 0,
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.open_size == CHUNK_SIZE {
                self.end_leaf();
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_SIZE - self.open_size));
            self.open.update(now);
            self.open_size += now.len();
            bytes = later;
        }
    }

    fn end_leaf(&mut self) {
        let digest: [u8; 32] = mem::take(&mut self.open).finalize().into();
        self.spine.push_leaf(digest, self.open_size as u64, &mut |_| ());
        self.fresh.push(digest);
        self.finished += 1;
        self.open_size = 0;
    }

    /// Returns the CID of the file and those of its leaves.
    fn close(
        mut self,
        layout: &Layout,
        id: &str,
        size: u64,
        whole: CanonicalDigest,
    ) -> Result<(Cid, Vec<[u8; 32]>)> {
        if size <= CHUNK_SIZE as u64 {
            return Ok((raw_cid(whole.0), vec![whole.0]));
        }
        self.end_leaf();
        let mut leaves = Vec::with_capacity(usize::try_from(self.finished).unwrap_or_default());
        if self.saved > 0 {
            let path = layout.leaves(id);
            let saved = File::open(&path)
                .and_then(|file| {
                    let mut bytes = Vec::new();
                    file.take(self.saved * 32).read_to_end(&mut bytes)?;
                    Ok(bytes)
                })
                .map_err(|error| StorageError::io(format!("reading {}", path.display()), error))?;
            leaves.extend_from_slice(saved.as_chunks::<32>().0);
        }
        leaves.append(&mut self.fresh);
        Ok((self.spine.finish(&mut |_| ()).cid, leaves))
    }
}

/// Computes content, digest and leaves of an open file, and returns them; reads it once.
pub(super) fn identify(file: &File, layout: &Layout) -> Result<Finished> {
    let failed = |error| StorageError::io("reading a file of the tree", error);
    let size = file.metadata().map_err(failed)?.len();
    let (whole, leaves) = State::hash_again(file, size).map_err(failed)?;
    let canonical = CanonicalDigest(whole.finalize().into());
    let (cid, leaves) = leaves.close(layout, "", size, canonical)?;
    Ok(Finished { content: Content { canonical, cid, size }, leaves })
}

fn digest_file(file: &File) -> io::Result<Digest> {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    let mut buffer = vec![0; BATCH];
    let mut position = 0;
    loop {
        let size = file.read_at(&mut buffer, position)?;
        if size == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..size]);
        position += size as u64;
    }
}

/// Tells this start of the machine from every other; none where nothing tells.
fn boot() -> Option<&'static [u8; 16]> {
    static BOOT: LazyLock<Option<[u8; 16]>> = LazyLock::new(|| {
        let text = fs::read_to_string(BOOT_ID).ok()?;
        Some(*Uuid::try_parse(text.trim()).ok()?.as_bytes())
    });
    BOOT.as_ref()
}

fn sync_failed(error: io::Error) -> StorageError {
    StorageError::io("syncing an upload", error)
}

fn broken() -> StorageError {
    StorageError::new(StorageErrorKind::Failed, "an earlier write of this upload failed")
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// Appends more than a chunk, and returns the storage's layout, the file and the checkpoint.
    async fn interrupted(bytes: &Bytes) -> (TempDir, Arc<Layout>, Vec<u8>) {
        let folder = TempDir::new().unwrap();
        let layout = Arc::new(Layout { data: folder.path().to_owned() });
        for name in ["tmp/uploads", "content/sha256/00"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let mut ingest = FileIngest::begin(Arc::clone(&layout), "upload".to_owned()).unwrap();
        ingest.append(bytes.clone()).await.unwrap();
        let checkpoint = ingest.checkpoint().await.unwrap();
        (folder, layout, checkpoint)
    }

    async fn go_on(layout: Arc<Layout>, bytes: &Bytes, checkpoint: &[u8]) -> Result<Finished> {
        let offset = bytes.len() as u64;
        let ingest = FileIngest::resume(layout, "upload".to_owned(), offset, checkpoint)?;
        Box::new(ingest).finish(&Digest::of(Algorithm::Sha256, bytes)).await
    }

    /// A page that the machine had not written when it lost its power.
    fn lose_a_page(layout: &Layout) {
        let file = OpenOptions::new().write(true).open(layout.upload("upload")).unwrap();
        file.write_all_at(&[0; 4096], 8192).unwrap();
    }

    #[tokio::test]
    async fn what_a_loss_of_power_took_is_noticed() {
        let bytes = Bytes::from(vec![7; CHUNK_SIZE + 5]);
        let (_folder, layout, mut checkpoint) = interrupted(&bytes).await;
        lose_a_page(&layout);
        // The machine has started anew since.
        checkpoint[1..17].fill(0xff);
        let finished = go_on(layout, &bytes, &checkpoint).await;
        assert_eq!(finished.unwrap_err().kind, StorageErrorKind::DigestMismatch);
    }

    #[tokio::test]
    async fn the_bytes_are_not_read_again_while_the_machine_runs() {
        let bytes = Bytes::from(vec![7; CHUNK_SIZE + 5]);
        let (folder, layout, checkpoint) = interrupted(&bytes).await;
        let hex = Digest::of(Algorithm::Sha256, &bytes).to_string();
        let shard = folder.path().join("content/sha256").join(&hex["sha256:".len()..][..2]);
        fs::create_dir_all(shard).unwrap();
        lose_a_page(&layout);
        go_on(layout, &bytes, &checkpoint).await.unwrap();
    }
}
