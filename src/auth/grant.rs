//! Grants: a repository's name, what is known of it, and its caller, together with the right to do something there. Only
//! this room can make one.

use super::accounts::Bounded;
use super::{AuthError, Caller};
use crate::oci::{ForeignName, RepositoryIdentity, RepositoryName, RepositoryRecord, RootName};

/// The right to read a repository.
#[derive(Debug, Clone)]
pub struct PullGrant {
    granted: Granted,
    foreign: Option<ForeignName>,
    cache_only: Option<AuthError>,
    own: Option<RepositoryName>,
    instead_of: Option<(RootName, AuthError)>,
}

/// The right to write to a repository.
#[derive(Debug, Clone)]
pub struct PushGrant(Granted);

/// The right to delete from a repository.
#[derive(Debug, Clone)]
pub struct DeleteGrant(Granted);

/// The right to say who may see a repository.
#[derive(Debug, Clone)]
pub struct VisibilityGrant(Granted);

/// The right to remove a repository.
#[derive(Debug, Clone)]
pub struct RemovalGrant(Granted);

/// The right to list repositories: those that the caller may see.
#[derive(Debug, Clone)]
pub struct CatalogGrant(Caller);

/// What each right about a repository carries.
#[derive(Debug, Clone)]
struct Granted {
    repository: RepositoryName,
    record: Option<RepositoryRecord>,
    caller: Caller,
}

impl PullGrant {
    pub(super) fn new(
        repository: RepositoryName,
        record: Option<RepositoryRecord>,
        foreign: Option<ForeignName>,
        caller: Caller,
        cache_only: Option<AuthError>,
    ) -> Self {
        let granted = Granted { repository, record, caller };
        Self { granted, foreign, cache_only, own: None, instead_of: None }
    }

    /// Adds the repository of this registry that may be read in its stead.
    pub(super) fn or(self, own: Option<RepositoryName>) -> Self {
        Self { own, ..self }
    }

    /// Says that it stands in for a repository below a root, which is refused.
    pub(super) fn instead_of(self, root: RootName, refusal: AuthError) -> Self {
        Self { instead_of: Some((root, refusal)), ..self }
    }

    /// Returns the right to read the repository of this registry that may stand in for a foreign one, if there
    /// may be one.
    #[must_use]
    pub fn own(&self) -> Option<Self> {
        let own = self.own.clone()?;
        Some(Self::new(own, None, None, self.granted.caller.clone(), None))
    }

    /// Returns below which root the repository is for which this one stands in, and the answer where this one is
    /// not there.
    #[must_use]
    pub fn refused(&self) -> Option<&(RootName, AuthError)> {
        self.instead_of.as_ref()
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.granted.repository
    }

    /// Returns what is known of the repository; none if it is not there, or not this registry's own.
    #[must_use]
    pub fn record(&self) -> Option<&RepositoryRecord> {
        self.granted.record.as_ref().filter(|_| self.foreign.is_none())
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

    /// Returns the caller who reads.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.granted.caller
    }
}

impl PushGrant {
    pub(super) fn new(
        repository: RepositoryName,
        record: Option<RepositoryRecord>,
        caller: Caller,
    ) -> Self {
        Self(Granted { repository, record, caller })
    }

    /// Returns what is known of the repository; none if it is not there yet: what is written to it makes it.
    #[must_use]
    pub fn record(&self) -> Option<&RepositoryRecord> {
        self.0.record.as_ref()
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.0.repository
    }

    /// Returns which repository it is, if it is there: what is written is written to that one, and makes no other.
    #[must_use]
    pub fn identity(&self) -> Option<RepositoryIdentity> {
        self.record().map(RepositoryRecord::identity)
    }

    /// Returns the caller who writes.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }
}

impl DeleteGrant {
    pub(super) fn new(
        repository: RepositoryName,
        record: Option<RepositoryRecord>,
        caller: Caller,
    ) -> Self {
        Self(Granted { repository, record, caller })
    }

    /// Returns what is known of the repository; none if it is not there.
    #[must_use]
    pub fn record(&self) -> Option<&RepositoryRecord> {
        self.0.record.as_ref()
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.0.repository
    }

    /// Returns the caller who deletes.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }
}

impl VisibilityGrant {
    pub(super) fn new(
        repository: RepositoryName,
        record: Option<RepositoryRecord>,
        caller: Caller,
    ) -> Self {
        Self(Granted { repository, record, caller })
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.0.repository
    }

    /// Returns the caller who changes it.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }
}

impl RemovalGrant {
    pub(super) fn new(
        repository: RepositoryName,
        record: Option<RepositoryRecord>,
        caller: Caller,
    ) -> Self {
        Self(Granted { repository, record, caller })
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.0.repository
    }

    /// Returns the caller who removes it.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }
}

impl CatalogGrant {
    pub(super) fn new(caller: Caller) -> Self {
        Self(caller)
    }

    /// Returns the caller who lists.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0
    }

    /// Returns what bounds the list, if not all repositories are on it.
    #[must_use]
    pub fn bound(&self) -> Option<&Bounded> {
        self.0.rights.as_deref()
    }
}
