//! Grants: a repository's name together with the right to do something there. Only this room can
//! make one.

use super::Identity;
use crate::oci::RepositoryName;

/// The right to read a repository.
#[derive(Debug, Clone)]
pub struct PullGrant {
    repository: RepositoryName,
}

impl PullGrant {
    pub(super) fn new(repository: RepositoryName) -> Self {
        Self { repository }
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }
}

/// The right to write to a repository.
#[derive(Debug, Clone)]
pub struct PushGrant {
    repository: RepositoryName,
    identity: Identity,
}

impl PushGrant {
    pub(super) fn new(repository: RepositoryName, identity: Identity) -> Self {
        Self { repository, identity }
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// Returns who writes.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// The right to delete from a repository.
#[derive(Debug, Clone)]
pub struct DeleteGrant {
    repository: RepositoryName,
}

impl DeleteGrant {
    pub(super) fn new(repository: RepositoryName) -> Self {
        Self { repository }
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }
}

/// The right to list all repositories.
#[derive(Debug, Clone)]
pub struct CatalogGrant(());

impl CatalogGrant {
    pub(super) fn new() -> Self {
        Self(())
    }
}
