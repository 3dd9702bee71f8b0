//! Reading files of this machine for callers that send them on. What the page cache holds is read at once; only
//! what has to come from the disk costs a thread.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use rustix::io::{ReadWriteFlags, preadv2, retry_on_intr};
use tokio::task::spawn_blocking;

/// How much all transfers of the process read at a time, together.
const BUDGET: u64 = 8 * 1024 * 1024;

/// The least, and the most, that one of them reads at a time.
const LEAST: u64 = 16 * 1024;
const MOST: u64 = 512 * 1024;

/// How many readers there are.
static READERS: AtomicU64 = AtomicU64::new(0);

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

/// Who reads a file from one end to the other, in pieces whose size depends on how many others do so.
pub struct Reader {
    file: Arc<File>,
}

impl Reader {
    /// Begins to read a file.
    #[must_use]
    pub fn new(file: Arc<File>) -> Self {
        READERS.fetch_add(1, Ordering::Relaxed);
        Self { file }
    }

    /// Reads the beginning of a range that is not empty, and lies within the file.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let share = BUDGET / READERS.load(Ordering::Relaxed).max(1);
        let piece = share.clamp(LEAST, MOST).min(range.end - range.start);
        let mut buffer = Buffer::new(usize::try_from(piece).unwrap_or(usize::MAX));
        let cached = retry_on_intr(|| {
            let mut whole = [IoSliceMut::new(&mut buffer.0)];
            preadv2(&self.file, &mut whole, range.start, ReadWriteFlags::NOWAIT)
        });
        // Where it is not in the cache, the system cannot tell, or the file ends, reading it tells more.
        if let Ok(size @ 1..) = cached {
            buffer.0.truncate(size);
            return Ok(Bytes::from_owner(buffer));
        }
        let file = Arc::clone(&self.file);
        let read = spawn_blocking(move || {
            file.read_exact_at(&mut buffer.0, range.start)?;
            Ok(Bytes::from_owner(buffer))
        });
        read.await.map_err(io::Error::other).flatten()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        READERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Streams a range of a file.
pub fn stream(file: Arc<File>, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    try_unfold((Reader::new(file), range), |(reader, left)| async move {
        if left.is_empty() {
            return Ok(None);
        }
        let bytes = reader.read(left.clone()).await?;
        let left = left.start + bytes.len() as u64..left.end;
        Ok(Some((bytes, (reader, left))))
    })
}
