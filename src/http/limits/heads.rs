//! The heads of HTTP/2 requests, which the library collects without a bound of ours: how long one is, how many fields
//! it has, and when it has to be there.
//!
//! A field that was sent before takes one byte (RFC 7541, 6.1), and hundreds of bytes of memory once it is read: they
//! are counted before anything is.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::rt::time::{Sleep, sleep};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::fields::Head;

/// The most bytes of a head, as they are sent: as many as HTTP/1 may have.
const LONGEST: usize = 128 * 1024;

/// The most fields of a head.
const FIELDS: usize = 128;

/// How long a head may take.
const IN_TIME: Duration = Duration::from_secs(10);

/// How many bytes come before the first frame (RFC 9113, 3.4).
const PREFACE: usize = 24;

/// The types and flags of the frames that have a part of a head (RFC 9113, 6.2 and 6.10).
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// The type of frames with which a server promises a request (RFC 9113, 6.6).
const PUSH_PROMISE: u8 = 5;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A stream that ends with an error where a head is too much.
pub struct BoundedHeads<S> {
    stream: S,
    /// None of a connection that speaks HTTP/1.
    frames: Option<Frames>,
    /// Until when the head that has begun has to be there.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> BoundedHeads<S> {
    /// Watches what is read of a stream.
    #[must_use]
    pub fn new(stream: S, is_multiplexed: bool) -> Self {
        Self { stream, frames: is_multiplexed.then(Frames::default), timer: None }
    }

    /// Returns the stream.
    #[must_use]
    pub fn stream(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedHeads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, frames, timer } = &mut *self;
        let before = buffer.filled().len();
        let polled = Pin::new(stream).poll_read(context, buffer);
        let Some(frames) = frames else { return polled };
        if polled.is_ready() {
            frames.read(buffer.filled().get(before..).unwrap_or_default())?;
        }
        // The next one has its own time.
        if mem::take(&mut frames.has_ended) {
            *timer = None;
        }
        if !frames.is_in_head() {
            return polled;
        }
        let timer = timer.get_or_insert_with(|| Box::pin(sleep(IN_TIME)));
        if polled.is_pending() {
            ready!(timer.as_mut().poll(context));
            return Poll::Ready(Err(refused("the head of a request did not arrive in time")));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedHeads<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

fn refused(reason: &'static str) -> io::Error {
    tracing::info!(event = "head_refused", reason, "ended a connection");
    io::Error::other(reason)
}

/// The frames of a connection, as far as they were read.
struct Frames {
    step: Step,
    /// The head that has begun; none between two.
    head: Option<Head>,
    /// Whether a head has ended since that was looked at.
    has_ended: bool,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// What comes before the first frame: so much of it is left.
    Preface(usize),
    /// The beginning of a frame, of which so many bytes are there.
    Begin { bytes: [u8; 9], count: usize },
    /// The length of the padding of a frame with so many bytes.
    PadLength { left: usize, flags: u8 },
    /// Bytes before the fields, the fields, and bytes behind them.
    Payload { before: usize, fields: usize, behind: usize, is_last: bool },
}

impl Step {
    const BEGIN: Self = Self::Begin { bytes: [0; 9], count: 0 };
}

impl Default for Frames {
    fn default() -> Self {
        Self { step: Step::Preface(PREFACE), head: None, has_ended: false }
    }
}

impl Frames {
    /// Tells whether a head has begun, and not ended.
    fn is_in_head(&self) -> bool {
        self.head.is_some()
    }

    /// Goes on with what was read.
    fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((&first, rest)) = bytes.split_first() {
            match &mut self.step {
                Step::Preface(left) => {
                    take(&mut bytes, left);
                    if *left == 0 {
                        self.step = Step::BEGIN;
                    }
                }
                Step::Begin { bytes: begin, count } => {
                    begin[*count] = first;
                    *count += 1;
                    bytes = rest;
                    if *count == begin.len() {
                        let begin = *begin;
                        self.begin(begin)?;
                    }
                }
                Step::PadLength { left, flags } => {
                    let (left, flags) = (*left - 1, *flags);
                    self.payload(left, flags, usize::from(first));
                    bytes = rest;
                }
                Step::Payload { before, fields, behind, is_last } => {
                    take(&mut bytes, before);
                    let read = take(&mut bytes, fields);
                    take(&mut bytes, behind);
                    let (left, is_last) = (*before + *fields + *behind, *is_last);
                    if let Some(head) = &mut self.head {
                        head.read(read);
                        if head.fields > FIELDS {
                            return Err(refused("the head of a request has too many fields"));
                        }
                    }
                    if left == 0 {
                        self.end(is_last);
                    }
                }
            }
        }
        Ok(())
    }

    /// Begins a frame.
    fn begin(&mut self, [high, middle, low, kind, flags, ..]: [u8; 9]) -> io::Result<()> {
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        // The library would read its fields before it refuses it.
        if kind == PUSH_PROMISE {
            return Err(refused("a client cannot promise a request"));
        }
        if ![HEADERS, CONTINUATION].contains(&kind) {
            self.step = Step::Payload { before: 0, fields: 0, behind: length, is_last: false };
            if length == 0 {
                self.end(false);
            }
            return Ok(());
        }
        let head = self.head.get_or_insert_default();
        head.length += length;
        if head.length > LONGEST {
            return Err(refused("the head of a request is too long"));
        }
        // The other flags are those of the first frame alone.
        let flags = if kind == HEADERS { flags } else { flags & END_HEADERS };
        if flags & PADDED != 0 && length > 0 {
            self.step = Step::PadLength { left: length, flags };
        } else {
            self.payload(length, flags, 0);
        }
        Ok(())
    }

    /// Goes on with a part of a head that has so many bytes, the last of which are padding.
    fn payload(&mut self, length: usize, flags: u8, padding: usize) {
        let before = if flags & PRIORITY == 0 { 0 } else { 5.min(length) };
        let behind = padding.min(length - before);
        let fields = length - before - behind;
        let is_last = flags & END_HEADERS != 0;
        self.step = Step::Payload { before, fields, behind, is_last };
        if length == 0 {
            self.end(is_last);
        }
    }

    /// Ends a frame, and the head if it was its last one.
    fn end(&mut self, is_last: bool) {
        self.step = Step::BEGIN;
        if is_last {
            self.head = None;
            self.has_ended = true;
        }
    }
}

/// Takes bytes away, as many as are left of a part.
fn take<'bytes>(bytes: &mut &'bytes [u8], left: &mut usize) -> &'bytes [u8] {
    let (taken, rest) = bytes.split_at(bytes.len().min(*left));
    *left -= taken.len();
    *bytes = rest;
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fields::FieldStep;
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let begin = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        [&begin, payload].concat()
    }

    fn preface() -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, &[]));
        bytes
    }

    /// A field as it may be sent.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let text = |length: usize| {
            let mut bytes = vec![u8::try_from(length.min(127)).unwrap()];
            if let Some(mut more) = length.checked_sub(127) {
                while more > 127 {
                    bytes.push(u8::try_from(more & 127 | 128).unwrap());
                    more >>= 7;
                }
                bytes.push(u8::try_from(more).unwrap());
            }
            bytes.extend(std::iter::repeat_n(0xff, length));
            bytes
        };
        prop_oneof![
            Just(vec![0x82]),
            Just(vec![0xff, 0x80, 0x05]),
            Just(vec![0x3f, 0xe1, 0x1f]),
            (0_usize..700).prop_map(move |value| [vec![0x41], text(value)].concat()),
            (0_usize..300).prop_map(move |value| [vec![0x0f, 0x20], text(value)].concat()),
            (1_usize..300, 0_usize..300)
                .prop_map(move |(name, value)| { [vec![0x10], text(name), text(value)].concat() }),
        ]
    }

    proptest! {
        #[test]
        fn fields_are_counted_however_they_come(
            fields in prop::collection::vec(field(), 1..60),
            parts in 1_usize..5,
            padding in prop::option::of(0_u8..50),
            has_priority in any::<bool>(),
            piece in 1_usize..400,
        ) {
            let block = fields.concat();
            let mut parts = block.chunks(block.len().div_ceil(parts)).peekable();
            let mut payload = padding.map_or_else(Vec::new, |length| vec![length]);
            payload.extend(std::iter::repeat_n(1, if has_priority { 5 } else { 0 }));
            payload.extend(parts.next().unwrap());
            payload.extend(std::iter::repeat_n(0, usize::from(padding.unwrap_or_default())));
            let mut flags = if padding.is_some() { PADDED } else { 0 };
            flags |= if has_priority { PRIORITY } else { 0 };
            flags |= if parts.peek().is_none() { END_HEADERS } else { 0 };
            let mut bytes = [preface(), frame(0, PADDED, &[7; 300]), frame(HEADERS, flags, &payload)].concat();
            while let Some(part) = parts.next() {
                let is_last = parts.peek().is_none();
                bytes.extend(frame(CONTINUATION, if is_last { END_HEADERS } else { 0 }, part));
            }
            let mut frames = Frames::default();
            let (last, before) = bytes.split_last().unwrap();
            for piece in before.chunks(piece) {
                frames.read(piece).unwrap();
            }
            let is_complete = padding.is_some_and(|it| it > 0) && flags & END_HEADERS != 0;
            let head = frames.head.as_ref().unwrap();
            prop_assert!(!is_complete || matches!(head.step, FieldStep::Begin));
            let counted = head.fields;
            prop_assert!(counted == fields.len() || (counted == fields.len() - 1 && !is_complete));
            frames.read(&[*last]).unwrap();
            prop_assert!(!frames.is_in_head());
            frames.read(&frame(HEADERS, END_HEADERS, &[0x82; FIELDS])).unwrap();
            prop_assert!(!frames.is_in_head());
        }

        #[test]
        fn nonsense_is_read_to_its_end(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let mut frames = Frames::default();
            frames.read(&preface()).unwrap();
            let _ = frames.read(&bytes);
        }
    }

    #[test]
    fn a_head_that_is_too_much_is_refused() {
        let read = |frames: &[Vec<u8>]| {
            let mut read = Frames::default();
            read.read(&preface()).unwrap();
            read.read(&frames.concat()).map(|()| read.is_in_head())
        };
        let many = vec![0x82; FIELDS];
        assert!(!read(&[frame(HEADERS, END_HEADERS, &many)]).unwrap());
        assert!(read(&[frame(HEADERS, 0, &many)]).unwrap(), "it goes on");
        let more = [frame(HEADERS, 0, &many), frame(CONTINUATION, END_HEADERS, &[0x82])];
        assert!(read(&more).is_err());
        // One field that is as long as it may be, and one byte longer.
        let text = |length: usize| {
            let more = length - 127;
            let part = |shift: u32| u8::try_from(more >> shift & 127).unwrap();
            let mut bytes = vec![0x41, 127, part(0) | 128, part(7) | 128, part(14)];
            bytes.resize(length + 5, b'x');
            let parts = bytes.chunks(16 * 1024);
            let count = parts.len();
            let frames = parts.enumerate().map(|(number, part)| {
                let flags = if number + 1 == count { END_HEADERS } else { 0 };
                frame(if number == 0 { HEADERS } else { CONTINUATION }, flags, part)
            });
            frames.collect::<Vec<_>>()
        };
        assert!(!read(&text(LONGEST - 5)).unwrap());
        assert!(read(&text(LONGEST - 4)).is_err());
        // Between two heads the count begins anew.
        let heads: Vec<_> = (0..9).map(|_| frame(HEADERS, END_HEADERS, &many)).collect();
        assert!(!read(&heads).unwrap());
    }
}
