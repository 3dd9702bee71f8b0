//! What there is to see of repositories and their images, for who may read them.

use super::{Registry, RegistryError, Result};
use crate::auth::{CatalogGrant, PullGrant};
use crate::index::{ImageSize, RepositoryContents, SeenImage, SeenRepository, Usage};
use crate::oci::{CanonicalDigest, Reference, RepositoryName};

impl Registry {
    /// Lists the tags of a repository with their images, bytewise after `last`, at most `limit`. Pulls of the last seconds
    /// may be missing.
    ///
    /// # Errors
    /// [`RegistryError::NameUnknown`] if the repository is not there, or not this registry's own.
    pub async fn tagged_images(
        &self,
        grant: &PullGrant,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SeenImage>> {
        let name = own(grant)?;
        Ok(self.index.tagged_images(name, last, limit).await?)
    }

    /// Finds an image of a repository.
    ///
    /// # Errors
    /// As [`Registry::tagged_images`]; [`RegistryError::ManifestUnknown`]
    pub async fn seen_image(&self, grant: &PullGrant, reference: &Reference) -> Result<SeenImage> {
        let name = own(grant)?;
        let found = match reference {
            Reference::Tag(tag) => self.index.tagged_image(name, tag).await?,
            Reference::Digest(digest) => self.index.image(name, digest).await?,
        };
        found.ok_or_else(|| RegistryError::ManifestUnknown(reference.to_string(), name.clone()))
    }

    /// Measures an image that was found in a repository.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn image_size(
        &self,
        repository: &RepositoryName,
        image: &CanonicalDigest,
    ) -> Result<ImageSize> {
        Ok(self.index.image_size(repository, image).await?)
    }

    /// Says what a repository has that was found; none if it is gone.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn repository_contents(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<RepositoryContents>> {
        Ok(self.index.repository_contents(repository).await?)
    }

    /// Lists repositories that have a manifest with their visibility, where clients have no accounts: bytewise after `last`,
    /// at most `limit`.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn all_repositories(
        &self,
        _grant: &CatalogGrant,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SeenRepository>> {
        Ok(self.index.all_repositories(last, limit).await?)
    }

    /// Lists what namespaces have, by their names, where clients have no accounts: after `last`, at most `limit`.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn usage(
        &self,
        _grant: &CatalogGrant,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, Usage)>> {
        Ok(self.index.usage_after(last, limit).await?)
    }
}

/// Returns the repository that a grant allows to read, if it is there.
fn own(grant: &PullGrant) -> Result<&RepositoryName> {
    let name = grant.repository();
    match grant.record() {
        Some(_) => Ok(name),
        None => Err(RegistryError::NameUnknown(name.clone())),
    }
}
