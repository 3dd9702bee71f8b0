//! What may be dialled: no address out of the DNS leads into our own networks (I8).
//!
//! A publisher also says where its root can be reached, so a request could make this server
//! connect to hosts behind its firewall. Names are resolved here and every address is checked,
//! at the moment of its use: a name that has another address the next time (rebinding) gains
//! nothing by it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use tokio::time::timeout;

use super::dns::{Dns, Failure};
use super::domain::DNSADDR;
use super::multiaddr::Location;
use super::record::read_all;
use super::{Domain, Gateway, Hint, Host, Multiaddr, Peer};

/// How many addresses of one peer are passed to a node.
const MAX_ADDRESSES: usize = 16;

/// How many names are queried to find the addresses of one peer.
const MAX_NAMES: usize = 16;

/// How many `/dnsaddr/…` may lead to each other.
const MAX_DEPTH: usize = 4;

/// How long the addresses of one peer may take, whatever its records lead to.
const LOOKING_UP: Duration = Duration::from_secs(10);

/// Decides which addresses may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// Whether all addresses may be dialled, for labs.
    pub allow_private: bool,
}

/// Why an address is not dialled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DialError {
    /// It leads to this machine or its networks.
    #[error("`{0}` resolves to an address that may not be dialled")]
    Forbidden(String),
    /// The name has no address.
    #[error("`{0}` has no address")]
    NotFound(String),
    /// The name cannot be looked up now.
    #[error("cannot resolve `{0}` now: {1}")]
    Unavailable(String, String),
    /// It is no URL with a host.
    #[error("`{0}` is not a URL that can be dialled")]
    Url(String),
}

impl Guard {
    /// Returns whether an address may be dialled: whether it is one of the internet at large. Addresses of
    /// version 6 that hold one of version 4 are judged by that.
    ///
    /// ```
    /// use roadstead::dnslink::Guard;
    ///
    /// let guard = Guard { allow_private: false };
    /// assert!(guard.allows("8.8.8.8".parse()?));
    /// assert!(!guard.allows("192.168.0.1".parse()?) && !guard.allows("::ffff:127.0.0.1".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn allows(self, ip: IpAddr) -> bool {
        self.allow_private
            || match ip {
                IpAddr::V4(ip) => is_public_v4(ip),
                IpAddr::V6(ip) => is_public_v6(ip),
            }
    }
}

/// The ranges that are not of the internet at large (RFC 6890 and its registry).
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !matches!(
        (a, b, c),
        // This network, private (RFC 1918), loopback, multicast, and what is reserved, with broadcast.
        (0 | 10 | 127 | 224.., ..)
        // Private (RFC 1918), link-local, shared by carriers (RFC 6598).
        | (172, 16..=31, _) | (192, 168, _) | (169, 254, _) | (100, 64..=127, _)
        // Protocol assignments, documentation, the former anycast of 6to4, benchmarks.
        | (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) | (192, 88, 99) | (198, 18 | 19, _)
    )
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let parts = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // Mapped, translated (NAT64), and 6to4, which holds the address of its router.
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => embedded(high, low),
        // Protocol assignments, with Teredo, ORCHID and benchmarks; documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Only this eighth is given to networks: not loopback, nor what is compatible, private,
        // link-local or multicast.
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

/// Finds the addresses of hosts, and gives out only those that may be dialled.
///
/// It is a resolver of `reqwest`, which does not call it for a literal address in a URL: so a URL goes
/// through [`check_url`](Self::check_url) first, and the client follows no redirects.
#[derive(Clone)]
pub struct Dialer {
    dns: Arc<Dns>,
    guard: Guard,
}

impl Dialer {
    pub(super) fn new(dns: Arc<Dns>, guard: Guard) -> Self {
        Self { dns, guard }
    }

    /// Returns the guard, which decides which addresses may be dialled.
    ///
    /// ```
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::Resolver;
    ///
    /// let dialer = Resolver::open(&DnslinkSettings::default())?.dialer();
    /// assert!(!dialer.guard().allow_private);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn guard(&self) -> Guard {
        self.guard
    }

    /// Returns the same with another guard.
    ///
    /// ```
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::{Guard, Resolver};
    ///
    /// let dialer = Resolver::open(&DnslinkSettings::default())?.dialer();
    /// let wider = dialer.guarded_by(Guard { allow_private: true });
    /// assert!(wider.guard().allow_private);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn guarded_by(&self, guard: Guard) -> Self {
        Self { dns: Arc::clone(&self.dns), guard }
    }

    /// Finds the addresses of a host that may be dialled, at least one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::{DialError, Host, Resolver};
    ///
    /// let dialer = Resolver::open(&DnslinkSettings::default())?.dialer();
    /// assert_eq!(dialer.addresses(&Host::Ip("8.8.8.8".parse()?)).await, Ok(vec!["8.8.8.8".parse()?]));
    /// let refused = dialer.addresses(&Host::Ip("127.0.0.1".parse()?)).await;
    /// assert!(matches!(refused, Err(DialError::Forbidden(_))));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Why there is none.
    pub async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, DialError> {
        let all = self.dns.addresses(host).await.map_err(|failure| match failure {
            Failure::Absent => DialError::NotFound(host.to_string()),
            Failure::Down(why) => DialError::Unavailable(host.to_string(), why),
        })?;
        let allowed: Vec<IpAddr> = all.into_iter().filter(|ip| self.guard.allows(*ip)).collect();
        if allowed.is_empty() {
            return Err(DialError::Forbidden(host.to_string()));
        }
        Ok(allowed)
    }

    /// Refuses a URL whose host is an address that must not be dialled, or that is not HTTP. A name is
    /// judged when it is resolved.
    ///
    /// ```
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::{DialError, Resolver};
    ///
    /// let dialer = Resolver::open(&DnslinkSettings::default())?.dialer();
    /// assert_eq!(dialer.check_url(&"https://example.com".parse()?), Ok(()));
    /// let refused = dialer.check_url(&"http://169.254.169.254/latest".parse()?);
    /// assert!(matches!(refused, Err(DialError::Forbidden(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check_url(&self, url: &Url) -> Result<(), DialError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(DialError::Url(url.to_string()));
        }
        let host = url.host_str().ok_or_else(|| DialError::Url(url.to_string()))?;
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            Ok(ip) if !self.guard.allows(ip) => Err(DialError::Forbidden(host.to_owned())),
            _ => Ok(()),
        }
    }

    /// Refuses a gateway at an address that must not be dialled, as [`check_url`](Self::check_url) does.
    ///
    /// ```
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::{Gateway, Resolver};
    ///
    /// let dialer = Resolver::open(&DnslinkSettings::default())?.dialer();
    /// assert!(dialer.check_gateway(&Gateway::from_url("https://example.com").unwrap()).is_ok());
    /// assert!(dialer.check_gateway(&Gateway::from_url("http://10.0.0.1").unwrap()).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check_gateway(&self, gateway: &Gateway) -> Result<(), DialError> {
        let url = gateway.url.parse().map_err(|_| DialError::Url(gateway.url.clone()))?;
        self.check_url(&url)
    }

    /// Finds where a peer listens, as literal addresses that a node may be given; at least one. A
    /// `/dnsaddr/…` is followed to those of its records that have the same peer. It takes ten seconds and 16 names at most.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::{Hint, Resolver, key_of_seed, peer_id};
    ///
    /// let dialer = Resolver::open(&DnslinkSettings::default())?.dialer();
    /// let text = format!("/ip4/8.8.8.8/tcp/4001/p2p/{}", peer_id(&key_of_seed(&[7; 32])));
    /// let Hint::Peer(peer) = text.parse()? else { panic!() };
    /// assert_eq!(dialer.peer_addresses(&peer).await?[0].to_string(), text);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Why there is none.
    pub async fn peer_addresses(&self, peer: &Peer) -> Result<Vec<Multiaddr>, DialError> {
        let found = timeout(LOOKING_UP, self.follow(peer)).await;
        found.unwrap_or_else(|_| {
            let why = "its DNS records could not be followed in time".to_owned();
            Err(DialError::Unavailable(peer.address.to_string(), why))
        })
    }

    async fn follow(&self, peer: &Peer) -> Result<Vec<Multiaddr>, DialError> {
        let mut found = Vec::new();
        let mut error = DialError::NotFound(peer.address.to_string());
        let mut queried: Vec<Domain> = Vec::new();
        let mut open = vec![(peer.address.clone(), 0)];
        let mut names = 0;
        while let Some((address, depth)) = open.pop() {
            let is_queried = match &address.location {
                Location::Port(host, _) => !matches!(host, Host::Ip(_)),
                Location::Dnsaddr(domain) => depth < MAX_DEPTH && !queried.contains(domain),
            };
            if is_queried {
                if names == MAX_NAMES {
                    let why = "its DNS records name too many others".to_owned();
                    error = DialError::Unavailable(peer.address.to_string(), why);
                    continue;
                }
                names += 1;
            }
            match &address.location {
                Location::Port(host, _) => match self.addresses(host).await {
                    Ok(ips) => found.extend(ips.into_iter().filter_map(|ip| address.at(ip))),
                    Err(why) => error = why,
                },
                Location::Dnsaddr(domain) if is_queried => {
                    queried.push(domain.clone());
                    let next = self.dnsaddr(domain, &peer.peer_id).await;
                    open.extend(next.into_iter().map(|address| (address, depth + 1)));
                }
                Location::Dnsaddr(_) => {}
            }
            if found.len() >= MAX_ADDRESSES {
                break;
            }
        }
        found.truncate(MAX_ADDRESSES);
        if found.is_empty() { Err(error) } else { Ok(found) }
    }

    /// Lists the addresses of a peer in the records of a domain.
    async fn dnsaddr(&self, domain: &Domain, peer_id: &str) -> Vec<Multiaddr> {
        let Ok(texts) = self.dns.texts(&format!("{DNSADDR}{domain}")).await else {
            return Vec::new();
        };
        let of_peer = |hint| match hint {
            Hint::Peer(peer) if peer.peer_id == peer_id => Some(peer.address),
            _ => None,
        };
        read_all(&texts.records).hints.into_iter().filter_map(of_peer).collect()
    }
}

impl Resolve for Dialer {
    fn resolve(&self, name: Name) -> Resolving {
        let dialer = self.clone();
        async move {
            let domain: Domain = name.as_str().parse()?;
            let found = dialer.addresses(&Host::Name(domain)).await?;
            // Port 0 stands for that of the URL.
            let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: Guard = Guard { allow_private: false };

    fn allows(text: &str) -> bool {
        GUARD.allows(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_the_internet_may_be_dialled() {
        for ip in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "203.0.114.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2a00::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert!(allows(ip), "{ip}");
        }
    }

    #[test]
    fn all_other_addresses_may_not() {
        for (range, ips) in [
            ("this network", &["0.0.0.0", "0.255.255.255"][..]),
            (
                "private, RFC 1918",
                &[
                    "10.0.0.0",
                    "10.255.255.255",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.0.0",
                    "192.168.255.255",
                ],
            ),
            ("shared by carriers", &["100.64.0.0", "100.127.255.255"]),
            ("loopback", &["127.0.0.1", "127.255.255.255", "::1"]),
            (
                "link-local",
                &["169.254.0.0", "169.254.169.254", "169.254.255.255", "fe80::1", "febf:ffff::1"],
            ),
            ("protocol assignments", &["192.0.0.1", "192.0.0.255", "2001::1", "2001:1ff::1"]),
            (
                "documentation",
                &[
                    "192.0.2.1",
                    "198.51.100.1",
                    "203.0.113.255",
                    "2001:db8::1",
                    "3fff::1",
                    "3fff:fff::1",
                ],
            ),
            ("anycast of 6to4", &["192.88.99.1"]),
            ("benchmarks", &["198.18.0.0", "198.19.255.255", "2001:2::1"]),
            ("multicast", &["224.0.0.1", "239.255.255.255", "ff02::1"]),
            ("reserved and broadcast", &["240.0.0.0", "255.255.255.255"]),
            ("unspecified", &["::"]),
            ("unique local", &["fc00::1", "fd12:3456::1", "fdff::1"]),
            ("site-local", &["fec0::1"]),
            ("mapped", &["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"]),
            ("compatible", &["::127.0.0.1", "::10.0.0.1", "::1.1.1.1"]),
            ("translated in place", &["::ffff:0:10.0.0.1"]),
            (
                "NAT64",
                &["64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::101:101"],
            ),
            ("6to4", &["2002:7f00:1::1", "2002:a00:1::1", "2002:c0a8:101::1"]),
            ("Teredo", &["2001:0:4136:e378:8000:63bf:3fff:fdd2"]),
            ("not given out", &["100::1", "200::1", "4000::1", "5f00::1"]),
        ] {
            for ip in ips {
                assert!(!allows(ip), "{ip} is {range}");
                let lab = Guard { allow_private: true };
                assert!(lab.allows(ip.parse().unwrap()), "{ip} in a lab");
            }
        }
    }
}
