//! Cached content, returned only once it was compared with its digest: disks lose power and bits.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::spawn_blocking;

use super::cache_store::CacheStore;
use super::{ByteStream, RemoteError, RemoteErrorKind, Result};
use crate::oci::{CanonicalDigest, Digest};
use crate::reader;

/// Cached content.
pub struct Cached {
    /// Its file, which stays readable when it is evicted.
    pub file: Arc<CachedFile>,
    /// In bytes.
    pub size: u64,
}

/// A file of the cache.
pub struct CachedFile {
    pub(super) file: Arc<File>,
    pub(super) digest: CanonicalDigest,
    pub(super) store: Arc<CacheStore>,
    /// Whether it is known to match its digest.
    pub(super) is_sound: AtomicBool,
}

impl CachedFile {
    /// Verifies that the file matches its digest. One that does not is removed.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Failed`]
    async fn prove(&self) -> Result<()> {
        if self.is_sound.load(Ordering::Acquire) {
            return Ok(());
        }
        let proof = self.store.proofs.begin(&self.digest).await;
        let (store, digest, file) = (Arc::clone(&self.store), self.digest, Arc::clone(&self.file));
        let proved = spawn_blocking(move || {
            let _proof = proof;
            store.prove(&digest, &file)
        });
        match proved.await.map_err(io::Error::other).flatten() {
            Ok(true) => {
                self.is_sound.store(true, Ordering::Release);
                Ok(())
            }
            Ok(false) => Err(self.damaged()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Returns the sha512 digest of the content. It is computed once, for all callers, and noted.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Failed`]
    pub async fn sha512(&self) -> Result<Digest> {
        let (cache, digest) = (Arc::clone(&self.store), self.digest);
        let known = spawn_blocking(move || cache.notes.sha512(&digest)).await;
        if let Some(known) = known.map_err(io::Error::other).map_err(failed)? {
            return Ok(known);
        }
        let proof = self.store.proofs.begin(&self.digest).await;
        let (cache, digest, file) = (Arc::clone(&self.store), self.digest, Arc::clone(&self.file));
        let computed = spawn_blocking(move || {
            let _proof = proof;
            cache.sha512(&digest, &file)
        });
        let computed = computed.await.map_err(io::Error::other).flatten().map_err(failed)?;
        computed.ok_or_else(|| self.damaged())
    }

    fn damaged(&self) -> RemoteError {
        let what = format!("the cache entry of {} is damaged", self.digest);
        RemoteError::new(RemoteErrorKind::Failed, what)
    }
}

impl CacheStore {
    /// Finds content, and notes its use. A file up to `small` is proved.
    pub(super) fn find(self: &Arc<Self>, digest: &CanonicalDigest, small: u64) -> Option<Cached> {
        let file = File::open(self.path_of("sha256", digest)).ok()?;
        let size = file.metadata().ok()?.len();
        let mut is_sound = self.touch(digest, &file).ok()?;
        if !is_sound && size <= small {
            is_sound = self.prove(digest, &file).ok()?;
            if !is_sound {
                return None;
            }
        }
        let (file, is_sound) = (Arc::new(file), AtomicBool::new(is_sound));
        let file = CachedFile { file, digest: *digest, store: Arc::clone(self), is_sound };
        Some(Cached { file: Arc::new(file), size })
    }
}

/// Reads a range of cached content; not one byte of damaged content.
#[must_use]
pub fn read_cached(file: Arc<CachedFile>, range: Range<u64>) -> ByteStream {
    let proved = async move {
        file.prove().await?;
        Ok::<_, RemoteError>(reader::stream(Arc::clone(&file.file), range).map_err(failed))
    };
    stream::once(proved).try_flatten().boxed()
}

/// Wraps a failure of the file system.
pub(super) fn failed(error: io::Error) -> RemoteError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => RemoteErrorKind::Full,
        _ => RemoteErrorKind::Failed,
    };
    RemoteError::wrap(kind, "writing to the cache", error)
}
