//! Requests on behalf of another registry (containerd's `?ns=`): whose repository answers them.

use std::time::Duration;

use super::error::not_fetched;
use super::{Registry, RegistryError, Result};
use crate::auth::PullGrant;
use crate::dnslink::DnslinkErrorKind;

/// How long the domain is looked up where a repository of this registry can answer.
const WITH_OWN: Duration = Duration::from_millis(500);

impl Registry {
    /// Returns the grant that a request is answered under. One on behalf of a domain that has ever published a root is
    /// answered from there. Else a repository of this registry that has the name answers.
    ///
    /// # Errors
    /// [`RegistryError::NamespaceUnserved`] when neither is there; [`RegistryError::NotFetched`] and
    /// [`RegistryError::FederationDenied`]
    pub async fn choose_repository(&self, grant: PullGrant) -> Result<PullGrant> {
        if let (Some((root, refusal)), Some(federation)) = (grant.refused(), &self.federation) {
            let stands_in = !federation.was_found(root).await
                && self.index.repository_exists(grant.repository()).await?;
            return if stands_in { Ok(grant) } else { Err(not_fetched(refusal)) };
        }
        let Some(own) = grant.own() else { return Ok(grant) };
        let (Some(federation), Some(name)) = (&self.federation, grant.foreign()) else {
            return Ok(own);
        };
        let (domain, repository) = (&name.root, own.repository());
        let allowed = federation.allow(domain);
        // What it published serves on, or the client learns why not: nothing else takes its name.
        if federation.was_found(domain).await {
            return allowed.map(|()| grant);
        }
        let has_own = self.index.repository_exists(repository).await?;
        let refused = allowed.err().or_else(|| grant.cache_only().map(not_fetched));
        if let Some(refused) = refused {
            return if has_own { Ok(own) } else { Err(refused) };
        }
        let Err(error) = federation.look_up(domain, has_own.then_some(WITH_OWN)).await else {
            return Ok(grant);
        };
        match error.kind {
            // It publishes something, and that is wrong.
            DnslinkErrorKind::Invalid | DnslinkErrorKind::Loop | DnslinkErrorKind::TooLong => {
                Err(error.into())
            }
            DnslinkErrorKind::NotFound
            | DnslinkErrorKind::Unavailable
            | DnslinkErrorKind::TooMany
                if has_own =>
            {
                tracing::debug!(%domain, %repository, %error, "serving the own repository instead of a domain's");
                Ok(own)
            }
            DnslinkErrorKind::TooMany => Err(error.into()),
            DnslinkErrorKind::NotFound | DnslinkErrorKind::Unavailable => {
                let (domain, repository) = (domain.to_string(), repository.clone());
                Err(RegistryError::NamespaceUnserved { domain, repository, error })
            }
        }
    }
}
