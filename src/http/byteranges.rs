//! `multipart/byteranges`: several ranges of content in one body (RFC 9110, 14.6).

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt, future, stream};
use uuid::Uuid;

/// How many bytes of short parts are gathered until they are sent: HTTP/2 makes a frame of each piece, and clients end
/// a connection that has too many small ones.
const PIECE: usize = 16 * 1024;

/// The body of an answer that has several ranges of content.
pub(super) struct ByteRanges {
    ranges: Vec<Range<u64>>,
    size: u64,
    content_type: &'static str,
    /// Random, so that no client can push content that has it.
    boundary: String,
}

impl ByteRanges {
    /// Prepares an answer of these ranges, none of which is empty, of content that long.
    pub(super) fn new(ranges: Vec<Range<u64>>, size: u64, content_type: &'static str) -> Self {
        Self { ranges, size, content_type, boundary: Uuid::new_v4().simple().to_string() }
    }

    /// Returns the media type of the whole.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// Returns the length of the whole.
    pub(super) fn length(&self) -> u64 {
        let parts = self.ranges.iter().enumerate();
        let parts = parts
            .map(|(index, range)| self.head(index, range).len() as u64 + (range.end - range.start));
        parts.sum::<u64>() + self.end().len() as u64
    }

    /// Writes what stands before the bytes of a range.
    fn head(&self, index: usize, range: &Range<u64>) -> String {
        let Self { boundary, content_type, size, .. } = self;
        let line = if index == 0 { "" } else { "\r\n" };
        let (first, last) = (range.start, range.end - 1);
        format!(
            "{line}--{boundary}\r\nContent-Type: {content_type}\r\n\
             Content-Range: bytes {first}-{last}/{size}\r\n\r\n"
        )
    }

    fn end(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    /// Writes the whole. `open` is called for one range after the other, when the bytes before it were sent.
    pub(super) fn body<Bytewise, Opening, Error>(
        self,
        open: impl Fn(Range<u64>) -> Opening,
    ) -> impl Stream<Item = Result<Bytes, Error>>
    where
        Bytewise: Stream<Item = Result<Bytes, Error>>,
        Opening: Future<Output = Result<Bytewise, Error>>,
    {
        let end = Bytes::from(self.end());
        let pieces = stream::iter(0..self.ranges.len())
            .then(move |index| {
                let range = self.ranges[index].clone();
                let head = Bytes::from(self.head(index, &range));
                let opening = open(range);
                async move { Ok(stream::once(future::ok(head)).chain(opening.await?)) }
            })
            .try_flatten()
            .chain(stream::once(future::ok(end)));
        gathered(pieces)
    }
}

/// Makes longer pieces of short ones.
fn gathered<Error>(
    pieces: impl Stream<Item = Result<Bytes, Error>>,
) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::try_unfold(Box::pin(pieces.fuse()), async |mut pieces| {
        let mut gathered = BytesMut::new();
        while gathered.len() < PIECE
            && let Some(piece) = pieces.try_next().await?
        {
            if gathered.is_empty() && piece.len() >= PIECE {
                return Ok(Some((piece, pieces)));
            }
            gathered.extend_from_slice(&piece);
        }
        Ok((!gathered.is_empty()).then(|| (gathered.freeze(), pieces)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn short_pieces_are_gathered_and_long_ones_are_sent_as_they_are() {
        let long = Bytes::from(vec![7; 3 * PIECE]);
        let short = std::iter::repeat_n(Bytes::from_static(b"x"), 2 * PIECE + 5);
        let pieces: Vec<_> = short.chain([long.clone(), long.clone()]).collect();
        let whole = pieces.concat();
        let sent = gathered(stream::iter(pieces.into_iter().map(Ok::<_, ()>)));
        let sent: Vec<_> = sent.try_collect().await.unwrap();
        let lengths: Vec<_> = sent.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [PIECE, PIECE, 5 + long.len(), long.len()]);
        assert_eq!(sent[3].as_ptr(), long.as_ptr(), "it was copied");
        assert!(sent.concat() == whole);
        let broken =
            gathered(stream::iter([Ok(long), Ok(Bytes::from_static(b"x")), Err("broken")]));
        let broken: Vec<_> = broken.map_ok(|piece| piece.len()).collect().await;
        assert_eq!(broken, [Ok(3 * PIECE), Err("broken")]);
    }
}
