//! What serves foreign images, out of the settings.

use std::path::PathBuf;
use std::sync::Arc;

use super::AppError;
use crate::config::{AnonymousAccess, FederationNode, Settings};
use crate::dnslink::{PersistentCache, Resolver};
use crate::kubo::Kubo;
use crate::registry::{Federation, OwnNode, Roots, own_sources};
use crate::remote::{Cache, CacheLimits, LinkCache, ReadLimits, Remote};

/// Opens what serves foreign images, if they are to be served.
///
/// # Errors
/// [`AppError::Federation`] when the cache or a file that the settings name cannot be used.
pub(super) fn open(settings: &Settings) -> Result<Option<Federation>, AppError> {
    let federation = &settings.federation;
    if !federation.enabled {
        return Ok(None);
    }
    tell_default(settings);
    let folder = settings.server.data.join("cache");
    let limits = CacheLimits {
        bytes: federation.cache_bytes,
        files: federation.cache_files,
        root_bytes: federation.cache_root_bytes(),
    };
    let cache = Cache::open_within(&folder, limits).map_err(failed)?;
    let answers = LinkCache::open(&folder.join("answers")).map_err(failed)?;
    let persistent = PersistentCache::open(&folder.join("roots")).map_err(failed)?;
    let node = node(settings, Some(folder.join("peers")))?;
    let roots = roots_by(settings, node, |resolver| resolver.with_persistent_cache(persistent))?;
    let longest = settings.manifests.max_bytes;
    let ahead = federation.fetch_ahead_bytes;
    let limits = ReadLimits {
        reads: federation.max_reads,
        reads_per_root: federation.max_reads_per_root,
        bytes: federation.max_read_bytes,
    };
    Ok(Some(Federation::new(cache, answers, roots, longest, limits, ahead)))
}

/// Names the setting where its default bounds anonymous clients that there may be.
fn tell_default(settings: &Settings) {
    if settings.federation.anonymous.is_some() || !settings.auth.lets_everybody_pull() {
        return;
    }
    let bound = match settings.anonymous_access() {
        AnonymousAccess::Any => return,
        AnonymousAccess::Listed => "listed",
        AnonymousAccess::Cached => "cached",
        AnonymousAccess::None => "none",
    };
    tracing::warn!(
        "`federation.anonymous` is not set, so it is `{bound}`: what anonymous clients get of other registries' images"
    );
}

/// Opens what finds foreign roots. It needs no data folder.
///
/// # Errors
/// [`AppError::Federation`] when a file that the settings name cannot be used.
pub fn roots(settings: &Settings) -> Result<Roots, AppError> {
    roots_by(settings, node(settings, None)?, |resolver| resolver)
}

/// Opens the operator's own sources, from which content is fetched again that was lost here; none where there are none.
///
/// # Errors
/// [`AppError::Federation`] when there can be no client.
pub fn sources(settings: &Settings) -> Result<Option<Remote>, AppError> {
    own_sources(&settings.federation.gateways, node(settings, None)?).map_err(failed)
}

fn roots_by(
    settings: &Settings,
    node: Option<OwnNode>,
    equip: impl FnOnce(Resolver) -> Resolver,
) -> Result<Roots, AppError> {
    let federation = &settings.federation;
    let resolver = equip(Resolver::open(&settings.dnslink).map_err(failed)?);
    Roots::new(federation.domains.clone(), resolver, &federation.gateways, node).map_err(failed)
}

/// Returns the node that fetches foreign content, if there is one.
fn node(settings: &Settings, notes: Option<PathBuf>) -> Result<Option<OwnNode>, AppError> {
    let (federation, storage) = (&settings.federation.kubo, &settings.storage);
    let (api, token) = match &federation.node {
        FederationNode::At(api) => (api, &federation.token),
        FederationNode::Storage if storage.driver == "kubo" => {
            (&storage.kubo.api, &storage.kubo.token)
        }
        FederationNode::Storage | FederationNode::Off => return Ok(None),
    };
    // Its gateway fetches nothing, and is not used.
    let kubo = Kubo::new(api.clone(), api.clone(), token.clone()).map_err(failed)?;
    Ok(Some(OwnNode { kubo: Arc::new(kubo), keep_peers: federation.keep_peers, notes }))
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> AppError {
    AppError::Federation(Box::new(error))
}
