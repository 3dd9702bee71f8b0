//! Where the registry listens, and where its data stand.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::{ExternalUrl, SettingsError, Values, duration};
use crate::oci::{RepositoryName, read_domain};

/// Where the registry listens, and where its data stand.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The folder that holds everything.
    pub data: PathBuf,
    /// The URL that clients use for the registry; none: locations are relative.
    pub external_url: Option<ExternalUrl>,
    /// Names and addresses that clients use for the registry, without a port.
    pub hosts: Vec<String>,
    /// Networks whose proxies may say for which client a request is: an address, and how many of its
    /// bits the network shares.
    pub trusted_proxies: Vec<(IpAddr, u8)>,
    /// Domains that are this registry's own: below them stand its own repositories.
    pub domains: Vec<String>,
    /// First components that are local although they look like a foreign root.
    pub local_namespaces: Vec<String>,
    /// What clients may have under way.
    pub limits: ServerLimits,
    /// With which certificate connections are encrypted; none: they are not.
    pub tls: Option<TlsSettings>,
    /// How long transfers may still run after the signal to stop.
    pub shutdown_grace: Duration,
    /// How long a change waits to be committed before the client has to retry later.
    pub request_timeout: Duration,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The file of the certificate, with those that lead to a known authority behind it.
    pub certificate: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
}

/// What clients may have under way.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// How many requests one connection may have under way.
    pub requests_per_connection: usize,
    /// How many transfers there may be.
    pub transfers: usize,
    /// How many of them may be of one client.
    pub transfers_per_client: usize,
    /// How many connections there may be.
    pub connections: usize,
    /// How many of them may be of one client.
    pub connections_per_client: usize,
    /// How long a client may take nothing of an answer.
    pub send_timeout: Duration,
    /// How many manifests a user may pull in a time; none: any number.
    pub pulls: Option<RateSetting>,
    /// How many manifests one address may pull in a time that has not signed in; none: any number.
    pub anonymous_pulls: Option<RateSetting>,
    /// How many manifests a user may push in a time; none: any number.
    pub pushes: Option<RateSetting>,
}

/// So many in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateSetting {
    /// How many.
    pub count: NonZeroU32,
    /// In which time.
    pub period: Duration,
}

impl RateSetting {
    /// The greatest number of them.
    const MOST: u32 = 1_000_000_000;

    /// The longest time.
    const LONGEST: Duration = Duration::from_hours(31 * 24);

    /// Reads a setting; none where its text is empty.
    fn read(values: &Values, name: &str) -> Result<Option<Self>, SettingsError> {
        values.parse(name, |text| match text {
            "" => Some(None),
            text => Self::parse(text).map(Some),
        })
    }

    /// Reads a number and a time.
    fn parse(text: &str) -> Option<Self> {
        let (count, period) = text.split_once('/')?;
        let count = count.trim();
        if !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let count = count.parse().ok().filter(|count: &NonZeroU32| count.get() <= Self::MOST)?;
        let period = duration::parse(period.trim())?;
        let is_usable = period >= Duration::from_secs(1) && period <= Self::LONGEST;
        is_usable.then_some(Self { count, period })
    }
}

impl ServerLimits {
    fn read(values: &Values) -> Result<Self, SettingsError> {
        let number = |name: &str| {
            let number = usize::try_from(values.number(name)).ok();
            number
                .filter(|number| (1..=1_000_000).contains(number))
                .ok_or_else(|| values.refuse(name))
        };
        let send_timeout = "server.limits.send_timeout";
        let most = Duration::from_hours(24);
        Ok(Self {
            requests_per_connection: number("server.limits.requests_per_connection")?,
            transfers: number("server.limits.transfers")?,
            transfers_per_client: number("server.limits.transfers_per_client")?,
            connections: number("server.limits.connections")?,
            connections_per_client: number("server.limits.connections_per_client")?,
            pulls: RateSetting::read(values, "server.limits.pulls")?,
            anonymous_pulls: RateSetting::read(values, "server.limits.anonymous_pulls")?,
            pushes: RateSetting::read(values, "server.limits.pushes")?,
            send_timeout: values
                .positive_duration(send_timeout)
                .ok()
                .filter(|timeout| *timeout <= most)
                .ok_or_else(|| values.refuse(send_timeout))?,
        })
    }
}

impl TlsSettings {
    fn read(values: &Values) -> Result<Option<Self>, SettingsError> {
        let [certificate, key] = ["server.tls.certificate", "server.tls.key"];
        match (values.path(certificate)?, values.path(key)?) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(Self { certificate, key })),
            (Some(_), None) => Err(SettingsError::Needs { given: certificate, missing: key }),
            (None, Some(_)) => Err(SettingsError::Needs { given: key, missing: certificate }),
        }
    }
}

impl ServerSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        let list = |name, read: fn(&str) -> Option<String>| {
            let texts: Option<Vec<String>> =
                values.list(name).iter().map(|text| read(text)).collect();
            texts.ok_or_else(|| values.refuse(name))
        };
        let proxies = values.list("server.trusted_proxies");
        let proxies = proxies.iter().map(|text| network(text)).collect::<Option<_>>();
        Ok(Self {
            listen: values.parse("server.listen", |text| text.parse().ok())?,
            data: values
                .parse("server.data", |text| (!text.is_empty()).then(|| PathBuf::from(text)))?,
            external_url: values.parse("server.external_url", |text| match text {
                "" => Some(None),
                url => ExternalUrl::parse(url).map(Some),
            })?,
            hosts: list("server.hosts", host)?,
            trusted_proxies: proxies.ok_or_else(|| values.refuse("server.trusted_proxies"))?,
            domains: list("server.domains", read_domain)?,
            local_namespaces: list("server.local_namespaces", component)?,
            limits: ServerLimits::read(values)?,
            tls: TlsSettings::read(values)?,
            shutdown_grace: values.duration("server.shutdown_grace")?,
            request_timeout: values.positive_duration("server.request_timeout")?,
        })
    }
}

/// Reads the first component of a repository's name, which may be a domain.
fn component(text: &str) -> Option<String> {
    let is_component = !text.contains('/') && text.parse::<RepositoryName>().is_ok();
    if is_component { Some(text.to_owned()) } else { read_domain(text) }
}

/// Reads a name or an address, as it stands in a URL; a name may be written in Unicode.
fn host(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if is_host(text) {
        return Some(text.to_owned());
    }
    idna::domain_to_ascii(text).ok().filter(|ascii| is_host(ascii))
}

/// Tells whether the text is a name or an address, as it stands in a URL.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(is_part)
    };
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(text).parse::<Ipv6Addr>().is_ok() || text.split('.').all(is_label)
}

/// Reads an address, or a network in the notation of CIDR; one of IPv4 may be written as IPv6.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let written: IpAddr = address.parse().ok()?;
    let width = if written.is_ipv4() { 32 } else { 128 };
    let is_number = |bits: &&str| bits.bytes().all(|byte| byte.is_ascii_digit());
    let bits = match bits {
        Some(bits) => {
            Some(bits).filter(is_number)?.parse::<u8>().ok().filter(|bits| *bits <= width)?
        }
        None => width,
    };
    match (written, written.to_canonical()) {
        (IpAddr::V6(_), mapped @ IpAddr::V4(_)) => Some((mapped, bits.checked_sub(96)?)),
        (_, address) => Some((address, bits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_and_its_bits() {
        let read = |text| network(text).map(|(address, bits)| format!("{address}/{bits}"));
        for (text, network) in [
            ("127.0.0.1", "127.0.0.1/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::1", "::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ] {
            assert_eq!(read(text).as_deref(), Some(network), "{text}");
        }
        for text in [
            "",
            "proxy",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::1/129",
            "10.0.0/8",
            "::ffff:10.0.0.0/95",
            "[::1]",
            "10.0.0.1:80",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
