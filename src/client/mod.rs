//! A client of any registry that follows the OCI distribution specification.
//!
//! Tests and benchmarks use it, and commands that push and pull. It signs in as the registry demands, checks all that is
//! named by a digest, and goes on where a network cut a transfer. Each request has a time limit, each answer a limit to
//! its size. It never keeps a whole blob in memory, sends no credentials to another host without TLS, and knows nothing
//! of the registry that this crate is.

mod blobs;
mod challenge;
mod content;
mod error;
mod manifests;
mod pages;
mod push;
mod referrers;
mod repository;
mod request;
mod response;
mod retries;
mod token;
mod uploads;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Url, redirect};
use secrecy::SecretString;

use self::token::{Authorizer, Scope};
use crate::https;
use crate::oci::RepositoryName;

pub use blobs::BlobReader;
pub use content::Content;
pub use error::{ClientError, ClientErrorKind, RegistryMessage};
pub use manifests::FetchedManifest;
pub use pages::Pages;
pub use referrers::Referrer;
pub use repository::Repository;
pub use uploads::{Mount, Upload};

/// What every operation of this room returns.
pub type Result<T> = std::result::Result<T, ClientError>;

/// How many redirects of a GET or HEAD are followed.
const REDIRECTS: usize = 5;

/// A client of one registry: cheap to clone, safe to use from many tasks.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    base: Url,
    /// Follows redirects, for requests that change nothing.
    following: reqwest::Client,
    direct: reqwest::Client,
    authorizer: Authorizer,
    timeouts: Timeouts,
    limits: Limits,
}

/// How a client speaks to its registry.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Who signs in; an anonymous client if nobody.
    pub credentials: Option<Credentials>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Limits to the size of answers.
    pub limits: Limits,
    /// Accepts any certificate, which makes TLS worth nothing against an attacker.
    pub accepts_any_certificate: bool,
}

/// A user and a password, or what stands for them.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

/// Time limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// How long a connection may take.
    pub connect: Duration,
    /// How long an answer may take to begin, counted from when the connection took the last bytes of the request.
    pub answer: Duration,
    /// How long an answer may pause once it has begun.
    pub silence: Duration,
}

/// Limits to the size of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest manifest in bytes.
    pub manifest: usize,
    /// The largest page of a list in bytes.
    pub page: usize,
    /// The most entries of a list, over all pages.
    pub entries: usize,
    /// The largest blob in bytes.
    pub blob: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        // Registries that store blobs elsewhere copy them before they answer a PUT.
        let answer = Duration::from_mins(3);
        Self { connect: Duration::from_secs(10), answer, silence: Duration::from_secs(30) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        // The stock registry takes manifests of up to 4 MiB.
        Self { manifest: 4 << 20, page: 16 << 20, entries: 1_000_000, blob: 1 << 40 }
    }
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
        let Options { credentials, timeouts, limits, accepts_any_certificate } = options;
        let failed = |error| ClientError::transport("cannot make a client", error);
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("roadstead/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(timeouts.connect)
                .tls_danger_accept_invalid_certs(accepts_any_certificate)
                .referer(false)
                .tcp_nodelay(true);
            // As Go's clients do it: a proxy cannot reach this machine's own registry.
            if is_local(&base) { builder.no_proxy() } else { builder }
        };
        let direct = || builder().redirect(redirect::Policy::none());
        let direct = https::build(direct).map_err(failed)?;
        let following = || builder().redirect(redirect::Policy::custom(follow));
        let following = https::build(following).map_err(failed)?;
        let authorizer = Authorizer::new(base.clone(), credentials, direct.clone(), timeouts);
        let shared = Shared { base, following, direct, authorizer, timeouts, limits };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns one of the registry's repositories; nothing is sent yet.
    ///
    /// ```
    /// use roadstead::client::Client;
    ///
    /// let client = Client::new("http://localhost:5000")?;
    /// let repository = client.repository(&"team/app".parse()?);
    /// assert_eq!(repository.name().as_str(), "team/app");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn repository(&self, name: &RepositoryName) -> Repository {
        Repository::new(self.clone(), name.clone())
    }

    /// Checks that there is a registry, and that it lets the client in (distribution-spec, "Determining support").
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// Client::new("https://registry.example")?.ping().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::Unauthorized`] if the credentials are missing or wrong; [`ClientErrorKind::NotFound`] and
    /// others if there is no registry.
    pub async fn ping(&self) -> Result<()> {
        let context = format!("cannot reach the registry {}", self.host());
        let request = self.request(Method::GET, self.url("/v2/", &[]), Scope::default(), context);
        request.expect(&[200]).await.map(drop)
    }

    /// Lists the names of the repositories that the client may see, page by page. Many registries have no such list.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// for name in Client::new("http://localhost:5000")?.repositories().all().await? {
    ///     println!("{name}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn repositories(&self) -> Pages<RepositoryName> {
        let context = format!("cannot list the repositories of {}", self.host());
        let url = self.url("/v2/_catalog", &[]);
        Pages::new(self.clone(), url, Scope::catalog(), context, pages::repositories)
    }

    /// Returns the host and port.
    fn host(&self) -> String {
        let host = self.shared.base.host_str().unwrap_or_default();
        self.shared.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
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
