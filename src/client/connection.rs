//! A client of one registry: where it is, and the connections to it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use reqwest::{Certificate, Url, redirect};

use super::error::{ClientError, ClientErrorKind, Result};
use super::limits::{Limits, Timeouts};
use super::options::Options;
use super::token::{Authorizer, address};
use crate::https;

/// How many redirects of a GET or HEAD are followed.
const REDIRECTS: usize = 5;

/// A client of one registry: cheap to clone, safe to use from many tasks.
#[derive(Clone)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
}

/// What the clones of a client share.
pub(super) struct Shared {
    pub(super) base: Url,
    /// Follows redirects, for requests that change nothing.
    pub(super) following: reqwest::Client,
    pub(super) direct: reqwest::Client,
    pub(super) authorizer: Authorizer,
    pub(super) timeouts: Timeouts,
    pub(super) limits: Limits,
}

impl Client {
    /// Makes a client of the registry at that URL, such as `https://registry.example`; nothing is sent yet.
    ///
    /// ```
    /// use roadstead::client::Client;
    ///
    /// let client = Client::new("http://localhost:5000")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::Input`] if it is not the URL of a host, by `http` or `https`.
    pub fn new(url: &str) -> Result<Self> {
        Self::with(url, Options::default())
    }

    /// Makes a client that speaks to the registry in that way.
    ///
    /// ```
    /// use roadstead::client::{Client, Credentials, Options};
    ///
    /// let credentials = Credentials { user: "anna".to_owned(), password: "secret".into() };
    /// let options = Options { credentials: Some(credentials), ..Options::default() };
    /// let client = Client::with("https://registry.example", options)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::Input`] if it is not the URL of a host, by `http` or `https`.
    pub fn with(url: &str, options: Options) -> Result<Self> {
        let base = read_base(url)?;
        let Options { timeouts, limits, accepts_any_certificate, .. } = options;
        let failed = |error| ClientError::transport("cannot make a client", error);
        let mut authorities = Vec::new();
        for pem in &options.authorities {
            authorities.extend(Certificate::from_pem_bundle(pem).map_err(failed)?);
        }
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("roadstead/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(timeouts.connect)
                .tls_danger_accept_invalid_certs(accepts_any_certificate)
                .referer(false)
                .tcp_nodelay(true);
            let builder = if authorities.is_empty() {
                builder
            } else {
                builder.tls_certs_merge(authorities.clone())
            };
            // As Go's clients do it: a proxy cannot reach this machine's own registry.
            if is_local(&base) { builder.no_proxy() } else { builder }
        };
        let direct = || builder().redirect(redirect::Policy::none());
        let direct = https::build(direct).map_err(failed)?;
        let following = || builder().redirect(redirect::Policy::custom(follow));
        let following = https::build(following).map_err(failed)?;
        let authorizer = Authorizer::new(base.clone(), options, direct.clone());
        let shared = Shared { base, following, direct, authorizer, timeouts, limits };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns the host and port.
    pub(crate) fn host(&self) -> String {
        address(&self.shared.base)
    }

    /// Returns the URL of a path of the registry.
    pub(super) fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.shared.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Client").field(&self.shared.base.as_str()).finish()
    }
}

fn read_base(text: &str) -> Result<Url> {
    let invalid = |reason: &str| {
        // What is not shown may have a password in it.
        ClientError::new(ClientErrorKind::Input, "cannot use the registry's URL", reason)
    };
    let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid("it is not of the form https://host[:port]"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("credentials are given beside it"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("something follows the host and port"));
    }
    Ok(url)
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Follows a redirect, but never out of TLS. The client itself sends no `Authorization` to another host or port.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let leaves_tls = attempt.url().scheme() != "https"
        && attempt.previous().iter().any(|url| url.scheme() == "https");
    if leaves_tls || attempt.previous().len() > REDIRECTS {
        return attempt.error("too many redirects, or one without TLS");
    }
    attempt.follow()
}
