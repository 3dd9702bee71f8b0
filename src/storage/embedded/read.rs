//! Reading content: one file, one reader, one piece read ahead.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::task::spawn_blocking;

use super::super::{ByteStream, Result, StorageError};
use super::join;

/// How much is read at a time.
const PIECE: u64 = 256 * 1024;

/// Buffers that were sent and can be filled again: a fresh one costs as much as the reading.
type Pool = Arc<Mutex<Vec<Vec<u8>>>>;

/// A buffer that goes back to its pool.
struct Buffer {
    bytes: Vec<u8>,
    pool: Pool,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}

/// Streams a range of a file. While one piece is sent the next is read.
pub(super) fn stream(file: File, range: Range<u64>) -> ByteStream {
    let (file, pool) = (Arc::new(file), Pool::default());
    let starts = (range.start..range.end).step_by(usize::try_from(PIECE).unwrap_or(usize::MAX));
    let pieces = stream::iter(starts).map(move |start| {
        let (file, pool) = (Arc::clone(&file), Arc::clone(&pool));
        let length = PIECE.min(range.end - start);
        async move { join(spawn_blocking(move || read_piece(&file, &pool, start, length)).await) }
    });
    Box::pin(pieces.buffered(2))
}

fn read_piece(file: &File, pool: &Pool, start: u64, length: u64) -> Result<Bytes> {
    let recycled = pool.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut buffer = Buffer { bytes: recycled.unwrap_or_default(), pool: Arc::clone(pool) };
    buffer.bytes.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
    file.read_exact_at(&mut buffer.bytes, start)
        .map_err(|error| StorageError::io(format!("reading at byte {start}"), error))?;
    Ok(Bytes::from_owner(buffer))
}
