//! Grants: a repository's name and who asks, together with the right to do something there. Only
//! this room can make one.

use super::{AuthError, Identity};
use crate::oci::{ForeignName, RepositoryName};

/// The right to read a repository.
#[derive(Debug, Clone)]
pub struct PullGrant {
    granted: Granted,
    foreign: Option<ForeignName>,
    cache_only: Option<AuthError>,
}

/// The right to write to a repository.
#[derive(Debug, Clone)]
pub struct PushGrant(Granted);

/// The right to delete from a repository.
#[derive(Debug, Clone)]
pub struct DeleteGrant(Granted);

/// The right to list all repositories.
#[derive(Debug, Clone)]
pub struct CatalogGrant(());

/// What each right about a repository carries.
#[derive(Debug, Clone)]
struct Granted {
    repository: RepositoryName,
    identity: Identity,
}

impl PullGrant {
    pub(super) fn new(
        repository: RepositoryName,
        foreign: Option<ForeignName>,
        identity: Identity,
        cache_only: Option<AuthError>,
    ) -> Self {
        Self { granted: Granted { repository, identity }, foreign, cache_only }
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.granted.repository
    }

    /// Returns whose it is and its name there, if it is not this registry's own.
    #[must_use]
    pub fn foreign(&self) -> Option<&ForeignName> {
        self.foreign.as_ref()
    }

    /// Returns the answer to what is not in the cache, where nothing may be looked up or fetched for this
    /// client.
    #[must_use]
    pub fn cache_only(&self) -> Option<&AuthError> {
        self.cache_only.as_ref()
    }

    /// Returns who reads.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.granted.identity
    }
}

impl PushGrant {
    pub(super) fn new(repository: RepositoryName, identity: Identity) -> Self {
        Self(Granted { repository, identity })
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.0.repository
    }

    /// Returns who writes.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }
}

impl DeleteGrant {
    pub(super) fn new(repository: RepositoryName, identity: Identity) -> Self {
        Self(Granted { repository, identity })
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.0.repository
    }

    /// Returns who deletes.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }
}

impl CatalogGrant {
    pub(super) fn new() -> Self {
        Self(())
    }
}
