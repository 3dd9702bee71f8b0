//! How much of what was given to the system each client has yet to take. A connection takes more of an answer only
//! once a good part of its buffer is free: by that alone, a client that reads slowly seems to read nothing.

use std::collections::HashMap;
use std::fs;
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

/// How many bytes of each connection were given to the system, and are yet to be received.
#[derive(Debug)]
pub(super) struct SendQueues(HashMap<Ends, u64>);

impl SendQueues {
    /// Looks at all connections, unless that was just done; none where the system does not list them.
    pub(super) async fn look() -> Option<Arc<Self>> {
        let mut last = LAST.lock().await;
        if let Some((_, known)) = last.as_ref().filter(|(since, _)| since.elapsed() < SHARED) {
            return Some(Arc::clone(known));
        }
        let found = spawn_blocking(|| {
            let tables = TABLES.map(|path| fs::read_to_string(path).ok());
            let lines = tables.iter().flatten().flat_map(|text| text.lines());
            tables.iter().any(Option::is_some).then(|| Self(lines.filter_map(line).collect()))
        });
        let found = Arc::new(found.await.ok()??);
        *last = Some((Instant::now(), Arc::clone(&found)));
        Some(found)
    }

    /// Returns how much of a connection is yet to be received; none where it is not listed.
    pub(super) fn of(&self, ends: &Ends) -> Option<u64> {
        self.0.get(ends).copied()
    }
}

/// Reads a line (`proc_pid_net(5)`): number, local and remote address, state, `tx_queue:rx_queue`.
fn line(text: &str) -> Option<(Ends, u64)> {
    let mut fields = text.split_ascii_whitespace().skip(1);
    let (local, peer) = (end(fields.next()?)?, end(fields.next()?)?);
    let (queued, _) = fields.nth(1)?.split_once(':')?;
    Some((Ends::new(local, peer), u64::from_str_radix(queued, 16).ok()?))
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

    #[test]
    fn lines_that_are_none_are_left_out() {
        for text in [
            "",
            "  sl  local_address rem_address   st tx_queue rx_queue",
            "0: x:y",
            "0: 00000000:1",
        ] {
            assert_eq!(line(text), None, "{text}");
        }
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
            let queued = SendQueues::look().await.unwrap().of(&ends);
            assert!(queued.is_some_and(|queued| queued > 0), "{queued:?} of {address}");
            assert_eq!(SendQueues::look().await.unwrap().of(&Ends::new(peer, peer)), None);
            drop(client);
        }
    }
}
