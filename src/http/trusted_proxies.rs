//! The proxies that are trusted to say for which client a request is.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

/// The proxies that are trusted to say for which client a request is (`server.trusted_proxies`).
#[derive(Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<(IpAddr, u8)>,
    has_warned: AtomicBool,
}

impl TrustedProxies {
    /// Trusts the addresses of these networks: an address, and how many of its bits they share.
    #[must_use]
    pub fn new(networks: Vec<(IpAddr, u8)>) -> Self {
        Self { networks, has_warned: AtomicBool::new(false) }
    }

    /// Tells whether an address is that of a proxy that is trusted.
    #[must_use]
    pub fn include(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|(network, bits)| match (network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let other = network.to_bits() ^ address.to_bits();
                other.checked_shr(32 - u32::from(*bits)).unwrap_or_default() == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let other = network.to_bits() ^ address.to_bits();
                other.checked_shr(128 - u32::from(*bits)).unwrap_or_default() == 0
            }
            _ => false,
        })
    }

    /// Says once that headers of a proxy are not believed, and what would change that.
    pub(super) fn warn(&self, peer: IpAddr, reason: &str) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                client_address = %peer,
                "ignored forwarded headers of a request: {reason} (logged once)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_the_addresses_that_share_their_bits() {
        let network = |text: &str, bits| (text.parse().unwrap(), bits);
        let proxies = TrustedProxies::new(vec![
            network("127.0.0.0", 8),
            network("::1", 128),
            network("10.1.0.0", 16),
            network("2001:db8:1::", 48),
        ]);
        for address in ["127.9.9.9", "::ffff:127.0.0.1", "::1", "10.1.255.1", "2001:db8:1:9::1"] {
            assert!(proxies.include(address.parse().unwrap()), "{address}");
        }
        for address in ["126.0.0.1", "10.2.0.1", "::2", "2001:db8:2::1", "::ffff:10.2.0.1"] {
            assert!(!proxies.include(address.parse().unwrap()), "{address}");
        }
        let all = TrustedProxies::new(vec![("0.0.0.0".parse().unwrap(), 0)]);
        assert!(all.include("203.0.113.9".parse().unwrap()));
        assert!(!all.include("2001:db8::1".parse().unwrap()));
    }
}
