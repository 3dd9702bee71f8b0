//! Reading content: one file, one reader, one piece read ahead.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::task::spawn_blocking;

use super::super::{ByteStream, Result, StorageError};
use super::join;

/// How much is read at a time.
const PIECE: u64 = 256 * 1024;

/// Streams a range of a file. While one piece is sent the next is read.
pub(super) fn stream(file: File, range: Range<u64>) -> ByteStream {
    let file = Arc::new(file);
    let starts = (range.start..range.end).step_by(usize::try_from(PIECE).unwrap_or(usize::MAX));
    let pieces = stream::iter(starts).map(move |start| {
        let file = Arc::clone(&file);
        let length = PIECE.min(range.end - start);
        async move { join(spawn_blocking(move || read_piece(&file, start, length)).await) }
    });
    Box::pin(pieces.buffered(2))
}

fn read_piece(file: &File, start: u64, length: u64) -> Result<Bytes> {
    let mut piece = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut piece, start)
        .map_err(|error| StorageError::io(format!("reading at byte {start}"), error))?;
    Ok(piece.into())
}
