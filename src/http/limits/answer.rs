//! The body of an answer, which gives its files back when the client takes nothing of it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, MessageBody};
use actix_web::rt;
use actix_web::web::Bytes;

use super::connection::{Connection, UnderWay};
use super::count::Counted;

/// How often answers are looked at that may rest, at the least.
const INTERVAL: Duration = Duration::from_secs(5);

/// The most of an answer that an HTTP/2 stream takes at a time, as its client lets it: what one takes slowly is seen.
const PIECE: usize = 16 * 1024;

/// The same of a connection that takes a piece more slowly than that.
const SMALL: usize = 64 * 1024;
const SLOW: Duration = Duration::from_secs(1);

/// More of an answer than waits in this process (HTTP/2 has 400 KiB of each): the system took what is beyond that, so
/// the client is likely to have received something.
const BUFFERED: u64 = 512 * 1024;

/// A body that is sent.
pub(super) struct Answer<B> {
    sent: Rc<Sent<B>>,
    /// Its number among those that may rest, once it is one.
    watched: Option<u64>,
    size: BodySize,
    /// How much it gives at a time.
    piece: usize,
    send_timeout: Duration,
    /// Until the connection is done with it, whatever became of the body.
    _under_way: Option<UnderWay>,
}

/// A body that has more to give.
struct Open<B> {
    body: Pin<Box<B>>,
    /// What it gave, and the connection has not taken.
    rest: Bytes,
    /// The transfer that it counts as.
    _transfer: Option<Counted>,
}

/// What holds files, and a number among transfers.
struct Sent<B> {
    body: RefCell<Option<Open<B>>>,
    /// Since when the client has what it was given last; none while the body itself is waited for.
    rests_since: Cell<Option<Instant>>,
    count: Cell<u64>,
    connection: Option<Rc<Connection>>,
    /// Whether other answers are sent by it at the same time.
    is_multiplexed: bool,
    is_given_back: Cell<bool>,
}

/// Why an answer ends early.
#[derive(Debug)]
pub(super) enum AnswerError {
    /// The client took nothing for too long.
    Rested,
    /// The body broke.
    Body(Box<dyn std::error::Error>),
}

impl fmt::Display for AnswerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rested => formatter.write_str("the client did not read the answer for too long"),
            Self::Body(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for AnswerError {}

impl<B: MessageBody + 'static> Answer<B> {
    pub(super) fn new(
        body: B,
        transfer: Option<Counted>,
        under_way: Option<UnderWay>,
        send_timeout: Duration,
        is_multiplexed: bool,
    ) -> Self {
        let size = body.size();
        let open = Open { body: Box::pin(body), rest: Bytes::new(), _transfer: transfer };
        let sent = Sent {
            body: RefCell::new(Some(open)),
            rests_since: Cell::new(None),
            count: Cell::new(0),
            connection: under_way.as_ref().map(UnderWay::connection),
            is_multiplexed,
            is_given_back: Cell::new(false),
        };
        let sent = Rc::new(sent);
        let piece = if is_multiplexed { PIECE } else { usize::MAX };
        Self { sent, watched: None, size, piece, send_timeout, _under_way: under_way }
    }
}

impl<B: MessageBody + 'static> MessageBody for Answer<B> {
    type Error = AnswerError;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, AnswerError>>> {
        let sent = Rc::clone(&self.sent);
        let mut open = sent.body.borrow_mut();
        let Some(Open { body, rest, .. }) = open.as_mut() else {
            let error = sent.is_given_back.get().then_some(Err(AnswerError::Rested));
            return Poll::Ready(error);
        };
        // One that takes long is given less at a time, so that it is seen to take something.
        let taken = sent.rests_since.take().map(|since| since.elapsed());
        let most = if taken.is_some_and(|taken| taken > SLOW) { SMALL } else { usize::MAX };
        let piece = self.piece.min(most);
        if let Some(connection) = &sent.connection
            && taken.is_some()
            && sent.count.get() > BUFFERED
        {
            connection.receives(Instant::now());
        }
        let given = if rest.is_empty() {
            body.as_mut().poll_next(context)
        } else {
            Poll::Ready(Some(Ok(std::mem::take(rest))))
        };
        match given {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                open.take();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                open.take();
                Poll::Ready(Some(Err(AnswerError::Body(error.into()))))
            }
            Poll::Ready(Some(Ok(mut bytes))) => {
                if bytes.len() > piece {
                    *rest = bytes.split_off(piece);
                }
                sent.rests_since.set(Some(Instant::now()));
                sent.count.set(sent.count.get() + bytes.len() as u64);
                if self.watched.is_none() {
                    self.watched = Some(watch(Rc::<Sent<B>>::clone(&sent), self.send_timeout));
                }
                Poll::Ready(Some(Ok(bytes)))
            }
        }
    }
}

/// An answer that may rest.
trait Rest {
    /// Gives back what it holds if it has rested for that long.
    fn look(&self, now: Instant, send_timeout: Duration);
}

impl<B> Rest for Sent<B> {
    fn look(&self, now: Instant, send_timeout: Duration) {
        let Some(since) = self.rests_since.get() else { return };
        let received = self.connection.as_ref().filter(|_| !self.is_multiplexed);
        let received = received.and_then(|connection| connection.received());
        let since = received.map_or(since, |received| received.max(since));
        if now.duration_since(since) < send_timeout {
            return;
        }
        let open = self.body.borrow_mut().take();
        if open.is_some() {
            self.is_given_back.set(true);
            tracing::info!(
                event = "answer_given_up",
                sent_bytes = self.count.get(),
                ?send_timeout,
                "ended an answer that the client did not read"
            );
        }
    }
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        if let Some(number) = self.watched {
            // At the end of the thread nothing is watched any more.
            let _ = WATCHED.try_with(|watched| watched.borrow_mut().remove(&number));
        }
    }
}

thread_local! {
    /// The answers of this thread that may rest, by their numbers.
    static WATCHED: RefCell<HashMap<u64, Rc<dyn Rest>>> = RefCell::default();
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// Has an answer looked at from time to time; returns its number.
fn watch(answer: Rc<dyn Rest>, send_timeout: Duration) -> u64 {
    let number = LAST.get() + 1;
    LAST.set(number);
    WATCHED.with_borrow_mut(|watched| watched.insert(number, answer));
    if number == 1 {
        rt::spawn(async move {
            loop {
                rt::time::sleep(INTERVAL.min(send_timeout / 4)).await;
                // Looked at outside of the map: what is dropped may end other answers.
                let watched: Vec<_> = WATCHED.with_borrow(|it| it.values().cloned().collect());
                let now = Instant::now();
                for answer in watched {
                    answer.look(now, send_timeout);
                }
            }
        });
    }
    number
}
