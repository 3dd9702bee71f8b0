//! How names are looked up.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::{Settings, SettingsError, Values};

const SERVERS: &str = "dnslink.servers";
const FLOOR: &str = "dnslink.ttl_floor";
const CEILING: &str = "dnslink.ttl_ceiling";
const STALE_FOR: &str = "dnslink.stale_for";

/// The port of the DNS.
const PORT: u16 = 53;

/// The largest number of servers that may be set.
const MOST_SERVERS: usize = 8;

/// More names in a minute are as good as no limit.
const MOST_NAMES: u32 = 1_000_000;

/// The longest that anything is cached: TTLs above a week are a mistake (RFC 8767, 4).
const LONGEST: Duration = Duration::from_hours(7 * 24);

/// The longest that a root outlives its record, for an operator who is away.
const LONGEST_STALE: Duration = Duration::from_hours(365 * 24);

/// How names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnslinkSettings {
    /// Which servers are queried; none: those of the system.
    pub servers: Vec<DnsServer>,
    /// Whether answers have to be validated by DNSSEC.
    pub dnssec: bool,
    /// A file of keys that are trusted instead of the root's.
    pub trust_anchors: Option<PathBuf>,
    /// A file of authorities that servers' certificates are checked by, instead of the known ones.
    pub https_authority: Option<PathBuf>,
    /// How long an answer is cached at least.
    pub ttl_floor: Duration,
    /// How long an answer is cached at most.
    pub ttl_ceiling: Duration,
    /// How long an answer that is due serves on while no server can be reached.
    pub stale_for: Duration,
    /// How many new names are looked up for one client in a minute.
    pub max_new_names_per_client: u32,
    /// How many new names are looked up for all clients in a minute.
    pub max_new_names: u32,
    /// Whether addresses out of the DNS may lead to this machine and its networks.
    pub allow_private_addresses: bool,
}

/// A server of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsServer {
    /// One that is queried by UDP, and by TCP where an answer is too long.
    Plain(SocketAddr),
    /// One that is queried over HTTPS (RFC 8484).
    Https {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
        /// The path of its URL, with a slash before it.
        path: String,
    },
}

impl DnslinkSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        let texts = values.list(SERVERS);
        let servers: Option<Vec<DnsServer>> = texts.iter().map(|text| server(text)).collect();
        let servers = servers.filter(|servers| servers.len() <= MOST_SERVERS);
        let within = |name: &'static str, longest: Duration| {
            let duration = values.duration(name)?;
            if duration > longest { Err(values.refuse(name)) } else { Ok(duration) }
        };
        let ttl_floor = values.positive_duration(FLOOR)?;
        let ttl_ceiling = within(CEILING, LONGEST)?;
        if ttl_floor > ttl_ceiling {
            return Err(values.refuse(FLOOR));
        }
        let count = |name| {
            let count = u32::try_from(values.number(name)).ok();
            count
                .filter(|count| (1..=MOST_NAMES).contains(count))
                .ok_or_else(|| values.refuse(name))
        };
        Ok(Self {
            servers: servers.ok_or_else(|| values.refuse(SERVERS))?,
            dnssec: values.flag("dnslink.dnssec"),
            trust_anchors: values.path("dnslink.trust_anchors")?,
            https_authority: values.path("dnslink.https_authority")?,
            ttl_floor,
            ttl_ceiling,
            stale_for: within(STALE_FOR, LONGEST_STALE)?,
            max_new_names_per_client: count("dnslink.max_new_names_per_client")?,
            max_new_names: count("dnslink.max_new_names")?,
            allow_private_addresses: values.flag("dnslink.allow_private_addresses"),
        })
    }
}

impl Default for DnslinkSettings {
    fn default() -> Self {
        Settings::default().dnslink
    }
}

/// Reads `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353` or `https://…`.
fn server(text: &str) -> Option<DnsServer> {
    if text.starts_with("https://") {
        return https(text);
    }
    let ip = text.parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT));
    let address: SocketAddr = ip.or_else(|_| text.parse()).ok()?;
    (address.port() != 0 && !address.ip().is_unspecified()).then_some(DnsServer::Plain(address))
}

fn https(text: &str) -> Option<DnsServer> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_or_known_default().filter(|port| *port > 0)?;
    is_plain.then(|| DnsServer::Https { host, port, path: url.path().to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_server_is_an_address_or_a_url() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
        ] {
            assert_eq!(server(text), Some(DnsServer::Plain(expected.parse().unwrap())), "{text}");
        }
        for (text, host, port, path) in [
            ("https://dns.example/dns-query", "dns.example", 443, "/dns-query"),
            ("https://192.0.2.1:8443/", "192.0.2.1", 8443, "/"),
            ("https://[2001:db8::1]/q", "2001:db8::1", 443, "/q"),
        ] {
            let (host, path) = (host.to_owned(), path.to_owned());
            assert_eq!(server(text), Some(DnsServer::Https { host, port, path }), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_server() {
        for text in [
            "",
            "dns.example",
            "192.0.2.1:0",
            "0.0.0.0",
            "192.0.2.1:70000",
            "http://dns.example/dns-query",
            "https://",
            "https://user@dns.example/",
            "https://dns.example/?a=b",
            "tls://192.0.2.1",
        ] {
            assert_eq!(server(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(https://)?.{0,30}") {
            let _ = server(&text);
        }
    }
}
