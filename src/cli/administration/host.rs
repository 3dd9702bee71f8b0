//! A registry as it is typed: a host, and maybe a port.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A registry's host and port, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RegistryHost {
    name: String,
    is_encrypted: bool,
}

impl RegistryHost {
    /// Returns the name by which credentials are stored, as docker does it.
    pub(super) fn as_str(&self) -> &str {
        &self.name
    }

    /// Returns what a user types to mean it: with `https://` before it where this machine is spoken to by TLS.
    pub(super) fn typed(&self) -> String {
        if self.is_encrypted == is_loopback(&self.name) { self.url() } else { self.name.clone() }
    }

    /// Returns the URL.
    pub(super) fn url(&self) -> String {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        format!("{scheme}://{}", self.name)
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl FromStr for RegistryHost {
    type Err = String;

    /// Reads a host, such as `registry.example` or `localhost:5000`. This machine is spoken to without TLS, unless `https://`
    /// stands before it; others always with it.
    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let name = rest.strip_suffix('/').unwrap_or(rest).to_ascii_lowercase();
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if name.is_empty() || name.starts_with('-') || !name.bytes().all(is_part) {
            return Err("expected a host such as registry.example or localhost:5000".to_owned());
        }
        let is_local = is_loopback(&name);
        let is_encrypted = match scheme {
            None => !is_local,
            Some("https") => true,
            Some("http") if is_local => false,
            Some("http") => {
                return Err(format!(
                    "`{name}` is another machine, and gets no password without TLS; leave http:// out"
                ));
            }
            Some(_) => return Err("expected a host, or https:// and a host".to_owned()),
        };
        Ok(Self { name, is_encrypted })
    }
}

/// Tells whether a host, with or without a port, is this machine.
fn is_loopback(name: &str) -> bool {
    let host = match name.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => name.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        for (text, url) in [
            ("localhost:5000", Some("http://localhost:5000")),
            ("127.0.0.1", Some("http://127.0.0.1")),
            ("[::1]:5000", Some("http://[::1]:5000")),
            ("http://localhost:5000/", Some("http://localhost:5000")),
            ("https://localhost:5000", Some("https://localhost:5000")),
            ("registry.example", Some("https://registry.example")),
            ("Registry.Example:443", Some("https://registry.example:443")),
            ("https://registry.example/", Some("https://registry.example")),
            ("localhost.example:5000", Some("https://localhost.example:5000")),
            ("127.0.0.1.example", Some("https://127.0.0.1.example")),
            ("http://registry.example", None),
            ("ftp://registry.example", None),
            ("registry.example/team", None),
            ("anna@registry.example", None),
            ("--help", None),
            ("", None),
        ] {
            let read = text.parse::<RegistryHost>().ok();
            let found = read.as_ref().map(RegistryHost::url);
            assert_eq!(found.as_deref(), url, "{text}");
            let again = read.as_ref().map(|host| host.typed().parse::<RegistryHost>());
            assert_eq!(again, read.map(Ok), "{text}");
        }
    }
}
