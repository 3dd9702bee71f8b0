//! The address of a gateway: also `localhost` and the names below it, and over redirects for gateways of the
//! operator.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, LOCATION};
use reqwest::{Client, Response, Url};

/// How many redirects are followed.
const REDIRECTS: usize = 5;

/// The address of a gateway. The HTTP client must not follow redirects itself.
#[derive(Debug, Clone)]
pub struct GatewayAddress {
    url: String,
    /// The URL to try when the first cannot be connected to.
    other_url: Option<String>,
    follows_redirects: bool,
}

/// Why no answer came.
#[derive(Debug)]
pub struct RequestError {
    /// The target of the redirect, if there was one: a scheme, a host and a port.
    pub redirected_to: Option<String>,
    /// What went wrong.
    pub error: reqwest::Error,
}

impl GatewayAddress {
    /// Uses this URL, which has no slash at its end, and no other.
    #[must_use]
    pub fn of_publisher(url: &str) -> Self {
        Self { url: url.to_owned(), other_url: None, follows_redirects: false }
    }

    /// Uses a gateway of the operator, and follows its redirects. One that is called `localhost` is reached by
    /// the addresses of this machine: Kubo redirects requests by that name to `<cid>.ipfs.localhost`.
    #[must_use]
    pub fn of_operator(url: &str) -> Self {
        let (url, other_url) = gateway_urls(url);
        Self { url, other_url, follows_redirects: true }
    }

    /// Sends a request, by the first URL that can be connected to.
    ///
    /// # Errors
    /// When no response begins.
    pub async fn get(
        &self,
        client: &Client,
        target: &str,
        accept: &str,
    ) -> Result<Response, RequestError> {
        let get = |url: String| client.get(url).header(ACCEPT, accept).send();
        let mut answered = get(format!("{}{target}", self.url)).await;
        if let (Err(error), Some(other)) = (&answered, &self.other_url)
            && error.is_connect()
        {
            answered = get(format!("{other}{target}")).await;
        }
        let mut response = answered.map_err(|error| RequestError { redirected_to: None, error })?;
        let redirects = if self.follows_redirects { REDIRECTS } else { 0 };
        for _ in 0..redirects {
            let Some(url) = redirection(&response) else { break };
            let origin = url.origin().ascii_serialization();
            let answered = get(url.into()).await;
            response = answered
                .map_err(|error| RequestError { redirected_to: Some(shown(&origin)), error })?;
        }
        Ok(response)
    }
}

/// Returns the target of a response that is a redirect.
fn redirection(response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let url = response.url().join(location).ok()?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

/// Makes text of another server safe to show.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(200).collect::<String>().escape_debug().to_string()
}

fn gateway_urls(url: &str) -> (String, Option<String>) {
    let authority = url.strip_prefix("http://").unwrap_or_default();
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, format!(":{port}")),
        None => (authority, String::new()),
    };
    if !host.eq_ignore_ascii_case("localhost") {
        return (url.to_owned(), None);
    }
    (format!("http://127.0.0.1{port}"), Some(format!("http://[::1]{port}")))
}

/// Resolves the operator's gateways by the system, but `localhost` and the names below it, which mean this machine
/// (RFC 6761, 6.3), without it: many systems do not know them.
#[derive(Debug)]
pub struct Localhost;

impl Resolve for Localhost {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            if is_localhost(name.as_str()) {
                let addresses: [SocketAddr; 2] =
                    [(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()];
                return Ok(Box::new(addresses.into_iter()) as Addrs);
            }
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Returns whether a name is `localhost` or below it.
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_localhost_is_requested_by_its_addresses() {
        for (url, one, other) in [
            ("http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"),
            ("http://LocalHost", "http://127.0.0.1", "http://[::1]"),
        ] {
            assert_eq!(gateway_urls(url), (one.to_owned(), Some(other.to_owned())));
        }
        for url in [
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://localhost.example:8080",
            "http://a.localhost:8080",
            // Its certificate is for the name.
            "https://localhost:8443",
        ] {
            assert_eq!(gateway_urls(url), (url.to_owned(), None));
        }
    }

    #[tokio::test]
    async fn names_below_localhost_are_this_machine() {
        for name in ["localhost", "localhost.", "bafkqaaa.ipfs.localhost", "A.IPFS.LOCALHOST"] {
            let found = Localhost.resolve(name.parse().unwrap()).await.unwrap();
            assert!(found.into_iter().all(|address| address.ip().is_loopback()), "{name}");
        }
        assert!(!is_localhost("notlocalhost") && !is_localhost("localhost.example"));
    }
}
