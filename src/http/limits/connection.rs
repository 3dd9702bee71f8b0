//! One connection, and the requests that it has under way.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use actix_web::rt;
use actix_web::rt::net::TcpStream;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::sockopt::set_tcp_user_timeout;
use rustix::net::{Shutdown, shutdown};

use super::count::Counted;
use super::send_queues::{Ends, SendQueue, SendQueues};

/// How often connections are looked at, at the least.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long a connection may be without a request: longer than the library keeps one that is idle. A client that goes
/// on sending the body of a request that was answered is not idle there.
const WITHOUT_REQUEST: Duration = Duration::from_mins(5);

/// For how many milliseconds the system still tries to send what a client did not take.
const ENDED: u32 = 1000;

/// A connection.
pub(super) struct Connection {
    /// None when it was refused.
    counted: Option<Counted>,
    under_way: Cell<usize>,
    /// When the last request ended, or the connection began.
    last: Cell<Instant>,
    /// None when it was refused.
    socket: Option<Socket>,
}

/// What the system knows a connection by.
struct Socket {
    ends: Ends,
    /// The library owns the connection itself.
    copy: OwnedFd,
    receipt: Cell<Receipt>,
}

/// How a client receives what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Receipt {
    /// How many bytes it has yet to receive.
    queued: u64,
    /// Since when it has received nothing.
    since: Instant,
}

impl Receipt {
    /// Returns how it is once so much is queued. What was added does not say that the client received anything: it has
    /// that done by every small request.
    fn then(self, queue: SendQueue, now: Instant) -> Self {
        let begins = self.queued == 0 && queue.bytes > 0;
        let received = queue.bytes < self.queued || queue.is_in_flight;
        let since = if begins || received { now } else { self.since };
        Self { queued: queue.bytes, since }
    }

    /// Tells whether the client has received nothing for so long, though there is something.
    fn rests(self, now: Instant, send_timeout: Duration) -> bool {
        self.queued > 0 && now.duration_since(self.since) >= send_timeout
    }
}

impl Connection {
    /// One that counts as long as it lasts, and is ended when its client receives nothing of what is sent for so long.
    /// None where that cannot be seen: it has ended already, or no more files can be opened.
    pub(super) fn counted(
        counted: Counted,
        tcp: &TcpStream,
        send_timeout: Duration,
    ) -> Option<Rc<Self>> {
        let socket = Some(Socket::of(tcp)?);
        let connection = Rc::new(Self::new(Some(counted), socket));
        watch(Rc::downgrade(&connection), send_timeout);
        Some(connection)
    }

    /// One too many.
    pub(super) fn refused() -> Rc<Self> {
        Rc::new(Self::new(None, None))
    }

    fn new(counted: Option<Counted>, socket: Option<Socket>) -> Self {
        Self { counted, under_way: Cell::new(0), last: Cell::new(Instant::now()), socket }
    }

    /// Ends the connection if it is of no use, or its client receives nothing.
    fn look(&self, now: Instant, send_timeout: Duration, queues: Option<&SendQueues>) {
        let Some(socket) = &self.socket else { return };
        if let Some(queues) = queues {
            socket.look(now, send_timeout, queues);
        }
        // The end of the last answer may be on its way still.
        if self.is_left(now) && socket.receipt.get().queued == 0 {
            tracing::info!(event = "connection_given_up", "ended an idle connection");
            socket.end();
        }
    }

    /// Tells whether there was no request for too long.
    fn is_left(&self, now: Instant) -> bool {
        self.under_way.get() == 0 && now.duration_since(self.last.get()) >= WITHOUT_REQUEST
    }

    /// Notes that the client has received something.
    pub(super) fn receives(&self, now: Instant) {
        if let Some(socket) = &self.socket {
            socket.receipt.set(Receipt { since: now, ..socket.receipt.get() });
        }
    }

    /// Returns since when the client has received nothing, as far as that is known.
    pub(super) fn received(&self) -> Option<Instant> {
        Some(self.socket.as_ref()?.receipt.get().since)
    }

    /// Begins a request.
    pub(super) fn begin(self: &Rc<Self>) -> UnderWay {
        let number = self.under_way.get() + 1;
        self.under_way.set(number);
        UnderWay { connection: Rc::clone(self), number }
    }
}

impl Socket {
    fn of(tcp: &TcpStream) -> Option<Self> {
        let ends = Ends::new(tcp.local_addr().ok()?, tcp.peer_addr().ok()?);
        let copy = fcntl_dupfd_cloexec(tcp, 0).ok()?;
        Some(Self { ends, copy, receipt: Cell::new(Receipt { queued: 0, since: Instant::now() }) })
    }

    /// Ends the connection if its client has received nothing for that long of what was sent.
    fn look(&self, now: Instant, send_timeout: Duration, look: &SendQueues) {
        let mut receipt = self.receipt.get().then(look.of(&self.ends), now);
        if receipt.rests(now, send_timeout) {
            tracing::info!(
                event = "connection_given_up",
                "ended a connection whose client read nothing"
            );
            self.end();
            receipt.since = now;
        }
        self.receipt.set(receipt);
    }

    fn end(&self) {
        let _ = set_tcp_user_timeout(&self.copy, ENDED);
        let _ = shutdown(&self.copy, Shutdown::Both);
    }
}

/// A request that is under way until this is dropped.
pub(super) struct UnderWay {
    connection: Rc<Connection>,
    number: usize,
}

impl UnderWay {
    /// Returns how many its connection had under way when it came, itself included.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Returns its connection.
    pub(super) fn connection(&self) -> Rc<Connection> {
        Rc::clone(&self.connection)
    }

    /// Tells whether its connection was one too many.
    pub(super) fn is_refused(&self) -> bool {
        self.connection.counted.is_none()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.connection.under_way.set(self.connection.under_way.get() - 1);
        self.connection.last.set(Instant::now());
    }
}

thread_local! {
    /// The connections of this thread.
    static WATCHED: RefCell<Vec<Weak<Connection>>> = const { RefCell::new(Vec::new()) };
    static IS_WATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Has a connection looked at from time to time.
fn watch(connection: Weak<Connection>, send_timeout: Duration) {
    WATCHED.with_borrow_mut(|watched| watched.push(connection));
    if IS_WATCHING.replace(true) {
        return;
    }
    rt::spawn(async move {
        loop {
            rt::time::sleep(INTERVAL.min(send_timeout / 4)).await;
            WATCHED.with_borrow_mut(|watched| {
                watched.retain(|connection| connection.strong_count() > 0);
            });
            if WATCHED.with_borrow(Vec::is_empty) {
                continue;
            }
            // None where the system does not list connections.
            let queues = SendQueues::look().await;
            // Taken out while it is gone through: what is dropped may bring up others.
            let watched = WATCHED.take();
            let now = Instant::now();
            for connection in watched.iter().filter_map(Weak::upgrade) {
                connection.look(now, send_timeout, queues.as_deref());
            }
            WATCHED.with_borrow_mut(|since| since.extend(watched));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_mins(1);

    /// Looks every five seconds, and returns after how many seconds the connection is ended.
    fn ended(queues: impl IntoIterator<Item = (u64, bool)>) -> Option<u64> {
        let begun = Instant::now();
        let mut receipt = Receipt { queued: 0, since: begun };
        for (seconds, (bytes, is_in_flight)) in (0..).step_by(5).zip(queues) {
            let now = begun + Duration::from_secs(seconds);
            receipt = receipt.then(SendQueue { bytes, is_in_flight }, now);
            if receipt.rests(now, TIMEOUT) {
                return Some(seconds);
            }
        }
        None
    }

    #[test]
    fn a_connection_is_left_once_it_has_had_no_request_for_long() {
        let connection = Connection::refused();
        let later = |seconds| Instant::now() + WITHOUT_REQUEST + Duration::from_secs(seconds);
        assert!(!connection.is_left(Instant::now()) && connection.is_left(later(0)));
        let [first, second] = [connection.begin(), connection.begin()];
        assert!(!connection.is_left(later(9999)));
        drop(first);
        assert!(!connection.is_left(later(9999)));
        let before = Instant::now();
        drop(second);
        assert!(!connection.is_left(before + WITHOUT_REQUEST / 2) && connection.is_left(later(0)));
    }

    #[test]
    fn a_client_that_receives_nothing_is_ended_whatever_it_has_added() {
        assert_eq!(ended([(100, false); 99]), Some(60));
        assert_eq!(ended((100..200).map(|bytes| (bytes, false))), Some(60));
        let idle_at_first = [(0, false); 20].into_iter().chain([(7, false); 20]);
        assert_eq!(ended(idle_at_first), Some(160));
    }

    #[test]
    fn a_client_that_receives_something_is_not_ended() {
        assert_eq!(ended([(0, false); 99]), None, "nothing is sent");
        assert_eq!(ended((0..99).map(|it| (1000 - it, false))), None, "less and less is left");
        assert_eq!(ended((0..99).map(|it| (500 + it % 12, false))), None, "it is refilled");
        assert_eq!(ended([(300, true); 99]), None, "always one more answer is under way");
    }
}
