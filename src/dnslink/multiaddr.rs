//! Addresses of gateways and peers, as IPFS writes them: `/dns4/example.com/tcp/443/tls/http`,
//! `/ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3KooW…`.
//!
//! Of the many protocols only those are known that we or a node dial from here: a gateway by HTTP, a
//! peer by TCP or QUIC. An address with any other protocol is passed over.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use super::Domain;
use super::key::{parse_key, peer_id};

/// How many hints of one name are used.
pub const MAX_HINTS: usize = 16;

/// The longest multiaddr that is read.
const MAX_LENGTH: usize = 512;

/// Where a publisher says that it can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// A trustless gateway.
    Gateway(Gateway),
    /// A node that speaks bitswap.
    Peer(Peer),
}

/// A trustless gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Gateway {
    /// Scheme, host and port, without a slash at the end: `https://example.com:443`.
    pub url: String,
    /// The host of the URL.
    pub host: Host,
}

/// A node that speaks bitswap.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Peer {
    /// Its id in base58.
    pub peer_id: String,
    /// Where it listens.
    pub address: Multiaddr,
}

/// The host of an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A name with addresses of either family.
    Name(Domain),
    /// A name, and its addresses of version 4.
    Name4(Domain),
    /// A name, and its addresses of version 6.
    Name6(Domain),
}

/// The address of a peer, with the peer's id at its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "String")]
pub struct Multiaddr {
    pub(super) location: Location,
    peer_id: String,
}

/// Where a peer is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Location {
    /// At a port of a host.
    Port(Host, Transport),
    /// At the addresses in the records of `_dnsaddr.<domain>`.
    Dnsaddr(Domain),
}

/// How a peer is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Transport {
    Tcp(u16),
    Quic(u16),
}

/// Why a text is not an address that we can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MultiaddrError {
    /// It is no multiaddr, or has protocols that are of no use here.
    #[error("not the multiaddr of a gateway or of a peer that can be dialled")]
    Form,
    /// It is too long.
    #[error("longer than {MAX_LENGTH} characters")]
    Length,
}

impl FromStr for Hint {
    type Err = MultiaddrError;

    /// Reads the multiaddr of a gateway (`…/tcp/<port>/http`, `/https`, `/tls/http` or
    /// `/tls/sni/<name>/http`) or of a peer (`…/tcp/<port>/p2p/<id>`, `…/udp/<port>/quic-v1/p2p/<id>` or
    /// `/dnsaddr/<domain>/p2p/<id>`). A gateway that names a host for TLS is dialled by that name.
    fn from_str(text: &str) -> Result<Self, MultiaddrError> {
        if text.len() > MAX_LENGTH {
            return Err(MultiaddrError::Length);
        }
        let rest = text.strip_prefix('/').ok_or(MultiaddrError::Form)?;
        let parts: Vec<&str> = rest.strip_suffix('/').unwrap_or(rest).split('/').collect();
        Self::of(&parts).ok_or(MultiaddrError::Form)
    }
}

impl Hint {
    fn of(parts: &[&str]) -> Option<Self> {
        if let ["dnsaddr", domain, "p2p" | "ipfs", id] = parts {
            return Self::peer(Location::Dnsaddr(domain.parse().ok()?), id);
        }
        let [protocol, host, transport, port, rest @ ..] = parts else { return None };
        let host = Host::read(protocol, host)?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        // A gateway may have a peer id as well; it is not proven there, nor needed.
        let (rest, id) = match rest {
            [rest @ .., "p2p" | "ipfs", id] => (rest, Some(*id)),
            rest => (rest, None),
        };
        match (*transport, rest) {
            ("tcp", ["http"]) => Some(Self::Gateway(Gateway::new("http", host, port))),
            ("tcp", ["https"] | ["tls", "http"]) => {
                Some(Self::Gateway(Gateway::new("https", host, port)))
            }
            ("tcp", ["tls", "sni", name, "http"]) => {
                Some(Self::Gateway(Gateway::new("https", Host::Name(name.parse().ok()?), port)))
            }
            ("tcp", []) => Self::peer(Location::Port(host, Transport::Tcp(port)), id?),
            ("udp", ["quic-v1"]) => Self::peer(Location::Port(host, Transport::Quic(port)), id?),
            _ => None,
        }
    }

    /// Writes it as it is read: of a gateway, as one whose name for TLS is that of its host.
    pub(super) fn multiaddr(&self) -> String {
        match self {
            Self::Gateway(gateway) => gateway.multiaddr(),
            Self::Peer(peer) => peer.address.to_string(),
        }
    }

    fn peer(location: Location, id: &str) -> Option<Self> {
        let peer_id = peer_id(&parse_key(id)?);
        let address = Multiaddr { location, peer_id: peer_id.clone() };
        Some(Self::Peer(Peer { peer_id, address }))
    }
}

impl Gateway {
    /// Reads the URL of a gateway, without a path.
    ///
    /// ```
    /// use roadstead::dnslink::Gateway;
    ///
    /// let gateway = Gateway::from_url("https://example.com").unwrap();
    /// assert_eq!(gateway.url, "https://example.com:443");
    /// assert_eq!(Gateway::from_url("ftp://example.com"), None);
    /// ```
    #[must_use]
    pub fn from_url(url: &str) -> Option<Self> {
        let url: http::Uri = url.parse().ok()?;
        let is_encrypted = match url.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let port = url.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        let host = url.host()?;
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse();
        let host = ip.map_or_else(|_| host.parse().map(Host::Name4), |ip| Ok(Host::Ip(ip))).ok()?;
        let scheme = if is_encrypted { "https" } else { "http" };
        Some(Self::new(scheme, host, port))
    }

    fn new(scheme: &str, host: Host, port: u16) -> Self {
        let url = match &host {
            Host::Ip(IpAddr::V6(ip)) => format!("{scheme}://[{ip}]:{port}"),
            Host::Ip(IpAddr::V4(ip)) => format!("{scheme}://{ip}:{port}"),
            Host::Name(name) | Host::Name4(name) | Host::Name6(name) => {
                format!("{scheme}://{name}:{port}")
            }
        };
        Self { url, host }
    }

    /// Writes it as a multiaddr: `/dns4/example.com/tcp/443/tls/http`.
    ///
    /// ```
    /// use roadstead::dnslink::{Gateway, Hint};
    ///
    /// let gateway = Gateway::from_url("https://example.com").unwrap();
    /// assert_eq!(gateway.multiaddr(), "/dns4/example.com/tcp/443/tls/http");
    /// assert_eq!(gateway.multiaddr().parse::<Hint>()?, Hint::Gateway(gateway));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn multiaddr(&self) -> String {
        let port = self.url.rsplit(':').next().unwrap_or_default();
        let tls = if self.is_encrypted() { "/tls" } else { "" };
        format!("{}/tcp/{port}{tls}/http", self.host)
    }

    /// Lists the protocols of the multiaddr.
    ///
    /// ```
    /// use roadstead::dnslink::Gateway;
    ///
    /// let gateway = Gateway::from_url("https://example.com").unwrap();
    /// assert_eq!(gateway.protocols(), ["dns4", "tcp", "tls", "http"]);
    /// ```
    #[must_use]
    pub fn protocols(&self) -> Vec<&'static str> {
        let host = match self.host {
            Host::Ip(IpAddr::V4(_)) => "ip4",
            Host::Ip(IpAddr::V6(_)) => "ip6",
            Host::Name(_) => "dns",
            Host::Name4(_) => "dns4",
            Host::Name6(_) => "dns6",
        };
        let tls = self.is_encrypted().then_some("tls");
        [host, "tcp"].into_iter().chain(tls).chain(["http"]).collect()
    }

    fn is_encrypted(&self) -> bool {
        self.url.starts_with("https:")
    }
}

impl Host {
    fn read(protocol: &str, host: &str) -> Option<Self> {
        match protocol {
            "ip4" => host.parse::<Ipv4Addr>().ok().map(|ip| Self::Ip(ip.into())),
            "ip6" => host.parse::<Ipv6Addr>().ok().map(|ip| Self::Ip(ip.into())),
            "dns" => host.parse().ok().map(Self::Name),
            "dns4" => host.parse().ok().map(Self::Name4),
            "dns6" => host.parse().ok().map(Self::Name6),
            _ => None,
        }
    }
}

impl Multiaddr {
    /// Returns the literal address, if it has one.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        match self.location {
            Location::Port(Host::Ip(ip), _) => Some(ip),
            _ => None,
        }
    }

    /// Returns the same at a literal address; none for a `/dnsaddr/…`.
    pub(super) fn at(&self, ip: IpAddr) -> Option<Self> {
        let Location::Port(_, transport) = self.location else { return None };
        Some(Self {
            location: Location::Port(Host::Ip(ip), transport),
            peer_id: self.peer_id.clone(),
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => write!(formatter, "/ip4/{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(formatter, "/ip6/{ip}"),
            Self::Name(name) => write!(formatter, "/dns/{name}"),
            Self::Name4(name) => write!(formatter, "/dns4/{name}"),
            Self::Name6(name) => write!(formatter, "/dns6/{name}"),
        }
    }
}

impl fmt::Display for Multiaddr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::Port(host, Transport::Tcp(port)) => write!(formatter, "{host}/tcp/{port}")?,
            Location::Port(host, Transport::Quic(port)) => {
                write!(formatter, "{host}/udp/{port}/quic-v1")?;
            }
            Location::Dnsaddr(domain) => write!(formatter, "/dnsaddr/{domain}")?,
        }
        write!(formatter, "/p2p/{}", self.peer_id)
    }
}

impl From<Multiaddr> for String {
    fn from(address: Multiaddr) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(gateway) => formatter.write_str(&gateway.url),
            Self::Peer(peer) => peer.address.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF";

    fn read(text: &str) -> Option<Hint> {
        text.replace("ID", ID).parse().ok()
    }

    #[test]
    fn a_gateway_is_a_url() {
        for (text, expected) in [
            ("/ip4/192.0.2.1/tcp/8080/http", "http://192.0.2.1:8080"),
            ("/ip6/2001:db8::1/tcp/8080/http", "http://[2001:db8::1]:8080"),
            ("/dns4/Example.com/tcp/443/https", "https://example.com:443"),
            ("/dns/example.com/tcp/443/tls/http/", "https://example.com:443"),
            ("/dns6/example.com/tcp/443/tls/http/p2p/ID", "https://example.com:443"),
            ("/ip4/192.0.2.1/tcp/443/tls/sni/example.com/http", "https://example.com:443"),
        ] {
            let Some(Hint::Gateway(gateway)) = read(text) else { panic!("{text} is a gateway") };
            assert_eq!(gateway.url, expected, "{text}");
            let has_name = matches!(gateway.host, Host::Name(_) | Host::Name4(_) | Host::Name6(_));
            assert_eq!(has_name, expected.contains("example"), "{text}");
        }
    }

    #[test]
    fn a_url_is_written_as_a_multiaddr_that_leads_back_to_it() {
        for (url, expected) in [
            ("https://example.com", "/dns4/example.com/tcp/443/tls/http"),
            ("https://Example.com:8443", "/dns4/example.com/tcp/8443/tls/http"),
            ("http://192.0.2.1", "/ip4/192.0.2.1/tcp/80/http"),
            ("https://[2001:db8::1]:5000", "/ip6/2001:db8::1/tcp/5000/tls/http"),
        ] {
            let gateway = Gateway::from_url(url).unwrap();
            assert_eq!(gateway.multiaddr(), expected);
            assert_eq!(expected.parse(), Ok(Hint::Gateway(gateway.clone())));
            let protocols = gateway.protocols();
            assert!(
                expected
                    .split('/')
                    .filter(|part| protocols.contains(part))
                    .eq(protocols.iter().copied())
            );
        }
        for url in ["", "example.com", "ftp://example.com", "https://localhost", "https://a b.c"] {
            assert_eq!(Gateway::from_url(url), None, "{url}");
        }
    }

    #[test]
    fn a_peer_has_an_id_and_reads_back_the_same() {
        for text in [
            "/ip4/192.0.2.1/tcp/4001/p2p/ID",
            "/ip6/2001:db8::1/udp/4001/quic-v1/p2p/ID",
            "/dns4/example.com/tcp/4001/p2p/ID",
            "/dnsaddr/example.com/p2p/ID",
        ] {
            let Some(Hint::Peer(peer)) = read(text) else { panic!("{text} is a peer") };
            assert_eq!(peer.peer_id, ID);
            assert_eq!(peer.address.to_string(), text.replace("ID", ID));
        }
        let by_cid = super::super::key::ipns_name(&parse_key(ID).unwrap());
        let text = format!("/ip4/192.0.2.1/tcp/4001/p2p/{by_cid}");
        assert_eq!(read(&text), read("/ip4/192.0.2.1/tcp/4001/p2p/ID"), "an id in base36");
        assert_eq!(read("/ip4/192.0.2.1/tcp/4001/ipfs/ID"), read("/ip4/192.0.2.1/tcp/4001/p2p/ID"));
    }

    #[test]
    fn anything_else_is_passed_over() {
        for text in [
            "",
            "/",
            "192.0.2.1",
            "/ip4/192.0.2.1",
            "/ip4/192.0.2.1/tcp/4001",
            "/ip4/192.0.2.1/tcp/0/http",
            "/ip4/192.0.2.1/tcp/65536/http",
            "/ip4/192.0.2/tcp/80/http",
            "/ip4/2001:db8::1/tcp/80/http",
            "/ip6/192.0.2.1/tcp/80/http",
            "/ip6/fe80::1%eth0/tcp/80/http",
            "/dns4/localhost/tcp/80/http",
            "/dns4/a b.c/tcp/80/http",
            "/dns4/192.0.2.1/tcp/80/http",
            "/ip4/192.0.2.1/udp/80/http",
            "/ip4/192.0.2.1/tcp/80/ws/p2p/ID",
            "/ip4/192.0.2.1/udp/4001/p2p/ID",
            "/ip4/192.0.2.1/udp/4001/quic/p2p/ID",
            "/ip4/192.0.2.1/tcp/4001/p2p/ID/p2p-circuit/p2p/ID",
            "/ip4/192.0.2.1/tcp/4001/p2p/nobody",
            "/ip4/192.0.2.1/tcp/443/tls/http/http-path/x",
            "/dnsaddr/example.com",
            "/unix/run/kubo.sock",
            &format!("/ip4/192.0.2.1/tcp/80/http{}", "/".repeat(MAX_LENGTH)),
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_of_a_peer_reads_back_the_same(
            text in "/(ip4|ip6|dns|dns4|dnsaddr)/(192.0.2.1|::1|a\\.b|.{0,5})/(tcp|udp)/[0-9]{1,5}(/quic-v1)?/p2p/.{0,6}",
        ) {
            let text = format!("{text}{ID}");
            if let Ok(Hint::Peer(peer)) = text.parse() {
                prop_assert_eq!(peer.address.to_string().parse(), Ok(Hint::Peer(peer)));
            }
        }

        #[test]
        fn no_text_panics(text in "(/.{0,12}){0,8}") {
            let _ = text.parse::<Hint>();
        }
    }
}
