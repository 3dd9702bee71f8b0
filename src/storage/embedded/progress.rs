//! How far an ingest has come: what is written and hashed, and how that outlives the process.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, LazyLock};
use std::{fs, mem};

use bytes::Bytes;
use digest::common::hazmat::SerializableState;
use rustix::io::{pwritev, retry_on_intr};
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::super::{Content, Finished, Result, StorageError, StorageErrorKind};
use super::leaves::Leaves;
use super::{Layout, folder, join};
use crate::ipld::file::{CHUNK_SIZE, Spine};
use crate::oci::{Algorithm, CanonicalDigest, Digest, Hasher};

/// How much is read at a time.
const PIECE: usize = 256 * 1024;

/// How many pieces the kernel takes in one call (`IOV_MAX`).
const MOST_SLICES: usize = 1024;

/// The version of a checkpoint's form; another one is hashed again from the bytes.
const CHECKPOINT_VERSION: u8 = 1;

/// Where Linux tells one start of the machine from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// All that a batch changes.
pub(super) struct Progress {
    pub(super) file: Arc<File>,
    pub(super) written: u64,
    whole: Sha256,
    leaves: Leaves,
}

impl Progress {
    /// Begins with an empty file.
    pub(super) fn begin(file: File) -> Self {
        Self { file: Arc::new(file), written: 0, whole: Sha256::new(), leaves: Leaves::new() }
    }

    /// Goes on with a file of that many bytes; one whose checkpoint does not count is read again.
    pub(super) fn resume(
        layout: &Layout,
        id: &str,
        file: File,
        offset: u64,
        checkpoint: &[u8],
    ) -> io::Result<Self> {
        let (whole, leaves) = match Self::restore(layout, id, &file, offset, checkpoint) {
            Some(restored) => restored,
            None => Self::hash_again(&file, offset)?,
        };
        Ok(Self { file: Arc::new(file), written: offset, whole, leaves })
    }

    /// Writes and hashes a batch; the leaves on a second thread once there is a second chunk.
    pub(super) async fn absorb(mut self: Box<Self>, batch: Vec<Bytes>) -> Result<Box<Self>> {
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
    pub(super) fn save(&mut self, layout: &Layout, id: &str) -> Result<Vec<u8>> {
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
        if finished.checked_mul(CHUNK_SIZE as u64) != Some(spine.size()) {
            return None;
        }
        if offset.checked_sub(spine.size())? > CHUNK_SIZE as u64 {
            return None;
        }
        if finished > 0 && fs::metadata(layout.leaves(id)).ok()?.len() < finished * 32 {
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
        let mut buffer = vec![0; PIECE];
        let mut position = 0;
        while position < offset {
            let size = usize::try_from(offset - position).unwrap_or(usize::MAX).min(PIECE);
            file.read_exact_at(&mut buffer[..size], position)?;
            whole.update(&buffer[..size]);
            leaves.update(&buffer[..size]);
            position += size as u64;
        }
        Ok((whole, leaves))
    }

    /// Compares the digest, then keeps the file as content, durably.
    pub(super) fn keep(
        self: Box<Self>,
        layout: &Layout,
        id: &str,
        expected: &Digest,
    ) -> Result<Finished> {
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
        folder::keep(layout, &layout.upload(id), &canonical)?;
        folder::remove_file(&layout.leaves(id))?;
        Ok(Finished { content: Content { canonical, cid, size: self.written }, leaves })
    }
}

/// Computes content, digest and leaves of an open file, and returns them; reads it once.
pub(super) fn identify(file: &File, layout: &Layout) -> Result<Finished> {
    let failed = |error| StorageError::io("reading a file of the tree", error);
    let size = file.metadata().map_err(failed)?.len();
    let (whole, leaves) = Progress::hash_again(file, size).map_err(failed)?;
    let canonical = CanonicalDigest(whole.finalize().into());
    let (cid, leaves) = leaves.close(layout, "", size, canonical)?;
    Ok(Finished { content: Content { canonical, cid, size }, leaves })
}

fn digest_file(file: &File) -> io::Result<Digest> {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    let mut buffer = vec![0; PIECE];
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

pub(super) fn sync_failed(error: io::Error) -> StorageError {
    StorageError::io("syncing an upload", error)
}
