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
