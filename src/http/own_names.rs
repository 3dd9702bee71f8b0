//! The names that clients use for this server, and whether an `Origin` or a `Host` is one of them.

use std::net::IpAddr;

/// The names that clients use for this server.
#[derive(Debug, Clone, Default)]
pub struct OwnNames {
    /// The URL that the operator gives out, without a slash at its end.
    pub external_url: Option<String>,
    /// Names and addresses without a port (`server.hosts`).
    pub hosts: Vec<String>,
    /// Names that stand for repositories of a domain, and so are this server's as well.
    pub domains: Vec<String>,
    /// Whether all users of this machine, and no others, may push: then `Host` has to be one of these
    /// names or an address of this machine.
    pub is_open_on_loopback: bool,
}

impl OwnNames {
    /// Tells whether an `Origin` is this server's own; `host` is the `Host` of the same request.
    pub(super) fn has_origin(&self, origin: &str, host: Option<&str>) -> bool {
        let Some(origin) = Origin::parse(origin) else { return false };
        let external = self.external_url.as_deref().and_then(Origin::parse);
        if external.is_none() && self.hosts.is_empty() {
            let host = host.and_then(Authority::parse);
            return host.is_some_and(|host| origin.authority.is(&host, origin.port()));
        }
        external.is_some_and(|own| own.is(&origin))
            || self.hosts.iter().any(|own| is_same_host(own, origin.authority.host))
    }

    /// Tells whether a `Host` is one that a client on this machine uses.
    pub(super) fn has_host(&self, host: &str) -> bool {
        let Some(Authority { host, .. }) = Authority::parse(host) else { return false };
        let external = self.external_url.as_deref().and_then(Origin::parse);
        address(host).is_some_and(|address| address.is_loopback())
            || is_same_host("localhost", host)
            || external.is_some_and(|own| is_same_host(own.authority.host, host))
            || self.hosts.iter().chain(&self.domains).any(|own| is_same_host(own, host))
    }
}

/// A scheme, a host and a port (RFC 6454, 7).
struct Origin<'text> {
    scheme: &'text str,
    authority: Authority<'text>,
}

impl<'text> Origin<'text> {
    fn parse(text: &'text str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        Some(Self { scheme, authority: Authority::parse(authority)? })
    }

    /// Returns the port that its scheme has where none is named.
    fn port(&self) -> Option<u16> {
        [("http", 80), ("https", 443)]
            .into_iter()
            .find_map(|(scheme, port)| self.scheme.eq_ignore_ascii_case(scheme).then_some(port))
    }

    fn is(&self, other: &Self) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.authority.is(&other.authority, self.port())
    }
}

/// A host and maybe a port (RFC 9110, 7.2).
struct Authority<'text> {
    host: &'text str,
    port: Option<u16>,
}

impl<'text> Authority<'text> {
    fn parse(text: &'text str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, "")) => (host, None),
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (text, None),
        };
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        let is_odd = |byte: u8| byte <= b' ' || b"/?#@\\[]:,\"".contains(&byte) || byte == 0x7f;
        let is_host = !host.is_empty() && (is_bracketed || !host.bytes().any(is_odd));
        is_host.then_some(Self { host, port })
    }

    /// Tells whether both are the same where that port stands for none.
    fn is(&self, other: &Self, port: Option<u16>) -> bool {
        is_same_host(self.host, other.host) && self.port.or(port) == other.port.or(port)
    }
}

/// Compares two hosts: names without case and without the dot of the root, addresses by their value.
fn is_same_host(one: &str, other: &str) -> bool {
    match (address(one), address(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => {
            let name = |host: &str| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
            name(one) == name(other)
        }
        _ => false,
    }
}

/// Reads a host that is an address.
fn address(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    inner.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(external_url: Option<&str>, hosts: &[&str]) -> OwnNames {
        OwnNames {
            external_url: external_url.map(str::to_owned),
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            domains: vec!["own.example".to_owned()],
            is_open_on_loopback: true,
        }
    }

    #[test]
    fn a_host_of_this_machine_is_an_address_or_a_name_that_is_listed() {
        let names = names(Some("https://out.example:8443"), &["registry.test", "192.0.2.7"]);
        for host in [
            "localhost",
            "LocalHost:5000",
            "localhost.",
            "127.0.0.1:5000",
            "127.8.9.10",
            "[::1]:5000",
            "[::ffff:127.0.0.1]:5000",
            "registry.test:5000",
            "REGISTRY.test.",
            "192.0.2.7:80",
            "out.example",
            "out.example:1",
            "own.example:5000",
        ] {
            assert!(names.has_host(host), "{host}");
        }
        for host in [
            "",
            ":5000",
            "evil.example",
            "evil.example:5000",
            "127.0.0.1.evil.example",
            "0.0.0.0:5000",
            "localhost.evil.example",
            "192.0.2.8",
            "[::2]",
            "[::]",
            "localhost:x",
            "localhost:99999",
            "evil.example,localhost",
            "evil@localhost",
            "localhost/x",
            "a b",
            "127.1",
            "2130706433",
            "registry.test.evil",
            "[localhost]",
        ] {
            assert!(!names.has_host(host), "{host}");
        }
    }

    #[test]
    fn an_origin_is_own_by_the_settings_or_else_by_the_host() {
        let by_host = names(None, &[]);
        for (origin, host) in [
            ("http://registry.test", "registry.test"),
            ("http://registry.test", "registry.test:80"),
            ("https://Registry.test", "registry.TEST"),
            ("https://registry.test:443", "registry.test"),
            ("http://127.0.0.1:5000", "127.0.0.1:5000"),
            ("http://[::1]:5000", "[::1]:5000"),
        ] {
            assert!(by_host.has_origin(origin, Some(host)), "{origin} {host}");
        }
        for (origin, host) in [
            ("null", "null"),
            ("", ""),
            ("registry.test", "registry.test"),
            ("http://evil.example", "registry.test"),
            ("http://registry.test:81", "registry.test"),
            ("http://registry.test", "registry.test:81"),
            ("http://127.0.0.1:5000", "localhost:5000"),
            ("http://registry.test/x", "registry.test"),
            ("http://a@registry.test", "registry.test"),
        ] {
            assert!(!by_host.has_origin(origin, Some(host)), "{origin} {host}");
        }
        assert!(!by_host.has_origin("http://registry.test", None));

        let by_settings = names(Some("https://out.example"), &["registry.test"]);
        for origin in
            ["https://out.example", "https://out.example:443", "http://registry.test:5000"]
        {
            assert!(by_settings.has_origin(origin, Some("x.example")), "{origin}");
        }
        for origin in ["http://out.example", "https://out.example:444", "http://x.example", "null"]
        {
            assert!(!by_settings.has_origin(origin, Some("x.example")), "{origin}");
        }
    }
}
