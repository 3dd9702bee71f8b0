//! Where a node listens: a URL, or a multiaddr as the node itself writes it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use reqwest::Url;
use thiserror::Error;

/// The beginning of a node's URLs, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "it is neither a URL such as http://127.0.0.1:5001 nor a multiaddr such as /ip4/127.0.0.1/tcp/5001"
)]
pub struct AddressError;

impl Address {
    /// Returns the URL, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let url = if text.starts_with('/') { from_multiaddr(text)? } else { text.to_owned() };
        let parsed = Url::parse(&url).map_err(|_| AddressError)?;
        let is_plain = parsed.query().is_none()
            && parsed.fragment().is_none()
            && parsed.username().is_empty()
            && parsed.password().is_none();
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() || !is_plain {
            return Err(AddressError);
        }
        Ok(Self(parsed.as_str().trim_end_matches('/').to_owned()))
    }
}

/// Reads `/ip4/…`, `/ip6/…` or `/dns…/…`, then `/tcp/<port>`, and `/http`, `/https` or `/tls/http`.
fn from_multiaddr(text: &str) -> Result<String, AddressError> {
    let parts: Vec<&str> = text.split('/').skip(1).collect();
    let ["ip4" | "ip6" | "dns" | "dns4" | "dns6", host, "tcp", port, protocol @ ..] = &parts[..]
    else {
        return Err(AddressError);
    };
    let host = match parts[0] {
        "ip4" => host.parse::<Ipv4Addr>().map_err(|_| AddressError)?.to_string(),
        "ip6" => format!("[{}]", host.parse::<Ipv6Addr>().map_err(|_| AddressError)?),
        _ => (*host).to_owned(),
    };
    let port: u16 = port.parse().map_err(|_| AddressError)?;
    let scheme = match protocol {
        [] | ["http"] => "http",
        ["https"] | ["tls", "http"] => "https",
        _ => return Err(AddressError),
    };
    Ok(format!("{scheme}://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Option<String> {
        text.parse::<Address>().ok().map(|address| address.to_string())
    }

    #[test]
    fn urls_and_multiaddrs_are_read() {
        for (text, expected) in [
            ("http://127.0.0.1:5001", "http://127.0.0.1:5001"),
            ("http://kubo:8080/", "http://kubo:8080"),
            ("https://node.example.com/behind/", "https://node.example.com/behind"),
            ("/ip4/127.0.0.1/tcp/5001", "http://127.0.0.1:5001"),
            ("/ip6/::1/tcp/5001/http", "http://[::1]:5001"),
            ("/dns4/kubo/tcp/5001", "http://kubo:5001"),
            ("/dns/node.example.com/tcp/443/tls/http", "https://node.example.com"),
        ] {
            assert_eq!(url(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "127.0.0.1:5001",
            "localhost",
            "ftp://127.0.0.1",
            "http://",
            "http://user:password@127.0.0.1",
            "http://127.0.0.1/?a=b",
            "/ip4/127.0.0.1",
            "/ip4/127.0.0.1/udp/5001",
            "/ip4/localhost/tcp/5001",
            "/ip4/127.0.0.1/tcp/70000",
            "/ip4/127.0.0.1/tcp/5001/ws",
            "/unix/run/kubo.sock",
        ] {
            assert_eq!(url(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = url(&text);
            let _ = url(&format!("/ip4/{text}"));
        }
    }
}
