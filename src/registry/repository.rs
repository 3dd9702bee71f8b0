//! The repository that a client reads: one of this registry, or a foreign one. Use cases do not ask which.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::blobs::content;
use super::error::not_fetched;
use super::federation::{Extent, Federation};
use super::referrers::{ReferrersPage, ReferrersQuery, foreign_referrers, own_referrers};
use super::{Blob, Expected, Registry, RegistryError, Result};
use crate::auth::{AuthError, Caller, PullGrant};
use crate::index::{Index, Lookup, ManifestRow};
use crate::oci::{Digest, ForeignName, Reference, RepositoryName, RepositoryRecord, Tag};

/// A repository that a client may read.
pub enum Repository<'a> {
    /// One of this registry.
    Own(Own<'a>),
    /// One below a foreign root.
    Foreign(Foreign<'a>),
}

/// A repository of this registry.
pub struct Own<'a> {
    registry: &'a Registry,
    name: &'a RepositoryName,
    /// What is known of it, where the grant says that.
    record: Option<&'a RepositoryRecord>,
}

/// A repository below a foreign root.
pub struct Foreign<'a> {
    federation: &'a Arc<Federation>,
    name: &'a ForeignName,
    /// Its name here, with the root.
    repository: &'a RepositoryName,
    /// The answer to what is not in the cache, where nothing is fetched for the client.
    refusal: Option<&'a AuthError>,
}

impl Registry {
    /// Returns what is known of a repository of this registry, for the grant that is requested for it; none if it is
    /// not there.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn record(&self, name: &RepositoryName) -> Result<Option<RepositoryRecord>> {
        Ok(self.index.repository(name).await?)
    }

    /// The same for a request of that caller: where a repository is hidden from it, this takes what it takes where there is
    /// none.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn record_for(
        &self,
        caller: &Caller,
        name: &RepositoryName,
    ) -> Result<Option<RepositoryRecord>> {
        let is_shown = |visibility| caller.may_know(name, visibility);
        Ok(self.index.repository_shown(name, is_shown).await?)
    }

    /// Returns the repository that a grant allows to read; whether it is there, each look-up finds out.
    #[must_use]
    pub fn repository<'a>(&'a self, grant: &'a PullGrant) -> Repository<'a> {
        let repository = grant.repository();
        match (&self.federation, grant.foreign()) {
            (Some(federation), Some(name)) => {
                let refusal = grant.cache_only();
                Repository::Foreign(Foreign { federation, name, repository, refusal })
            }
            _ => Repository::Own(Own { registry: self, name: repository, record: grant.record() }),
        }
    }
}

impl Repository<'_> {
    /// Finds a manifest by tag or digest.
    ///
    /// # Errors
    /// [`RegistryError::ManifestUnknown`]; [`RegistryError::RepositoryAbsent`]
    pub async fn manifest(&self, reference: &Reference) -> Result<ManifestRow> {
        match self {
            Self::Own(own) => own.manifest(reference).await,
            Self::Foreign(foreign) => foreign.manifest(reference).await,
        }
    }

    /// Prepares for the requests of a client that is sent the manifest of a foreign image: its blobs begin to be
    /// fetched, as far as the settings say.
    pub fn fetch_ahead(&self, manifest: &ManifestRow) {
        if let Self::Foreign(foreign) = self {
            foreign.fetch_ahead(manifest);
        }
    }

    /// Notes that a client was sent a manifest, which counts as a pull; or without a client that one has looked whether it
    /// is the same still, which only says that it is used. Of foreign images nothing is noted.
    pub fn note_pull(&self, manifest: &ManifestRow, client: Option<IpAddr>) {
        if let Self::Own(Own { registry, name, .. }) = self {
            registry.note_pull(name, &manifest.canonical, client);
        }
    }

    /// Returns the digest of a manifest that a client has already, as far as it is a foreign one: finding that out
    /// is less work than [finding the manifest](Self::manifest). None says nothing.
    ///
    /// # Errors
    /// Those of the lookup.
    pub async fn known_manifest(
        &self,
        reference: &Reference,
        known: &Expected,
    ) -> Result<Option<Digest>> {
        match self {
            Self::Foreign(Foreign { federation, name, refusal: None, .. }) => {
                federation.known_manifest(name, reference, known).await
            }
            Self::Own(_) | Self::Foreign(_) => Ok(None),
        }
    }

    /// Finds a blob of which so much is going to be read: if it is foreign, and all of it is requested, it is on its
    /// way from here.
    ///
    /// # Errors
    /// [`RegistryError::BlobUnknown`]; [`RegistryError::Remote`]
    pub async fn blob(&self, digest: &Digest, extent: Extent) -> Result<Blob> {
        match self {
            Self::Own(own) => own.blob(digest).await,
            // It is long, and what is this registry's own has no use for it.
            Self::Foreign(foreign) => Box::pin(foreign.blob(digest, extent)).await,
        }
    }

    /// Lists tags bytewise after `last`, at most `limit`, and returns whether more follow.
    ///
    /// # Errors
    /// [`RegistryError::NameUnknown`]
    pub async fn tags(&self, last: Option<&str>, limit: u32) -> Result<(Vec<Tag>, bool)> {
        let mut tags = match self {
            Self::Own(own) => own.tags(last, limit.saturating_add(1)).await?,
            Self::Foreign(foreign) => foreign.tags(last).await?,
        };
        let more = tags.len() > limit as usize;
        tags.truncate(limit as usize);
        Ok((tags, more))
    }

    /// Lists manifests whose subject is that digest, whether it is there or not.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn referrers(&self, query: &ReferrersQuery) -> Result<ReferrersPage> {
        match self {
            Self::Own(own) => own_referrers(own.index(), own.name, query).await,
            Self::Foreign(foreign) => {
                foreign.expect_fetched()?;
                foreign_referrers(foreign.federation, foreign.name, query).await
            }
        }
    }

    /// Returns since when the root that a foreign repository is below could not be looked up
    /// again, although that is due: what is known of it may be out of date.
    #[must_use]
    pub fn stale_since(&self) -> Option<Timestamp> {
        match self {
            Self::Own(_) => None,
            Self::Foreign(Foreign { federation, name, refusal: Some(_), .. }) => {
                federation.due_since(name)
            }
            Self::Foreign(Foreign { federation, name, refusal: None, .. }) => {
                federation.stale_since(name)
            }
        }
    }
}

impl Own<'_> {
    fn index(&self) -> &Index {
        &self.registry.index
    }

    /// Where its rows are looked up.
    fn lookup(&self) -> Lookup<'_> {
        self.record.map_or_else(|| self.name.into(), Into::into)
    }

    async fn manifest(&self, reference: &Reference) -> Result<ManifestRow> {
        let found = match reference {
            Reference::Tag(tag) => self.index().tagged_manifest(self.lookup(), tag).await?,
            Reference::Digest(digest) => {
                self.index().renewed_manifest(self.lookup(), digest).await?
            }
        };
        if let Some(found) = found {
            return Ok(found);
        }
        if self.index().repository_exists(self.name).await? {
            return Err(RegistryError::ManifestUnknown(reference.to_string(), self.name.clone()));
        }
        Err(RegistryError::RepositoryAbsent(self.name.clone()))
    }

    async fn blob(&self, digest: &Digest) -> Result<Blob> {
        let row = self.index().renewed_blob(self.lookup(), digest).await?;
        let row = row.ok_or_else(|| RegistryError::BlobUnknown(*digest, self.name.clone()))?;
        Ok(self.registry.own_blob(*digest, content(&row)))
    }

    /// Lists tags after `last`, at most `limit`.
    async fn tags(&self, last: Option<&str>, limit: u32) -> Result<Vec<Tag>> {
        if !self.index().repository_exists(self.name).await? {
            return Err(RegistryError::NameUnknown(self.name.clone()));
        }
        Ok(self.index().tags(self.name, last, limit).await?)
    }
}

impl Foreign<'_> {
    /// Refuses what is not in the cache, where nothing is fetched for the client.
    fn expect_fetched(&self) -> Result<()> {
        match self.refusal {
            Some(refusal) => Err(not_fetched(refusal)),
            None => Ok(()),
        }
    }

    async fn manifest(&self, reference: &Reference) -> Result<ManifestRow> {
        let Self { federation, name, repository, refusal } = self;
        let Some(refusal) = refusal else {
            return federation.manifest(name, repository, reference).await;
        };
        let found = federation.cached_manifest(name, reference).await?;
        found.ok_or_else(|| not_fetched(refusal))
    }

    /// Begins to fetch the blobs of an image, where something is fetched for the client.
    fn fetch_ahead(&self, manifest: &ManifestRow) {
        if self.refusal.is_none() {
            self.federation.fetch_ahead(self.name, manifest);
        }
    }

    async fn blob(&self, digest: &Digest, extent: Extent) -> Result<Blob> {
        let Self { federation, name, repository, refusal } = self;
        let (content, source) = match refusal {
            None => federation.blob(name, repository, digest, extent).await?,
            Some(refusal) => {
                let found = federation.cached_blob(name, digest).await?;
                found.ok_or_else(|| not_fetched(refusal))?
            }
        };
        Ok(Blob::foreign(*digest, content, Arc::clone(federation), source))
    }

    /// Lists all tags after `last`.
    async fn tags(&self, last: Option<&str>) -> Result<Vec<Tag>> {
        self.expect_fetched()?;
        let unknown = || RegistryError::NameUnknown(self.repository.clone());
        let mut tags = self.federation.tags(self.name).await?.ok_or_else(unknown)?;
        tags.retain(|tag| last.is_none_or(|last| tag.as_str() > last));
        Ok(tags)
    }
}
