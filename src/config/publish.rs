//! Where the public root is published, and by whom.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::{SettingsError, Values};
use crate::oci::read_domain;

const DOMAIN: &str = "publish.domain";
const PROVIDER: &str = "publish.provider";
const TTL: &str = "publish.ttl";
const KEEP: &str = "publish.keep";
const HINT: &str = "publish.hint";
const SERVERS: &str = "publish.servers";

/// The port of the DNS.
const PORT: u16 = 53;

/// TTLs above a day hide from all clients what was pushed since.
const LONGEST_TTL: Duration = Duration::from_hours(24);

/// The longest that a replaced root is retained.
const LONGEST_KEEP: Duration = Duration::from_hours(365 * 24);

/// More servers or hints than that are of no use.
const MOST: usize = 8;

/// The longest hint: what reads hints takes no longer one.
const LONGEST_HINT: usize = 512;

/// Where the public root is published, and by whom.
#[derive(Debug, Clone)]
pub struct PublishSettings {
    /// The domain; empty: nothing is published.
    pub domain: String,
    /// The provider's name in the table of the `dnslink` room; empty only without a domain.
    pub provider: &'static str,
    /// How long a push waits for others that are published together with it.
    pub debounce: Duration,
    /// How long others may keep the record.
    pub ttl: Duration,
    /// How long a root is retained, and what is below it served, after another one was published.
    pub keep: Duration,
    /// Where others reach this registry, as multiaddrs; none: it is found out.
    pub hint: Vec<String>,
    /// The servers that have to tell the record until it counts as published; none: those of the zone.
    pub servers: Vec<NameServer>,
    /// For the provider of that name.
    pub rfc2136: Rfc2136Settings,
    /// For the provider of that name.
    pub cloudflare: CloudflareSettings,
    /// For the provider of that name.
    pub exec: ExecSettings,
}

/// A name server that takes updates.
#[derive(Debug, Clone)]
pub struct Rfc2136Settings {
    /// Where it listens.
    pub server: NameServer,
    /// The zone that the records are in.
    pub zone: String,
    /// The name of the key.
    pub key_name: String,
    /// The algorithm of the key.
    pub key_algorithm: &'static str,
    /// The key, in base64.
    pub key_secret: SecretString,
}

/// An account at Cloudflare.
#[derive(Debug, Clone)]
pub struct CloudflareSettings {
    /// A token that may edit the zone.
    pub token: SecretString,
    /// The zone in ASCII; empty: the nearest one above the domain that the token sees.
    pub zone: String,
    /// The id of the zone, which need not be looked for then; empty: it is.
    pub zone_id: String,
    /// The beginning of the URLs of the API, without a slash at its end.
    pub api: String,
}

/// A program of the operator's.
#[derive(Debug, Clone)]
pub struct ExecSettings {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How long it may run.
    pub timeout: Duration,
}

/// A name server by its name or its address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameServer {
    /// The name or the address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl PublishSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        let domain = optional(values, DOMAIN, read_domain)?;
        let provider = values.choice(PROVIDER)?;
        let within = |name: &'static str, longest: Duration| {
            let duration = values.positive_duration(name)?;
            if duration > longest { Err(values.refuse(name)) } else { Ok(duration) }
        };
        let (ttl, keep) = (within(TTL, LONGEST_TTL)?, within(KEEP, LONGEST_KEEP)?);
        // A resolver that has cached a record for its TTL finds what it names.
        if ttl.as_secs() == 0 || ttl > keep {
            return Err(values.refuse(TTL));
        }
        let hint = values.list(HINT);
        if hint.len() > MOST || !hint.iter().all(|text| is_hint(text)) {
            return Err(values.refuse(HINT));
        }
        let servers: Option<Vec<NameServer>> =
            values.list(SERVERS).iter().map(|text| NameServer::parse(text)).collect();
        let mut settings = Self {
            provider,
            debounce: values.positive_duration("publish.debounce")?,
            ttl,
            keep,
            hint,
            servers: servers
                .filter(|servers| servers.len() <= MOST)
                .ok_or_else(|| values.refuse(SERVERS))?,
            rfc2136: Rfc2136Settings::read(values)?,
            cloudflare: CloudflareSettings::read(values)?,
            exec: ExecSettings::read(values)?,
            domain,
        };
        settings.expect_whole()?;
        if settings.rfc2136.zone.is_empty() {
            settings.rfc2136.zone.clone_from(&settings.domain);
        }
        Ok(settings)
    }

    /// Tells whether anything is published.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.domain.is_empty()
    }

    /// Refuses a provider that lacks something.
    fn expect_whole(&self) -> Result<(), SettingsError> {
        let needs = |given, missing| Err(SettingsError::Needs { given, missing });
        if self.domain.is_empty() && !self.provider.is_empty() {
            return needs(PROVIDER, DOMAIN);
        }
        let Self { rfc2136, cloudflare, exec, .. } = self;
        let given = match self.provider {
            "" if self.is_enabled() => return needs(DOMAIN, PROVIDER),
            "rfc2136" => "publish.provider = \"rfc2136\"",
            "cloudflare" => "publish.provider = \"cloudflare\"",
            _ => "publish.provider = \"exec\"",
        };
        let required: &[(bool, &'static str)] = match self.provider {
            "rfc2136" => &[
                (rfc2136.server.host.is_empty(), "publish.rfc2136.server"),
                (rfc2136.key_name.is_empty(), "publish.rfc2136.key_name"),
                (rfc2136.key_secret.expose_secret().is_empty(), "publish.rfc2136.key_secret"),
            ],
            "cloudflare" => {
                &[(cloudflare.token.expose_secret().is_empty(), "publish.cloudflare.token")]
            }
            "exec" => &[(exec.command.is_empty(), "publish.exec.command")],
            _ => &[],
        };
        match required.iter().find(|(is_missing, _)| *is_missing) {
            Some((_, missing)) => needs(given, missing),
            None => Ok(()),
        }
    }
}

impl Rfc2136Settings {
    fn read(values: &Values) -> Result<Self, SettingsError> {
        let is_secret = |text: &str| STANDARD.decode(text).is_ok();
        Ok(Self {
            server: values.parse("publish.rfc2136.server", |text| match text {
                "" => Some(NameServer::default()),
                text => NameServer::parse(text),
            })?,
            zone: optional(values, "publish.rfc2136.zone", dns_name)?,
            key_name: optional(values, "publish.rfc2136.key_name", dns_name)?,
            key_algorithm: values.choice("publish.rfc2136.key_algorithm")?,
            key_secret: values.secret("publish.rfc2136.key_secret", is_secret)?,
        })
    }
}

impl CloudflareSettings {
    fn read(values: &Values) -> Result<Self, SettingsError> {
        let is_token = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        Ok(Self {
            token: values.secret("publish.cloudflare.token", is_token)?,
            zone: optional(values, "publish.cloudflare.zone", read_domain)?,
            zone_id: optional(values, "publish.cloudflare.zone_id", |text| {
                let is_id =
                    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
                is_id.then(|| text.to_owned())
            })?,
            api: values.parse("publish.cloudflare.api", |text| {
                let url = Url::parse(text).ok()?;
                let is_plain = url.query().is_none() && url.fragment().is_none();
                let is_known =
                    matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain;
                is_known.then(|| text.trim_end_matches('/').to_owned())
            })?,
        })
    }
}

impl ExecSettings {
    fn read(values: &Values) -> Result<Self, SettingsError> {
        let command = values.list("publish.exec.command");
        if command.first().is_some_and(String::is_empty) {
            return Err(values.refuse("publish.exec.command"));
        }
        Ok(Self { command, timeout: values.positive_duration("publish.exec.timeout")? })
    }
}

impl NameServer {
    /// Reads `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353`, `ns.example.com` or
    /// `ns.example.com:5353`; names also with a dot at their end, or in Unicode.
    fn parse(text: &str) -> Option<Self> {
        let at = |host: &str, port| Self { host: host.to_owned(), port };
        let server = match (text.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
            (Ok(ip), _) => at(&ip.to_string(), PORT),
            (_, Ok(address)) => at(&address.ip().to_string(), address.port()),
            _ => match text.split_once(':') {
                Some((host, port)) => at(host, port.parse().ok()?),
                None => at(text, PORT),
            },
        };
        let host = match server.host.parse::<IpAddr>() {
            Ok(ip) => Some(server.host).filter(|_| !ip.is_unspecified()),
            Err(_) => dns_name(&server.host)
                .filter(|host| host.contains(|it: char| it.is_ascii_alphabetic())),
        };
        host.filter(|_| server.port != 0).map(|host| Self { host, port: server.port })
    }
}

impl fmt::Display for NameServer {
    /// Writes it as it is read, with its port.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(formatter, "[{host}]:{port}")
        } else {
            write!(formatter, "{host}:{port}")
        }
    }
}

/// Reads a text that may be empty.
fn optional(
    values: &Values,
    name: &'static str,
    read: impl Fn(&str) -> Option<String>,
) -> Result<String, SettingsError> {
    values.parse(name, |text| if text.is_empty() { Some(String::new()) } else { read(text) })
}

/// Reads a name of the DNS, with a dot at its end or without, also in Unicode.
fn dns_name(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if is_zone(text) {
        return Some(text.to_owned());
    }
    idna::domain_to_ascii(text).ok().filter(|ascii| is_zone(ascii))
}

/// Tells whether a text is a name of the DNS, without a dot at its end.
fn is_zone(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_known)
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Tells whether a text looks like a multiaddr: what it means is for those who read it.
fn is_hint(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= LONGEST_HINT
        && text.split('/').count() >= 5
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_server_is_a_host_and_maybe_a_port() {
        for (text, host, port) in [
            ("192.0.2.1", "192.0.2.1", 53),
            ("192.0.2.1:5353", "192.0.2.1", 5353),
            ("2001:db8::1", "2001:db8::1", 53),
            ("[2001:db8::1]:5353", "2001:db8::1", 5353),
            ("ns.example.com", "ns.example.com", 53),
            ("ns:5353", "ns", 5353),
        ] {
            let expected = NameServer { host: host.to_owned(), port };
            assert_eq!(NameServer::parse(&expected.to_string()), Some(expected.clone()), "{text}");
            assert_eq!(NameServer::parse(text), Some(expected), "{text}");
        }
        for text in ["", ":53", "0.0.0.0", "192.0.2.1:0", "a b", "a..b", "a:b", "a:70000", "1.2.3"]
        {
            assert_eq!(NameServer::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,30}") {
            let _ = (NameServer::parse(&text), is_hint(&text), is_zone(&text));
        }
    }
}
