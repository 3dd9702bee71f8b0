//! The catalog: which repositories there are.

use super::{Registry, Result};
use crate::auth::CatalogGrant;
use crate::oci::RepositoryName;

impl Registry {
    /// Lists repositories that have a manifest, bytewise after `last`, at most `limit`, and returns
    /// whether more follow.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn repositories(
        &self,
        _grant: &CatalogGrant,
        last: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<RepositoryName>, bool)> {
        let mut names = self.index.repositories(None, last, limit.saturating_add(1)).await?;
        let more = names.len() > limit as usize;
        names.truncate(limit as usize);
        Ok((names, more))
    }
}
