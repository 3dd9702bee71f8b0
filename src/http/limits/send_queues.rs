//! How much of what was given to the system each client has yet to take. A connection takes more of an answer only
//! once a good part of its buffer is free: by that alone, a client that reads slowly seems to read nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

/// Where Linux lists connections, of both kinds of addresses.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// How long one look at them is good for all threads.
const SHARED: Duration = Duration::from_secs(1);

/// The look that was taken last.
static LAST: Mutex<Option<(Instant, Arc<SendQueues>)>> = Mutex::const_new(None);

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    local: SocketAddr,
    peer: SocketAddr,
}

impl Ends {
    pub(super) fn new(local: SocketAddr, peer: SocketAddr) -> Self {
        let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        Self { local: canonical(local), peer: canonical(peer) }
    }
}

/// What of a connection was given to the system, and its client has yet to receive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SendQueue {
    pub(super) bytes: u64,
    /// Whether some of it is under way, and its receipt not overdue: the client has buffer space for it.
    pub(super) is_in_flight: bool,
}

/// The connections of which anything is yet to be received.
#[derive(Debug, Default)]
pub(super) struct SendQueues(HashMap<Ends, SendQueue>);

impl SendQueues {
    /// Looks at all connections, unless that was just done; none where the system does not list them.
    pub(super) async fn look() -> Option<Arc<Self>> {
        let mut last = LAST.lock().await;
        if let Some((_, known)) = last.as_ref().filter(|(since, _)| since.elapsed() < SHARED) {
            return Some(Arc::clone(known));
        }
        let found = Arc::new(spawn_blocking(Self::read).await.ok()??);
        *last = Some((Instant::now(), Arc::clone(&found)));
        Some(found)
    }

    fn read() -> Option<Self> {
        let (mut found, mut is_listed) = (Self::default(), false);
        for path in TABLES {
            let Ok(table) = File::open(path) else { continue };
            found.add(BufReader::new(table)).ok()?;
            is_listed = true;
        }
        is_listed.then_some(found)
    }

    /// Adds what a table lists. It has a line of each connection that has ended, too, of which there may be very many:
    /// no more than one line is in memory at a time.
    fn add(&mut self, mut table: impl BufRead) -> io::Result<()> {
        let mut text = String::new();
        while table.read_line(&mut text)? > 0 {
            self.0.extend(line(&text));
            text.clear();
        }
        Ok(())
    }

    /// Returns how much of a connection is yet to be received: nothing where it is not listed.
    pub(super) fn of(&self, ends: &Ends) -> SendQueue {
        self.0.get(ends).copied().unwrap_or_default()
    }
}

/// Reads a line (`proc_pid_net(5)`): number, local and remote address, state, `tx_queue:rx_queue`, `timer:when`,
/// retransmissions. None where nothing is yet to be received.
fn line(text: &str) -> Option<(Ends, SendQueue)> {
    /// The timer that runs while what was sent is not overdue. Where the client has no buffer space, another one runs.
    const RETRANSMIT: &str = "01";
    let mut fields = text.split_ascii_whitespace().skip(1);
    let (local, peer) = (fields.next()?, fields.next()?);
    let (bytes, _) = fields.nth(1)?.split_once(':')?;
    let bytes = u64::from_str_radix(bytes, 16).ok().filter(|bytes| *bytes > 0)?;
    let (timer, _) = fields.next()?.split_once(':')?;
    let retransmissions = u64::from_str_radix(fields.next()?, 16).ok()?;
    let is_in_flight = timer == RETRANSMIT && retransmissions == 0;
    Some((Ends::new(end(local)?, end(peer)?), SendQueue { bytes, is_in_flight }))
}

/// Reads an address: its words of 32 bits as this machine has them, and the port.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |begin: usize| {
        u32::from_str_radix(address.get(begin..begin + 8)?, 16).ok().map(u32::to_ne_bytes)
    };
    let address: IpAddr = match address.len() {
        8 => Ipv4Addr::from_octets(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            Ipv6Addr::from_octets(words.concat().try_into().ok()?).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Writes a line as Linux does.
    fn listed(local: SocketAddr, peer: SocketAddr, rest: &str) -> String {
        let end = |end: SocketAddr| {
            let IpAddr::V4(address) = end.ip() else { panic!("{end}") };
            format!("{:08X}:{:04X}", u32::from_ne_bytes(address.octets()), end.port())
        };
        format!("   3: {} {} {rest} 00000000  1000        0 4711 2\n", end(local), end(peer))
    }

    #[test]
    fn lines_that_are_none_are_left_out() {
        for text in [
            "",
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt",
            "0: x:y",
            "0: 00000000:1",
            "0: 0100007F:0050 0100007F:0051 01 00000001:00000000",
        ] {
            assert_eq!(line(text), None, "{text}");
        }
    }

    #[test]
    fn only_connections_of_which_something_is_yet_to_be_received_are_noted() {
        let local = "127.0.0.1:5000".parse().unwrap();
        let peer = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        // The last is at its end, the one before it has received everything.
        let table: String = [
            (1, "01 00000300:00000000 01:00000014 00000000"),
            (2, "01 00000300:00000000 04:00000014 00000000"),
            (3, "01 00000300:00000000 01:00000014 00000002"),
            (4, "01 00000000:00000007 00:00000000 00000000"),
            (5, "06 00000000:00000000 03:00000F00 00000000"),
        ]
        .map(|(port, rest)| listed(local, peer(port), rest))
        .concat();
        let mut queues = SendQueues::default();
        queues.add(table.as_bytes()).unwrap();
        let of = |port| queues.of(&Ends::new(local, peer(port)));
        assert_eq!(of(1), SendQueue { bytes: 0x300, is_in_flight: true });
        for port in [2, 3] {
            assert_eq!(of(port), SendQueue { bytes: 0x300, is_in_flight: false }, "{port}");
        }
        for port in [4, 5, 6] {
            assert_eq!(of(port), SendQueue::default(), "{port}");
        }
        assert_eq!(queues.0.len(), 3);
    }

    #[tokio::test]
    async fn what_a_client_has_yet_to_receive_is_known() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, peer) = listener.accept().unwrap();
            let ends = Ends::new(server.local_addr().unwrap(), peer);
            server.set_nonblocking(true).unwrap();
            while server.write(&[0; 4096]).is_ok() {}
            *LAST.lock().await = None;
            let queue = SendQueues::look().await.unwrap().of(&ends);
            assert!(queue.bytes > 0, "{queue:?} of {address}");
            let unknown = SendQueues::look().await.unwrap().of(&Ends::new(peer, peer));
            assert_eq!(unknown, SendQueue::default());
            drop(client);
        }
    }
}
