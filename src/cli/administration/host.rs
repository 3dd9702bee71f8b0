//! A registry as it is typed: a host, and maybe a port.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Docker Hub, as people name it, as its API is named, and as its logins are.
const HUB: &str = "docker.io";
const HUB_API: &str = "registry-1.docker.io";
const HUB_SPELLINGS: [&str; 3] = [HUB, "index.docker.io", HUB_API];

/// A registry's host and port, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct RegistryHost {
    name: String,
    is_encrypted: bool,
}

impl RegistryHost {
    /// Returns the name by which credentials are stored, as docker does it.
    pub(in crate::cli) fn as_str(&self) -> &str {
        &self.name
    }

    /// Returns what a user types to mean it: with `https://` before it where this machine is spoken to by TLS.
    pub(super) fn typed(&self) -> String {
        if self.is_encrypted == is_loopback(&self.name) { self.url() } else { self.name.clone() }
    }

    /// Returns the URL.
    pub(in crate::cli) fn url(&self) -> String {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// Returns the same registry, spoken to with TLS or without.
    pub(in crate::cli) fn encrypted(&self, is_encrypted: bool) -> Self {
        Self { is_encrypted, ..self.clone() }
    }

    /// Tells whether it is spoken to with TLS.
    pub(in crate::cli) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Tells whether it is this machine.
    pub(in crate::cli) fn is_local(&self) -> bool {
        is_loopback(&self.name)
    }

    /// Returns the host and port that are connected to.
    fn address(&self) -> &str {
        if self.name == HUB { HUB_API } else { &self.name }
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
        let name = without_version(rest).to_ascii_lowercase();
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
        let name = without_default_port(&name).to_owned();
        let is_hub = HUB_SPELLINGS.contains(&&*name);
        Ok(Self { name: if is_hub { HUB.to_owned() } else { name }, is_encrypted })
    }
}

/// Returns the name that all spellings of a registry have in common, in the form that [`RegistryHost::as_str`] has:
/// `https://Registry.Example:443/v2/` is `registry.example`. What follows the host, such as a namespace, stays.
pub(in crate::cli) fn normal(text: &str) -> String {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = without_version(rest);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.to_ascii_lowercase();
    let host = without_default_port(&host);
    let host = if HUB_SPELLINGS.contains(&host) { HUB } else { host };
    format!("{host}{path}")
}

/// Leaves out what old clients wrote behind a host.
fn without_version(text: &str) -> &str {
    let text = text.trim_end_matches('/');
    let version = text.strip_suffix("/v1").or_else(|| text.strip_suffix("/v2"));
    // `host/v1` is an API, `host/team/v1` a namespace.
    version.filter(|host| !host.contains('/')).unwrap_or(text)
}

/// Leaves out the port that TLS has anyway. That of plain HTTP is another registry, as is any port of this machine, which
/// need not be spoken to with TLS.
fn without_default_port(host: &str) -> &str {
    let other = host.strip_suffix(":443").filter(|other| !other.is_empty() && !is_loopback(other));
    other.unwrap_or(host)
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
    fn all_spellings_of_a_registry_have_one_normal_form() {
        for (text, form) in [
            ("registry.example", "registry.example"),
            ("https://Registry.Example:443/", "registry.example"),
            ("https://registry.example/v2/", "registry.example"),
            ("http://registry.example/v1", "registry.example"),
            ("registry.example:80", "registry.example:80"),
            ("localhost:443", "localhost:443"),
            ("https://LOCALHOST:443/v2/", "localhost:443"),
            ("http://127.0.0.1:443", "127.0.0.1:443"),
            ("https://[::1]:443", "[::1]:443"),
            ("localhost", "localhost"),
            ("registry.example:5000", "registry.example:5000"),
            ("registry.example/team/v1", "registry.example/team/v1"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
            ("index.docker.io", "docker.io"),
            ("docker.io/anna", "docker.io/anna"),
        ] {
            assert_eq!(normal(text), form, "{text}");
            if let Ok(host) = text.parse::<RegistryHost>() {
                assert_eq!(host.as_str(), form, "{text}");
            }
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        for (text, url) in [
            ("localhost:5000", Some("http://localhost:5000")),
            ("127.0.0.1", Some("http://127.0.0.1")),
            ("[::1]:5000", Some("http://[::1]:5000")),
            ("localhost:443", Some("http://localhost:443")),
            ("https://localhost:443", Some("https://localhost:443")),
            ("http://localhost:5000/", Some("http://localhost:5000")),
            ("https://localhost:5000", Some("https://localhost:5000")),
            ("registry.example", Some("https://registry.example")),
            ("Registry.Example:443", Some("https://registry.example")),
            ("registry.example:80", Some("https://registry.example:80")),
            ("https://registry.example/v2/", Some("https://registry.example")),
            ("docker.io", Some("https://registry-1.docker.io")),
            ("https://index.docker.io/v1/", Some("https://registry-1.docker.io")),
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
