//! The URL that clients use for the registry.

use std::fmt;

/// A URL of scheme and authority only, such as `https://registry.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalUrl(String);

impl ExternalUrl {
    /// Parses a URL; a slash at its end is dropped. Anything beyond a host and a port is refused.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (scheme, authority) = text.split_once("://")?;
        if !matches!(scheme, "http" | "https") || !is_authority(authority) {
            return None;
        }
        Some(Self(text.to_owned()))
    }

    /// Returns the URL, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExternalUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Tells whether the text is a URL of HTTP that may stand in a header between quotes, without a user and a fragment.
pub(super) fn is_http_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    matches!(scheme, "http" | "https")
        && is_authority(authority)
        && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\#<>`{}|^".contains(&byte))
}

/// Tells whether the text is a host, or an address, and maybe a port (RFC 3986, 3.2, without user).
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if port.is_some_and(|port| port.starts_with('+') || port.parse::<u16>().is_err()) {
        return false;
    }
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex_lite::Regex;

    use super::*;
    use crate::oci::hostile;

    #[test]
    fn scheme_and_host_are_enough_and_all_there_is() {
        for text in [
            "https://registry.example.com",
            "http://localhost:5000",
            "http://192.168.1.10:5000",
            "https://[2001:db8::1]",
            "https://[2001:db8::1]:8443",
        ] {
            assert_eq!(ExternalUrl::parse(text).unwrap().as_str(), text);
        }
        let with_slash = ExternalUrl::parse("https://registry.example.com/").unwrap();
        assert_eq!(with_slash.as_str(), "https://registry.example.com");
    }

    #[test]
    fn anything_more_or_less_is_refused() {
        for text in [
            "registry.example.com",
            "ftp://registry.example.com",
            "https://",
            "https:///",
            "https://registry.example.com/v2",
            "https://registry.example.com?ns=a",
            "https://user:password@registry.example.com",
            "https://registry.example.com:99999",
            "https://registry.example.com:",
            "https://[2001:db8::1",
            "https://a b",
            "https://a..b",
        ] {
            assert_eq!(ExternalUrl::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_a_url_of_a_host(
            text in hostile::texts("https?://([a-z0-9]{1,3}(\\.[a-z0-9]{1,9}){0,3}|\\[::[0-9]{0,3}\\])(:[0-9]{1,5})?/?"),
        ) {
            let Some(url) = ExternalUrl::parse(&text) else { return Ok(()) };
            prop_assert_eq!(ExternalUrl::parse(url.as_str()), Some(url.clone()));
            // No user, path, query or fragment (RFC 3986, 3).
            let url = Regex::new(r"^https?://[^/?#@\s]+$").unwrap().is_match(url.as_str());
            prop_assert!(url, "{text:?}");
        }
    }
}
