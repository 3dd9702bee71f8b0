//! Where the registry listens, and where its data stand.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{ExternalUrl, SettingsError, Values};
use crate::oci::{RepositoryName, is_domain};

/// Where the registry listens, and where its data stand.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The folder that holds everything.
    pub data: PathBuf,
    /// The URL by which clients reach the registry; none: locations are relative.
    pub external_url: Option<ExternalUrl>,
    /// Domains that are this registry's own: below them stand its own repositories.
    pub domains: Vec<String>,
    /// First components that are local although they look like somebody's root.
    pub local_namespaces: Vec<String>,
    /// With which certificate connections are encrypted; none: they are not.
    pub tls: Option<TlsSettings>,
    /// How long transfers may still run when the server is told to stop.
    pub shutdown_grace: Duration,
    /// How long a change waits to be committed before the client is told to come back.
    pub request_timeout: Duration,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The file of the certificate, with those that lead to a known authority behind it.
    pub certificate: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
}

impl TlsSettings {
    fn read(values: &Values) -> Result<Option<Self>, SettingsError> {
        let [certificate, key] = ["server.tls.certificate", "server.tls.key"];
        match (values.path(certificate)?, values.path(key)?) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(Self { certificate, key })),
            (Some(_), None) => Err(SettingsError::Needs { given: certificate, missing: key }),
            (None, Some(_)) => Err(SettingsError::Needs { given: key, missing: certificate }),
        }
    }
}

impl ServerSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        let local_namespaces = values.list("server.local_namespaces");
        if !local_namespaces.iter().all(|component| is_component(component)) {
            return Err(values.refuse("server.local_namespaces"));
        }
        let domains = values.list("server.domains");
        if !domains.iter().all(|domain| is_domain(domain)) {
            return Err(values.refuse("server.domains"));
        }
        Ok(Self {
            listen: values.parse("server.listen", |text| text.parse().ok())?,
            data: values
                .parse("server.data", |text| (!text.is_empty()).then(|| PathBuf::from(text)))?,
            external_url: values.parse("server.external_url", |text| match text {
                "" => Some(None),
                url => ExternalUrl::parse(url).map(Some),
            })?,
            domains,
            local_namespaces,
            tls: TlsSettings::read(values)?,
            shutdown_grace: values.duration("server.shutdown_grace")?,
            request_timeout: values.positive_duration("server.request_timeout")?,
        })
    }
}

fn is_component(text: &str) -> bool {
    !text.contains('/') && text.parse::<RepositoryName>().is_ok()
}
