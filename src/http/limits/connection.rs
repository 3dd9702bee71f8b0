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
use super::send_queues::{Ends, SendQueues};

/// How often connections are looked at, at the least.
const INTERVAL: Duration = Duration::from_secs(5);

/// For how many milliseconds the system still tries to send what a client did not take.
const ENDED: u32 = 1000;

/// A connection.
pub(super) struct Connection {
    /// None when it was refused.
    counted: Option<Counted>,
    under_way: Cell<usize>,
    /// None when it had ended before it was looked at.
    socket: Option<Socket>,
}

/// What the system knows a connection by.
struct Socket {
    ends: Ends,
    /// The library owns the connection itself.
    copy: OwnedFd,
    /// What the client had yet to receive, and since when that is so.
    queued: Cell<(u64, Instant)>,
}

impl Connection {
    /// One that counts as long as it lasts, and is ended when its client receives nothing of what is sent for so long.
    pub(super) fn counted(counted: Counted, tcp: &TcpStream, send_timeout: Duration) -> Rc<Self> {
        let socket = Socket::of(tcp);
        let connection = Rc::new(Self { counted: Some(counted), under_way: Cell::new(0), socket });
        watch(Rc::downgrade(&connection), send_timeout);
        connection
    }

    /// One too many.
    pub(super) fn refused() -> Rc<Self> {
        Rc::new(Self { counted: None, under_way: Cell::new(0), socket: None })
    }

    /// Notes that it takes more of an answer.
    pub(super) fn takes(&self, now: Instant) {
        if let Some(socket) = &self.socket {
            let (queued, _) = socket.queued.get();
            socket.queued.set((queued, now));
        }
    }

    /// Returns since when the client has received nothing, as far as that is known.
    pub(super) fn received(&self) -> Option<Instant> {
        let (_, since) = self.socket.as_ref()?.queued.get();
        Some(since)
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
        Some(Self { ends, copy, queued: Cell::new((0, Instant::now())) })
    }

    /// Ends the connection if its client has received nothing for that long of what was sent.
    fn look(&self, now: Instant, send_timeout: Duration, look: &SendQueues) {
        let Some(queued) = look.of(&self.ends) else { return };
        let (before, since) = self.queued.get();
        if queued == 0 || queued != before {
            self.queued.set((queued, now));
        } else if now.duration_since(since) >= send_timeout {
            tracing::info!(event = "connection_given_up", "ended a connection that rested");
            let _ = set_tcp_user_timeout(&self.copy, ENDED);
            let _ = shutdown(&self.copy, Shutdown::Both);
            self.queued.set((queued, now));
        }
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
            let Some(queues) = SendQueues::look().await else { continue };
            // Taken out while it is gone through: what is dropped may bring up others.
            let watched = WATCHED.take();
            let now = Instant::now();
            for connection in watched.iter().filter_map(Weak::upgrade) {
                if let Some(socket) = &connection.socket {
                    socket.look(now, send_timeout, &queues);
                }
            }
            WATCHED.with_borrow_mut(|since| since.extend(watched));
        }
    });
}
