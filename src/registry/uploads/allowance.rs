//! How many bytes a namespace may still take by one blob, as far as is known before it ends: refused early is what
//! cannot be stored later. What counts is decided by the transactions that record the blob and its manifest.

use super::super::{Registry, RegistryError, Result};
use crate::auth::{Caller, PushGrant};
use crate::index::{Holding, QuotaKind, QuotaRow};
use crate::oci::{Digest, RepositoryName};

/// What is left of the quota of a namespace, if it has one.
#[derive(Debug, Clone)]
pub(super) struct Allowance(Option<QuotaRow>);

impl Registry {
    /// Looks up what is left for a blob of a repository, which comes by that upload; everything where the namespace has
    /// the blob already, in a repository that the caller may see: a digest alone is no way to find out what others have.
    /// What other uploads have saved is no blob yet, and counts with those that no manifest names.
    pub(super) async fn allowance(
        &self,
        repository: &RepositoryName,
        upload: &str,
        blob: Option<(&Digest, &Caller)>,
    ) -> Result<Allowance> {
        let Some(mut row) = self.index.quota_of(repository).await? else {
            return Ok(Allowance(None));
        };
        if let Some((digest, caller)) = blob
            && let Some(canonical) = digest.canonical()
            && self.is_seen_in_namespace(caller, repository, digest).await?
        {
            match self.index.holding(repository, &canonical).await? {
                Holding::Named => return Ok(Allowance(None)),
                Holding::Unreferenced => row.quota.unreferenced = None,
                Holding::None => {}
            }
        }
        if row.quota.unreferenced.is_some() {
            let pending = self.index.upload_bytes_beside(repository, upload).await?;
            row.usage.unreferenced = row.usage.unreferenced.saturating_add(pending);
        }
        Ok(Allowance(Some(row)))
    }

    /// Fails where the repository would be one too many in its namespace once it has a manifest.
    pub(super) async fn expect_allowed(&self, grant: &PushGrant) -> Result<()> {
        let repository = grant.repository();
        let Some(row) = self.index.quota_of(repository).await? else { return Ok(()) };
        match row.refuses(QuotaKind::Repositories, 1) {
            Some(exceeded) if !self.index.is_counted(repository).await? => {
                Err(RegistryError::OverQuota(exceeded))
            }
            _ => Ok(()),
        }
    }
}

impl Allowance {
    /// Tells whether there is a limit.
    pub(super) fn is_limited(&self) -> bool {
        self.0.is_some()
    }

    /// Fails where a blob of so many bytes is too much.
    pub(super) fn check(&self, size: u64) -> Result<()> {
        let Some(row) = &self.0 else { return Ok(()) };
        let kinds = [QuotaKind::Bytes, QuotaKind::Unreferenced];
        match kinds.into_iter().find_map(|kind| row.refuses(kind, size)) {
            Some(exceeded) => Err(RegistryError::OverQuota(exceeded)),
            None => Ok(()),
        }
    }
}
