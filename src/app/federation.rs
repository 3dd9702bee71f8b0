//! What serves other people's images, out of the settings.

use super::AppError;
use crate::config::Settings;
use crate::dnslink::Resolver;
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
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| AppError::Federation(error);
    let resolver =
        Resolver::open(&settings.dnslink, None).map_err(|error| failed(Box::new(error)))?;
    let roots = Roots::new(federation.domains.clone(), resolver, &federation.gateways)
        .map_err(|error| failed(Box::new(error)))?;
    let cache = Cache::open(&settings.server.data.join("cache"), federation.cache_bytes)
        .map_err(|error| failed(Box::new(error)))?;
    let answers = Answers::open(&settings.server.data.join("cache/answers"))
        .map_err(|error| failed(Box::new(error)))?;
    Ok(Some(Federation::new(cache, answers, roots, settings.manifests.max_bytes)))
}
