//! What serves other people's images, out of the settings.

use super::AppError;
use crate::config::Settings;
use crate::dnslink::{Past, Resolver};
use crate::registry::{Federation, Roots};
use crate::remote::{Answers, Cache};

/// Opens what serves other people's images, if they are to be served.
///
/// # Errors
/// [`AppError::Federation`] when the cache or a file that the settings name cannot be used.
pub(super) fn open(settings: &Settings) -> Result<Option<Federation>, AppError> {
    let federation = &settings.federation;
    if !federation.enabled {
        return Ok(None);
    }
    let folder = settings.server.data.join("cache");
    let cache = Cache::open(&folder, federation.cache_bytes).map_err(failed)?;
    let answers = Answers::open(&folder.join("answers")).map_err(failed)?;
    let past = Past::open(&folder.join("roots")).map_err(failed)?;
    let roots = roots_by(settings, |resolver| resolver.with_past(past))?;
    Ok(Some(Federation::new(cache, answers, roots, settings.manifests.max_bytes)))
}

/// Opens what finds other people's roots. It needs no data folder.
///
/// # Errors
/// [`AppError::Federation`] when a file that the settings name cannot be used.
pub fn roots(settings: &Settings) -> Result<Roots, AppError> {
    roots_by(settings, |resolver| resolver)
}

fn roots_by(
    settings: &Settings,
    equip: impl FnOnce(Resolver) -> Resolver,
) -> Result<Roots, AppError> {
    let federation = &settings.federation;
    let resolver = equip(Resolver::open(&settings.dnslink).map_err(failed)?);
    Roots::new(federation.domains.clone(), resolver, &federation.gateways).map_err(failed)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> AppError {
    AppError::Federation(Box::new(error))
}
