//! Content that is kept, told only when it is seen to be what its digest says: disks lose power and bits.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::try_unfold;
use tokio::task::spawn_blocking;

use super::shelf::Shelf;
use super::{ByteStream, RemoteError, RemoteErrorKind, Result};
use crate::oci::{Algorithm, CanonicalDigest, Hasher};

/// How many bytes are read from a file at a time.
const PIECE: u64 = 256 * 1024;

/// Content that is kept.
pub struct Kept {
    /// Its file, which stays readable when it is evicted.
    pub file: Arc<KeptFile>,
    /// In bytes.
    pub size: u64,
}

/// A file of the cache's.
pub struct KeptFile {
    pub(super) file: Arc<File>,
    pub(super) digest: CanonicalDigest,
    pub(super) shelf: Arc<Shelf>,
    /// Whether it is known to be what its digest says.
    pub(super) is_sound: AtomicBool,
}

impl KeptFile {
    /// Sees to it that the file is what its digest says. One that is not is thrown away.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Failed`]
    async fn prove(&self) -> Result<()> {
        if self.is_sound.load(Ordering::Acquire) {
            return Ok(());
        }
        // A file that many ask for at once is read once.
        let _turn = self.shelf.turn.lock().await;
        self.prove_now().await
    }

    /// The same, without waiting for others who read theirs: for a small one.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Failed`]
    pub(super) async fn prove_now(&self) -> Result<()> {
        if self.is_sound.load(Ordering::Acquire) {
            return Ok(());
        }
        let (keeper, digest, file) = (Arc::clone(&self.shelf), self.digest, Arc::clone(&self.file));
        let proved = spawn_blocking(move || keeper.prove(&digest, &file));
        match proved.await.map_err(io::Error::other).flatten() {
            Ok(true) => {
                self.is_sound.store(true, Ordering::Release);
                Ok(())
            }
            Ok(false) => {
                let what = format!("what was kept of {} is damaged", self.digest);
                Err(RemoteError::new(RemoteErrorKind::Failed, what))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// Reads a range of content that is kept; not one byte of what is damaged.
#[must_use]
pub fn read_kept(file: Arc<KeptFile>, range: Range<u64>) -> ByteStream {
    try_unfold((file, range), |(file, left)| async move {
        if left.is_empty() {
            return Ok(None);
        }
        file.prove().await?;
        let piece = read_at(&file.file, left.clone()).await?;
        let left = left.start + piece.len() as u64..left.end;
        Ok(Some((piece, (file, left))))
    })
    .boxed()
}

/// Reads the beginning of a range.
pub(super) async fn read_at(file: &Arc<File>, range: Range<u64>) -> Result<Bytes> {
    let file = Arc::clone(file);
    let read = spawn_blocking(move || {
        let length = (range.end - range.start).min(PIECE);
        let mut piece = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut piece, range.start)?;
        Ok(Bytes::from(piece))
    });
    read.await.map_err(io::Error::other).flatten().map_err(failed)
}

/// Computes the digest of a file.
pub(super) fn digest_of(file: &File) -> io::Result<CanonicalDigest> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let (mut at, mut piece) = (0, vec![0; 256 * 1024]);
    loop {
        match file.read_at(&mut piece, at)? {
            0 => break,
            read => {
                hasher.update(&piece[..read]);
                at += read as u64;
            }
        }
    }
    Ok(hasher.finish().canonical().expect("a sha256 is canonical"))
}

/// What the file system did not do.
pub(super) fn failed(error: io::Error) -> RemoteError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => RemoteErrorKind::Full,
        _ => RemoteErrorKind::Failed,
    };
    RemoteError::wrap(kind, "keeping other people's content", error)
}
