//! What publishes the root, out of the settings; and how another process has a running server do it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::AppError;
use crate::config::{NameServer, Settings};
use crate::dnslink::{Gateway, Guard, Hint, PROVIDERS, Zone};
use crate::registry::{Publisher, Registry, Terms, Wish};

/// The file in the data folder by which a server is asked to publish at once.
const REQUEST: &str = "publish";

/// What it begins with when that shall overwrite what others have written, and otherwise; a token follows.
const FORCE: &str = "force ";
const NOW: &str = "now ";

/// How often a server looks for it.
const TICK: Duration = Duration::from_millis(250);

/// Opens what publishes the root of a registry, if it is to be published. It needs no lock on the data folder.
///
/// # Errors
/// [`AppError::Publish`] when the settings name what cannot be used.
pub fn publisher(settings: &Settings, registry: &Registry) -> Result<Option<Publisher>, AppError> {
    let publish = &settings.publish;
    if !publish.is_wanted() {
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
    let terms = Terms {
        domain,
        debounce: publish.debounce,
        ttl: publish.ttl,
        keep: publish.keep,
        hints: publish.hint.clone(),
        gateway: url.and_then(|url| Some(Gateway::from_url(url.as_str())?.multiaddr())),
        guard: Guard { allow_private: settings.dnslink.allow_private_addresses },
    };
    Ok(Some(Publisher::new(registry.clone(), provider, zone, terms)))
}

/// Asks the server that runs on a data folder to publish at once; with `force` over what others have written.
/// Whoever takes the request takes the file away. Returns that file, and the token by which the answer is known.
///
/// # Errors
/// [`AppError::Folder`] when the folder cannot be written to.
pub fn request_publication(data: &Path, force: bool) -> Result<(PathBuf, String), AppError> {
    let (path, draft) = (data.join(REQUEST), data.join(format!("{REQUEST}.draft")));
    let token = Uuid::new_v4().to_string();
    let written = fs::write(&draft, format!("{}{token}", if force { FORCE } else { NOW }));
    written
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(|source| AppError::Folder { data: data.to_owned(), source })?;
    Ok((path, token))
}

/// Publishes what changes, and when somebody asks for it. Never returns.
pub(super) async fn keep_published(publisher: Arc<Publisher>, data: PathBuf) {
    let watching = async {
        loop {
            tokio::time::sleep(TICK).await;
            match take_request(&data.join(REQUEST)) {
                Ok(Some((wish, token))) => publisher.ask(wish, token),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "could not read a request to publish"),
            }
        }
    };
    tokio::join!(publisher.run(), watching);
}

/// Takes a request, if there is one.
fn take_request(path: &Path) -> io::Result<Option<(Wish, String)>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            fs::remove_file(path)?;
            Ok(Some(match text.strip_prefix(FORCE) {
                Some(token) => (Wish::Force, token.to_owned()),
                None => (Wish::Now, text.trim_start_matches(NOW).to_owned()),
            }))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn refused(setting: &str, error: impl std::fmt::Display) -> AppError {
    AppError::Publish(format!("{setting}: {error}"))
}
