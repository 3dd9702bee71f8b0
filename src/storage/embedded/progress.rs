//! How far an ingest has come: what is written and hashed, and how that outlives the process.

use std::fs;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use rustix::io::{pwritev, retry_on_intr};
use uuid::Uuid;

use super::super::{Content, Finished, Result, StorageError, StorageErrorKind, files};
use super::content;
use super::layout::Layout;
use super::leaves::Leaves;
use super::writers::Writer;
use crate::ipld::file::TwinHasher;
use crate::oci::{Algorithm, CanonicalDigest, Digest, Hasher};

/// How much is read at a time.
const PIECE: usize = 256 * 1024;

/// How many pieces the kernel takes in one call (`IOV_MAX`).
const MOST_SLICES: usize = 1024;

/// The version of a checkpoint's form; another one is hashed again from the bytes.
const CHECKPOINT_VERSION: u8 = 2;

/// Where Linux tells one start of the machine from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// All that appended bytes change.
pub(super) struct Progress {
    pub(super) file: Arc<File>,
    writer: Writer,
    hasher: TwinHasher,
    leaves: Leaves,
}

impl Progress {
    /// Begins with an empty file.
    pub(super) fn begin(file: File, writer: Writer) -> Self {
        let (hasher, leaves) = (TwinHasher::new(), Leaves::new());
        Self { file: Arc::new(file), writer, hasher, leaves }
    }

    /// Goes on with a file of that many bytes; one whose checkpoint does not count is read again.
    pub(super) fn resume(
        layout: &Layout,
        id: &str,
        (file, writer): (File, Writer),
        offset: u64,
        checkpoint: &[u8],
    ) -> io::Result<Self> {
        let (hasher, leaves) = match Self::restore(layout, id, offset, checkpoint) {
            Some(restored) => restored,
            None => Self::hash_again(&file, offset)?,
        };
        Ok(Self { file: Arc::new(file), writer, hasher, leaves })
    }

    /// Writes bytes and hashes them.
    pub(super) fn absorb(&mut self, pieces: &[Bytes]) -> Result<()> {
        let position = self.hasher.length();
        self.writer.write(|| write(&self.file, position, pieces))?;
        for bytes in pieces {
            self.hasher.append(bytes, &mut |leaf| self.leaves.push(leaf));
        }
        Ok(())
    }

    /// Puts fresh leaves beside the file and returns the rest as a checkpoint: version, the machine's
    /// start, hashes, spine.
    ///
    /// The file is not synced. After a loss of power its pages may be gone although the state says
    /// that they were hashed, so a checkpoint counts only until the machine starts anew.
    pub(super) fn save(&mut self, layout: &Layout, id: &str) -> Result<Vec<u8>> {
        let spine = self.writer.write(|| self.leaves.save(layout, id))?;
        let hasher = self.hasher.to_bytes();
        let mut checkpoint = vec![CHECKPOINT_VERSION];
        checkpoint.extend_from_slice(boot().unwrap_or(&[0; 16]));
        checkpoint.push(u8::try_from(hasher.len()).expect("a hasher takes at most 136 bytes"));
        checkpoint.extend_from_slice(&hasher);
        checkpoint.extend_from_slice(&spine);
        Ok(checkpoint)
    }

    /// Reads a checkpoint; none when it is of another form or does not fit the files.
    fn restore(
        layout: &Layout,
        id: &str,
        offset: u64,
        checkpoint: &[u8],
    ) -> Option<(TwinHasher, Leaves)> {
        let (version, rest) = checkpoint.split_first()?;
        if *version != CHECKPOINT_VERSION {
            return None;
        }
        let (started, rest) = rest.split_at_checked(16)?;
        if boot()? != started {
            return None;
        }
        let (length, rest) = rest.split_first()?;
        let (hasher, spine) = rest.split_at_checked(usize::from(*length))?;
        let hasher = TwinHasher::from_bytes(hasher).filter(|hasher| hasher.length() == offset)?;
        Some((hasher, Leaves::restore(layout, id, spine, offset)?))
    }

    /// Makes the state from the bytes alone.
    fn hash_again(file: &File, offset: u64) -> io::Result<(TwinHasher, Leaves)> {
        let (mut hasher, mut leaves) = (TwinHasher::new(), Leaves::new());
        let mut buffer = vec![0; PIECE];
        while hasher.length() < offset {
            let left = usize::try_from(offset - hasher.length()).unwrap_or(usize::MAX);
            let bytes = &mut buffer[..left.min(PIECE)];
            file.read_exact_at(bytes, hasher.length())?;
            hasher.append(bytes, &mut |leaf| leaves.push(leaf));
        }
        Ok((hasher, leaves))
    }

    /// Compares the digest by sha512 of all that was written.
    pub(super) fn expect(&self, expected: &Digest) -> Result<()> {
        let found = digest_file(&self.file)
            .map_err(|error| StorageError::io("hashing an upload", error))?;
        compare(found, expected)
    }

    /// Compares the digest, unless [`Progress::expect`] has done that, then keeps the file as content, durably.
    pub(super) fn keep(
        self,
        layout: &Layout,
        id: &str,
        expected: &Digest,
        is_checked: bool,
    ) -> Result<Finished> {
        let writer = self.writer.clone();
        writer.write(|| self.keep_alone(layout, id, expected, is_checked))
    }

    fn keep_alone(
        self,
        layout: &Layout,
        id: &str,
        expected: &Digest,
        is_checked: bool,
    ) -> Result<Finished> {
        if !is_checked && expected.algorithm() == Algorithm::Sha512 {
            self.expect(expected)?;
        }
        let mut finished = finish(self.hasher, self.leaves, layout, id)?;
        let canonical = finished.content.canonical;
        if expected.algorithm() == Algorithm::Sha256 {
            compare(canonical.into(), expected)?;
        }
        self.file.sync_all().map_err(|error| sync_failed(layout, id, error))?;
        let length = self.file.metadata().map(|found| found.len());
        if length.map_err(|error| StorageError::io("looking at an upload", error))?
            != finished.content.size
        {
            let what =
                format!("the file of upload {id} is shorter or longer than what was written");
            return Err(StorageError::new(StorageErrorKind::NotFound, what));
        }
        finished.is_replaced = content::keep(layout, &self.file, &layout.upload(id), &canonical)?;
        files::remove_file(&layout.leaves(id))?;
        Ok(finished)
    }
}

fn compare(found: Digest, expected: &Digest) -> Result<()> {
    if found == *expected {
        return Ok(());
    }
    let what = format!("expected {expected}, the content is {found}");
    Err(StorageError::new(StorageErrorKind::DigestMismatch, what))
}

/// Writes all of the pieces to a file, one behind the other.
fn write(file: &File, mut position: u64, pieces: &[Bytes]) -> Result<()> {
    let failed = |error| StorageError::io("writing an upload", error);
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|bytes| IoSlice::new(bytes)).collect();
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let next = &left[..left.len().min(MOST_SLICES)];
        let written = retry_on_intr(|| pwritev(file, next, position))
            .map_err(|error| failed(error.into()))?;
        if written == 0 {
            return Err(failed(io::ErrorKind::WriteZero.into()));
        }
        position += written as u64;
        IoSlice::advance_slices(&mut left, written);
    }
    Ok(())
}

/// Computes content, digest and leaves of an open file, and returns them; reads it once.
pub(super) fn identify(file: &File, layout: &Layout) -> Result<Finished> {
    let failed = |error| StorageError::io("reading a file of the tree", error);
    let size = file.metadata().map_err(failed)?.len();
    let (hasher, leaves) = Progress::hash_again(file, size).map_err(failed)?;
    finish(hasher, leaves, layout, "")
}

fn finish(hasher: TwinHasher, leaves: Leaves, layout: &Layout, id: &str) -> Result<Finished> {
    let size = hasher.length();
    let (whole, last) = hasher.finish();
    let (cid, leaves) = leaves.close(layout, id, size, last)?;
    let content = Content { canonical: CanonicalDigest(whole), cid, size };
    Ok(Finished { content, leaves, is_replaced: false })
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

/// Forgets the bytes of an upload. The system tells once that it could not write them, and takes them
/// for written afterwards: another sync would succeed, and another look at them come from memory.
pub(super) fn sync_failed(layout: &Layout, id: &str, error: io::Error) -> StorageError {
    for path in [layout.upload(id), layout.leaves(id)] {
        if let Err(error) = files::remove_file(&path) {
            tracing::error!(%error, "failed to remove an upload that may not be on the disk");
        }
    }
    StorageError::io("syncing an upload", error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipld::file::CHUNK_SIZE;

    fn golden(text: &str) -> Vec<u8> {
        let digits = text.trim().as_bytes().chunks(2);
        let digits = digits.map(|pair| std::str::from_utf8(pair).unwrap());
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    #[test]
    fn a_checkpoint_of_version_0_is_gone_on_with_until_the_machine_starts_anew() {
        let home = tempfile::TempDir::new().unwrap();
        let layout = Layout::new(home.path());
        fs::create_dir_all(layout.upload("")).unwrap();
        let mut checkpoint = golden(include_str!("../../../tests/golden/v0/checkpoint.hex"));
        let size = 2_621_440;
        // Beside the file stand the leaves, which end the spine.
        let leaves = checkpoint[checkpoint.len() - 64..].to_vec();
        fs::write(layout.leaves("id"), leaves).unwrap();
        checkpoint[1..17].fill(1);
        assert!(Progress::restore(&layout, "id", size, &checkpoint).is_none(), "another start");
        checkpoint[1..17].copy_from_slice(boot().unwrap());
        let (hasher, _) = Progress::restore(&layout, "id", size, &checkpoint).unwrap();
        assert_eq!(hasher.length(), size);
        assert!(Progress::restore(&layout, "id", size - CHUNK_SIZE as u64, &checkpoint).is_none());
    }
}
