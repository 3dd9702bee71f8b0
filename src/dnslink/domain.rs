//! Domains that may have a DNSLink.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

/// The prefix of the name of the records of a domain; `_dnsaddr.` is as long.
pub(super) const DNSLINK: &str = "_dnslink.";
pub(super) const DNSADDR: &str = "_dnsaddr.";

/// The longest name of the DNS as text (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// A domain in lower case, without a dot at its end, short enough to have `_dnslink.` before it. It has
/// a dot, so it is no IPNS key; and it is no address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Domain(String);

/// Why a text is not a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a domain such as example.com")]
pub struct DomainError;

impl Domain {
    /// Returns the domain as text.
    ///
    /// ```
    /// use roadstead::dnslink::Domain;
    ///
    /// assert_eq!("Example.com.".parse::<Domain>()?.as_str(), "example.com");
    /// assert!("192.0.2.1".parse::<Domain>().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(is_known)
        };
        let is_domain = text.len() <= MAX_NAME - DNSLINK.len()
            && text.contains('.')
            && text.split('.').all(is_label)
            && text.parse::<Ipv4Addr>().is_err();
        if !is_domain {
            return Err(DomainError);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn domains_are_read_in_lower_case_and_without_the_last_dot() {
        for (text, expected) in [
            ("example.com", "example.com"),
            ("Example.COM.", "example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("_dnslink.example.com", "_dnslink.example.com"),
            ("1337.example", "1337.example"),
        ] {
            assert_eq!(text.parse::<Domain>().unwrap().as_str(), expected);
        }
    }

    #[test]
    fn anything_else_is_no_domain() {
        let long = format!("{}.example", "a".repeat(64));
        let longer = format!("{}com", "abcdefghi.".repeat(25));
        for text in [
            "",
            ".",
            "com",
            "a..b",
            ".a.b",
            "a.b..",
            "a b.c",
            "a/b.c",
            "ä.example",
            "127.0.0.1",
            "[::1].a",
            "a.b:53",
            &long,
            &longer,
        ] {
            assert_eq!(text.parse::<Domain>(), Err(DomainError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_domain_reads_back_the_same(text in "[a-zA-Z0-9._-]{0,80}") {
            let Ok(domain) = text.parse::<Domain>() else { return Ok(()) };
            prop_assert_eq!(domain.as_str().parse::<Domain>(), Ok(domain.clone()));
        }
    }
}
