//! What one client, and all together, may have under way.
//!
//! A request that may open files counts as a transfer until its answer was sent: [`bound`] stands around
//! every route and refuses what is too much before anything is opened. [`Limits::connect`] counts
//! connections. What a client does not take gives its files back ([`answer`]), so that no client keeps them open by
//! doing nothing.

mod answer;
mod bound;
mod connection;
mod count;
mod fields;
mod heads;
mod send_queues;

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use super::client_group::group;
use super::{Metrics, TrustedProxies};
pub use bound::bound;
use connection::Connection;
use count::{Counted, Full, Totals};
pub use heads::BoundedHeads;

/// The limits, as the operator set them and as the system allows.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// How many requests one connection may have under way.
    pub requests_per_connection: usize,
    /// How many transfers there may be.
    pub transfers: usize,
    /// How many of them may be of one client.
    pub transfers_per_client: usize,
    /// How many connections there may be.
    pub connections: usize,
    /// How many of them may be of one client; a proxy that is trusted has as many as it likes.
    pub connections_per_client: usize,
    /// How long a client may take nothing of an answer.
    pub send_timeout: Duration,
}

impl LimitSettings {
    /// Makes them fit into the number of files that the process may have open: half is for
    /// connections, and half for transfers; each needs up to two.
    #[must_use]
    pub fn within(self, descriptors: u64) -> Self {
        /// What is open whatever clients do: the index, the log, the DNS, peers.
        const OWN: u64 = 128;
        let free = usize::try_from(descriptors.saturating_sub(OWN).max(32)).unwrap_or(usize::MAX);
        let (connections, transfers) =
            (self.connections.min(free / 4), self.transfers.min(free / 4));
        Self {
            connections,
            transfers,
            connections_per_client: self.connections_per_client.min(connections),
            transfers_per_client: self.transfers_per_client.min(transfers),
            ..self
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            requests_per_connection: 100,
            transfers: 4096,
            transfers_per_client: 2048,
            connections: 16_384,
            connections_per_client: 1024,
            send_timeout: Duration::from_mins(1),
        }
    }
}

/// What is under way, and how much of it there may be.
pub struct Limits {
    settings: LimitSettings,
    transfers: Arc<Totals>,
    connections: Arc<Totals>,
    proxies: Arc<TrustedProxies>,
}

impl Limits {
    /// Counts by these limits.
    #[must_use]
    pub fn new(settings: LimitSettings, proxies: Arc<TrustedProxies>) -> Self {
        Self {
            settings,
            transfers: Totals::new(settings.transfers, settings.transfers_per_client),
            connections: Totals::new(settings.connections, settings.connections_per_client),
            proxies,
        }
    }

    /// Returns how many transfers there are.
    pub(super) fn transfer_count(&self) -> usize {
        self.transfers.count()
    }

    /// Returns how many connections there are.
    pub(super) fn connection_count(&self) -> usize {
        self.connections.count()
    }

    /// Returns the limits.
    pub(super) fn settings(&self) -> &LimitSettings {
        &self.settings
    }

    /// Returns how many connections there may be.
    #[must_use]
    pub fn most_connections(&self) -> usize {
        self.settings.connections
    }

    /// Counts a connection that is yet to be encrypted, until what is returned is dropped or [`Limits::connect`]
    /// takes it over; none where there are too many.
    pub fn accept(&self, metrics: &Metrics, stream: &TcpStream) -> Option<Accepting> {
        let peer = stream.peer_addr().ok()?;
        let counted = self.count(metrics, peer.ip()).ok()?;
        let number = ACCEPTED.with_borrow_mut(|accepted| accepted.add(peer, counted));
        Some(Accepting { peer, number })
    }

    /// Counts one more connection of a client.
    fn count(&self, metrics: &Metrics, peer: IpAddr) -> Result<Counted, Full> {
        // All clients of a proxy come from its address.
        let client = Some(peer).filter(|peer| !self.proxies.include(*peer));
        self.connections.take(client.map(group)).inspect_err(|full| {
            metrics.refused(match full {
                Full::Client => "connections_per_client",
                Full::All => "connections",
            });
        })
    }

    /// Counts a new connection, or ends it where there are too many.
    pub fn connect(&self, metrics: &Metrics, stream: &dyn Any, data: &mut Extensions) {
        let encrypted = stream.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0);
        let Some(tcp) = stream.downcast_ref::<TcpStream>().or(encrypted) else { return };
        let Ok(peer) = tcp.peer_addr() else { return };
        let accepted = ACCEPTED.with_borrow_mut(|accepted| accepted.take(peer));
        let counted = accepted.map_or_else(|| self.count(metrics, peer.ip()), Ok);
        let watched = counted.and_then(|counted| {
            Connection::counted(counted, tcp, self.settings.send_timeout).ok_or_else(|| {
                metrics.refused("connections");
                Full::All
            })
        });
        let connection = match watched {
            Ok(connection) => connection,
            Err(full) => {
                let status = match full {
                    Full::Client => "429 Too Many Requests",
                    Full::All => "503 Service Unavailable",
                };
                if encrypted.is_none() {
                    let answer = format!(
                        "HTTP/1.1 {status}\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                    );
                    // Its buffer is empty, and takes that at once; tokio does not know yet that it may write.
                    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                    let _ = send(tcp, answer.as_bytes(), flags);
                }
                let _ = shutdown(tcp, Shutdown::Both);
                Connection::refused()
            }
        };
        data.insert(connection);
    }
}

thread_local! {
    /// The connections of this thread that are yet to be encrypted.
    static ACCEPTED: RefCell<Accepted> = RefCell::default();
}

/// A connection that is yet to be encrypted: it no longer counts as one when this is dropped.
#[must_use]
pub struct Accepting {
    peer: SocketAddr,
    number: u64,
}

impl Drop for Accepting {
    fn drop(&mut self) {
        // At the end of the thread there is nothing left to count.
        let _ = ACCEPTED.try_with(|accepted| {
            accepted.borrow_mut().forget(self.peer, self.number);
        });
    }
}

/// Connections that are yet to be encrypted, by their other ends.
#[derive(Default)]
struct Accepted {
    last: u64,
    counted: HashMap<SocketAddr, (u64, Counted)>,
}

impl Accepted {
    /// Gives the connection a number, since its address may come again.
    fn add(&mut self, peer: SocketAddr, counted: Counted) -> u64 {
        self.last += 1;
        self.counted.insert(peer, (self.last, counted));
        self.last
    }

    fn take(&mut self, peer: SocketAddr) -> Option<Counted> {
        self.counted.remove(&peer).map(|(_, counted)| counted)
    }

    fn forget(&mut self, peer: SocketAddr, number: u64) {
        if self.counted.get(&peer).is_some_and(|(last, _)| *last == number) {
            self.counted.remove(&peer);
        }
    }
}
