//! Whose images are served beside the registry's own.

use super::{ExternalUrl, SettingsError, Values};
use crate::oci::is_domain;

/// Whose images are served beside the registry's own.
#[derive(Debug, Clone)]
pub struct FederationSettings {
    /// Whether images below other people's roots are served.
    pub enabled: bool,
    /// Of which domains alone, if not of all; then roots by CID or key are not served either.
    pub domains: Vec<String>,
    /// Values of the `Host` header that stand for the domain of the same name.
    pub hosts: Vec<String>,
    /// Trustless gateways that are asked beside those that a domain names, without a slash at the end.
    pub gateways: Vec<String>,
    /// How many bytes of other people's content are kept at the most.
    pub cache_bytes: u64,
}

impl FederationSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        let domains = |name| {
            let domains = values.list(name);
            let are_domains = domains.iter().all(|domain| is_domain(domain));
            if are_domains { Ok(domains) } else { Err(values.refuse(name)) }
        };
        let gateways = values.list("federation.gateways");
        let gateways: Option<Vec<String>> =
            gateways.iter().map(|url| ExternalUrl::parse(url).map(|url| url.to_string())).collect();
        Ok(Self {
            enabled: values.flag("federation.enabled"),
            domains: domains("federation.domains")?,
            hosts: domains("federation.hosts")?,
            gateways: gateways.ok_or_else(|| values.refuse("federation.gateways"))?,
            cache_bytes: values.number("federation.cache_bytes"),
        })
    }
}
