//! Tags: listing.

use super::{Registry, RegistryError, Result, not_fetched};
use crate::auth::PullGrant;
use crate::oci::Tag;

impl Registry {
    /// Lists tags bytewise after `last`, at most `limit`, and returns whether more follow.
    ///
    /// # Errors
    /// [`RegistryError::NameUnknown`]
    pub async fn tags(
        &self,
        grant: &PullGrant,
        last: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<Tag>, bool)> {
        let repository = grant.repository();
        if let Some((federation, name)) = self.foreign(grant) {
            if let Some(refusal) = grant.cache_only() {
                return Err(not_fetched(refusal));
            }
            let unknown = || RegistryError::NameUnknown(repository.clone());
            let mut tags = federation.tags(name).await?.ok_or_else(unknown)?;
            tags.retain(|tag| last.is_none_or(|last| tag.as_str() > last));
            let more = tags.len() > limit as usize;
            tags.truncate(limit as usize);
            return Ok((tags, more));
        }
        if !self.index.repository_exists(repository).await? {
            return Err(RegistryError::NameUnknown(repository.clone()));
        }
        let mut tags = self.index.tags(repository, last, limit.saturating_add(1)).await?;
        let more = tags.len() > limit as usize;
        tags.truncate(limit as usize);
        Ok((tags, more))
    }
}
