//! What publishes the root, out of the settings; and how another process has a running server do it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::{AppError, requests};
use crate::config::{NameServer, PublishSettings, Settings};
use crate::dnslink::{Gateway, Guard, Hint, PROVIDERS, Zone};
use crate::oci::{Algorithm, Digest};
use crate::registry::{PublishConfig, Publisher, Registry, Trigger};

/// What the files in the data folder begin with that request publication at once; the token of
/// the request follows.
const REQUEST: &str = "publish-";

/// What they say when that shall overwrite what others have written, and otherwise.
const FORCE: &str = "force";
const NOW: &str = "now";

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

/// Asks the server that runs on a data folder to publish at once; with `force` over what others have written.
/// The process that takes the request takes the file away. Returns that file, and the token that names the answer.
///
/// # Errors
/// [`AppError::Folder`] when the folder cannot be written to.
pub fn request_publication(data: &Path, force: bool) -> Result<(PathBuf, String), AppError> {
    requests::send(data, REQUEST, if force { FORCE } else { NOW }.as_bytes())
}

/// Publishes what changes, and when an operator requests it. Never returns.
pub(super) async fn keep_published(publisher: Arc<Publisher>, data: PathBuf) {
    let watching = async {
        loop {
            tokio::time::sleep(requests::TICK).await;
            if let Err(error) =
                take_requests(&data, |trigger, token| publisher.request(trigger, token)).await
            {
                tracing::warn!(%error, "failed to read a request to publish");
            }
        }
    };
    tokio::join!(publisher.run(), watching);
}

/// Takes all requests that there are, and hands each on.
async fn take_requests(data: &Path, mut request: impl FnMut(Trigger, String)) -> io::Result<()> {
    while let Some((token, text)) = requests::take(data, REQUEST).await? {
        request(if text == FORCE.as_bytes() { Trigger::Force } else { Trigger::Now }, token);
    }
    Ok(())
}

fn refused(setting: &str, error: impl std::fmt::Display) -> AppError {
    AppError::Publish(format!("{setting}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn concurrent_requests_do_not_replace_each_other() {
        let data = TempDir::new().unwrap();
        let requests = [true, false, false].map(|force| request_publication(data.path(), force));
        let mut expected = requests.map(|request| request.unwrap().1);
        let forced = expected[0].clone();
        expected.sort();
        let mut taken = Vec::new();
        take_requests(data.path(), |trigger, token| taken.push((trigger, token))).await.unwrap();
        taken.sort_by(|(_, one), (_, other)| one.cmp(other));
        assert!(taken.iter().map(|(_, token)| token).eq(&expected), "{taken:?}");
        for (trigger, token) in taken {
            assert_eq!(trigger, if token == forced { Trigger::Force } else { Trigger::Now });
        }
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
    }
}
