//! Ports of 127.0.0.1 for what the tests start.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Below those that the system gives to outgoing connections: what is ended can start again on its port.
const PORTS: Range<u16> = 10_000..32_000;

/// A port that nobody listened on a moment ago, neither by TCP nor by UDP, and that this process was not
/// given before.
pub(crate) fn free_port() -> u16 {
    // Begins where other processes of tests are unlikely to be.
    static NEXT: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(RandomState::new().build_hasher().finish() >> 1));

    for _ in PORTS {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed) % u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(offset).expect("there are fewer ports");
        let by_udp = UdpSocket::bind(("127.0.0.1", port));
        if by_udp.is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("loopback has no free port");
}

/// `127.0.0.1:<port>`, by [`free_port`].
pub(crate) fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}
