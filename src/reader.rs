//! Reading content: one file, one reader. What the page cache holds is read at once; only what
//! has to come from the disk costs a thread.

use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use rustix::io::{ReadWriteFlags, preadv2, retry_on_intr};
use tokio::task::spawn_blocking;

use super::super::{ByteStream, Result, StorageError};
use super::join;

/// How much all transfers of the process read at a time, together.
const BUDGET: u64 = 8 * 1024 * 1024;

/// The least, and the most, that one of them reads at a time.
const LEAST: u64 = 16 * 1024;
const MOST: u64 = 512 * 1024;

/// How many transfers are under way.
static TRANSFERS: AtomicU64 = AtomicU64::new(0);

/// Buffers that were sent and can be filled again: a fresh one costs as much as the reading.
static POOL: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// How many buffers wait to be filled again.
const POOLED: usize = 8;

/// A buffer that goes back to the pool.
struct Buffer(Vec<u8>);

impl Buffer {
    fn new(size: usize) -> Self {
        let recycled = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut bytes = recycled.unwrap_or_default();
        bytes.resize(size, 0);
        Self(bytes)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOLED {
            pool.push(std::mem::take(&mut self.0));
        }
    }
}

/// A transfer under way: what is left of a file.
struct Transfer {
    file: Arc<File>,
    left: Range<u64>,
}

/// Streams a range of a file.
pub(super) fn stream(file: File, range: Range<u64>) -> ByteStream {
    TRANSFERS.fetch_add(1, Ordering::Relaxed);
    let transfer = Transfer { file: Arc::new(file), left: range };
    Box::pin(stream::try_unfold(transfer, |mut transfer| async move {
        if transfer.left.is_empty() {
            return Ok(None);
        }
        let bytes = transfer.next().await?;
        transfer.left.start += bytes.len() as u64;
        Ok(Some((bytes, transfer)))
    }))
}

impl Transfer {
    async fn next(&self) -> Result<Bytes> {
        let share = BUDGET / TRANSFERS.load(Ordering::Relaxed).max(1);
        let piece = share.clamp(LEAST, MOST).min(self.left.end - self.left.start);
        let start = self.left.start;
        let mut buffer = Buffer::new(usize::try_from(piece).unwrap_or(usize::MAX));
        let cached = retry_on_intr(|| {
            let mut whole = [IoSliceMut::new(&mut buffer.0)];
            preadv2(&self.file, &mut whole, start, ReadWriteFlags::NOWAIT)
        });
        // Where it is not in the cache, the system cannot tell, or the file ends, reading it tells more.
        if let Ok(size @ 1..) = cached {
            buffer.0.truncate(size);
            return Ok(Bytes::from_owner(buffer));
        }
        let file = Arc::clone(&self.file);
        let read = spawn_blocking(move || {
            file.read_exact_at(&mut buffer.0, start).map_err(|error| failed(start, error))?;
            Ok(Bytes::from_owner(buffer))
        });
        join(read.await)
    }
}

fn failed(start: u64, error: std::io::Error) -> StorageError {
    StorageError::io(format!("reading at byte {start}"), error)
}

impl Drop for Transfer {
    fn drop(&mut self) {
        TRANSFERS.fetch_sub(1, Ordering::Relaxed);
    }
}
