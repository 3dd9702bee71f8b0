//! The DNS servers that are queried, each with a client of its own, so that one which is down or
//! refuses does not affect the others.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::serialize::txt::ParseError;
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{TlsConfig, TokioResolver};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::wildcard::Prover;
use super::{DnslinkError, DnslinkErrorKind, Result, SetupError};
use crate::config::{DnsServer, DnslinkSettings};

/// How long one server may take for one query.
pub(super) const QUERY_TIME: Duration = Duration::from_secs(3);

/// The settings to make a client of each server.
pub(super) struct Servers {
    given: Vec<DnsServer>,
    anchors: Option<Arc<TrustAnchors>>,
    tls: Option<ClientConfig>,
    clients: Mutex<Option<Arc<[Client]>>>,
}

/// The client of one server.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) resolver: TokioResolver,
    /// Present if answers are validated: it checks those that the library refuses, but should not.
    pub(super) prover: Option<Prover>,
}

impl Servers {
    /// Reads the files of the settings. It queries no server.
    pub(super) fn open(settings: &DnslinkSettings) -> std::result::Result<Self, SetupError> {
        let anchors = match (&settings.trust_anchors, settings.dnssec) {
            (_, false) => None,
            (None, true) => Some(Arc::new(TrustAnchors::default())),
            (Some(path), true) => Some(Arc::new(trust_anchors(path)?)),
        };
        let tls = settings.https_authority.as_deref().map(tls).transpose()?;
        Ok(Self { given: settings.servers.clone(), anchors, tls, clients: Mutex::new(None) })
    }

    /// Whether answers are validated.
    pub(super) fn is_validating(&self) -> bool {
        self.anchors.is_some()
    }

    /// Returns a client of each server, in the order in which they are queried. At the first call, and after
    /// [`forget`](Self::forget), the settings of the system are read, and names of servers looked up.
    pub(super) async fn clients(&self) -> Result<Arc<[Client]>> {
        if let Some(clients) = &*self.lock() {
            return Ok(clients.clone());
        }
        let mut made = Vec::new();
        for server in self.name_servers().await? {
            made.push(self.client(server)?);
        }
        let clients: Arc<[Client]> = made.into();
        *self.lock() = Some(clients.clone());
        Ok(clients)
    }

    /// Makes the clients anew at the next call: no server answers, and the system may have changed its network.
    pub(super) fn forget(&self) {
        let may_change = |server: &DnsServer| match server {
            DnsServer::Plain(_) => false,
            DnsServer::Https { host, .. } => host.parse::<IpAddr>().is_err(),
        };
        if self.given.is_empty() || self.given.iter().any(may_change) {
            *self.lock() = None;
        }
    }

    async fn name_servers(&self) -> Result<Vec<NameServerConfig>> {
        if self.given.is_empty() {
            let (config, _) = read_system_conf()
                .map_err(|error| unavailable("the system has no DNS server configured", error))?;
            return Ok(config.name_servers().to_vec());
        }
        let mut found = Vec::new();
        for server in &self.given {
            match server {
                DnsServer::Plain(address) => found.push(plain(*address)),
                DnsServer::Https { host, port, path } => {
                    // Another server may replace one that cannot be found.
                    if let Ok(ip) = address_of(host, *port).await {
                        found.push(https(ip, host, *port, path));
                    }
                }
            }
        }
        if found.is_empty() {
            let context = "none of `dnslink.servers` has a known address";
            return Err(DnslinkError::new(DnslinkErrorKind::Unavailable, context));
        }
        Ok(found)
    }

    fn client(&self, server: NameServerConfig) -> Result<Client> {
        let config = ResolverConfig::from_name_servers(vec![server.clone()]);
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        let options = builder.options_mut();
        options.timeout = QUERY_TIME;
        // The resolver still repeats a query over UDP within that time.
        options.attempts = 0;
        // The name cache decides which answers are cached, and for how long.
        options.cache_size = 0;
        let options = options.clone();
        if let Some(anchors) = &self.anchors {
            builder = builder.with_trust_anchor(anchors.clone());
        }
        if let Some(tls) = &self.tls {
            builder = builder.with_tls_config(tls.clone());
        }
        let unusable = |error| unavailable("cannot use the DNS", error);
        let prover = match &self.anchors {
            None => None,
            Some(anchors) => {
                let tls = match &self.tls {
                    Some(config) => TlsConfig { config: config.clone() },
                    None => TlsConfig::new().map_err(unusable)?,
                };
                Some(Prover::new(server, options, tls, Arc::clone(anchors)))
            }
        };
        Ok(Client { resolver: builder.build().map_err(unusable)?, prover })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<[Client]>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn plain(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

fn https(ip: IpAddr, host: &str, port: u16, path: &str) -> NameServerConfig {
    let mut server = NameServerConfig::https(ip, host.into(), Some(path.into()));
    for connection in &mut server.connections {
        connection.port = port;
    }
    server
}

/// Finds the address of a server that is given by name, by the servers of the system.
async fn address_of(host: &str, port: u16) -> std::io::Result<IpAddr> {
    if let Ok(ip) = host.parse() {
        return Ok(ip);
    }
    let mut found = tokio::net::lookup_host((host, port)).await?;
    found.next().map(|address| address.ip()).ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

fn trust_anchors(path: &Path) -> std::result::Result<TrustAnchors, SetupError> {
    let unusable = |error: Cause| unusable("dnslink.trust_anchors", path, error);
    let text = fs::read_to_string(path).map_err(|error| unusable(error.into()))?;
    text.parse().map_err(|error: ParseError| unusable(error.into()))
}

fn tls(path: &Path) -> std::result::Result<ClientConfig, SetupError> {
    let unusable = |error: Cause| unusable("dnslink.https_authority", path, error);
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.into()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(error.into()))?;
        roots.add(certificate).map_err(|error| unusable(error.into()))?;
    }
    if roots.is_empty() {
        return Err(unusable("no certificate in it".into()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.into()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

fn unusable(setting: &'static str, path: &Path, source: Cause) -> SetupError {
    SetupError { setting, path: path.to_owned(), source }
}

fn unavailable(context: &str, error: impl Into<Cause>) -> DnslinkError {
    DnslinkError::wrap(DnslinkErrorKind::Unavailable, context, error)
}
