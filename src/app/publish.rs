//! What publishes the root, out of the settings.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::AppError;
use crate::config::{NameServer, PublishSettings, Settings};
use crate::dnslink::{Gateway, Guard, Hint, PROVIDERS, Zone};
use crate::oci::{Algorithm, Digest};
use crate::registry::{PublishConfig, Publisher, Registry};

/// How long a written record may take until all servers of the zone return it.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Opens what publishes the root of a registry, if it is to be published. It needs no lock on the data folder.
///
/// # Errors
/// [`AppError::Publish`] when the settings name what cannot be used.
pub fn publisher(settings: &Settings, registry: &Registry) -> Result<Option<Publisher>, AppError> {
    let publish = &settings.publish;
    if !publish.is_enabled() {
        return Ok(None);
    }
    let domain = publish.domain.parse().map_err(|error| refused("publish.domain", error))?;
    for hint in &publish.hint {
        hint.parse::<Hint>().map_err(|error| refused(&format!("publish.hint: {hint}"), error))?;
    }
    let kind = PROVIDERS.iter().find(|kind| kind.name == publish.provider);
    let kind = kind
        .ok_or_else(|| AppError::Missing { what: "provider", name: publish.provider.to_owned() })?;
    let provider = (kind.open)(publish).map_err(|error| AppError::Publish(error.to_string()))?;
    let mut servers = publish.servers.clone();
    if servers.is_empty() && publish.rfc2136.server != NameServer::default() {
        servers.push(publish.rfc2136.server.clone());
    }
    let zone = Zone::open(&settings.dnslink, servers).map_err(|error| refused("dnslink", error))?;
    let url = settings.server.external_url.as_ref().filter(|_| settings.gateway.enabled);
    let config = PublishConfig {
        domain,
        debounce: publish.debounce,
        provider_id: provider_id(publish),
        ttl: publish.ttl,
        keep: publish.keep,
        timeouts: TIMEOUT,
        hints: publish.hint.clone(),
        gateway: url.and_then(|url| Some(Gateway::from_url(url.as_str())?.multiaddr())),
        guard: Guard { allow_private: settings.dnslink.allow_private_addresses },
    };
    Ok(Some(Publisher::new(registry.clone(), provider, zone, config)))
}

/// Returns what identifies the provider: another text where any setting of it is another one.
///
/// The index keeps it. So little of a hash reveals nothing of the secrets among the settings.
#[must_use]
pub fn provider_id(settings: &PublishSettings) -> String {
    let PublishSettings { rfc2136, cloudflare, exec, .. } = settings;
    let facts: Vec<&str> = match settings.provider {
        "rfc2136" => vec![
            &rfc2136.server.host,
            &rfc2136.zone,
            &rfc2136.key_name,
            rfc2136.key_algorithm,
            rfc2136.key_secret.expose_secret(),
        ],
        "cloudflare" => vec![
            &cloudflare.api,
            &cloudflare.zone,
            &cloudflare.zone_id,
            cloudflare.token.expose_secret(),
        ],
        _ => exec.command.iter().map(String::as_str).collect(),
    };
    let text = format!("{}\0{}\0{}", settings.provider, rfc2136.server.port, facts.join("\0"));
    Digest::of(Algorithm::Sha256, text.as_bytes()).hex()[..8].to_owned()
}

fn refused(setting: &str, error: impl std::fmt::Display) -> AppError {
    AppError::Publish(format!("{setting}: {error}"))
}
