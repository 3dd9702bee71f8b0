//! The catalog: which repositories there are.

use super::{Registry, Result};
use crate::auth::CatalogGrant;
use crate::auth::accounts::{Bounded, Pattern, Rights};
use crate::index::{CatalogFilter, Index, PatternComponent, VisiblePattern};
use crate::oci::RepositoryName;

impl Registry {
    /// Lists repositories that have a manifest, bytewise after `last`, at most `limit`, and returns
    /// whether more follow.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn repositories(
        &self,
        grant: &CatalogGrant,
        last: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<RepositoryName>, bool)> {
        let and_next = limit.saturating_add(1);
        let mut names = match grant.bound() {
            Some(bound) => self.visible_repositories(bound, last, and_next).await?,
            None => self.index.repositories(None, last, and_next).await?,
        };
        let more = names.len() > limit as usize;
        names.truncate(limit as usize);
        Ok((names, more))
    }

    /// Lists the repositories that a caller with these rights may pull from.
    async fn visible_repositories(
        &self,
        bounded: &Bounded,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RepositoryName>> {
        let mut found = Vec::new();
        let mut last = last.map(str::to_owned);
        loop {
            let page =
                repositories_seen(&self.index, bounded.rights(), last.as_deref(), limit).await?;
            let is_end = page.len() < limit as usize;
            last = page.last().map(ToString::to_string);
            for name in page {
                // A token may see less than its owner.
                let is_visible = bounded.bounds().is_empty() || {
                    let record = self.index.repository(&name).await?;
                    record.is_some_and(|record| bounded.may_pull(&name, record.visibility))
                };
                if is_visible {
                    found.push(name);
                }
                if found.len() >= limit as usize {
                    return Ok(found);
                }
            }
            if is_end {
                return Ok(found);
            }
        }
    }
}

/// Lists repositories that a holder of rights may pull from, whatever bounds the rights: bytewise after `last`, at most
/// `limit`.
///
/// # Errors
/// Those of the index.
pub async fn repositories_seen(
    index: &Index,
    rights: &Rights,
    last: Option<&str>,
    limit: u32,
) -> crate::index::Result<Vec<RepositoryName>> {
    if rights.is_admin() {
        return index.repositories(None, last, limit).await;
    }
    let owned = rights.namespaces().iter();
    let owned = owned.flat_map(|(name, _)| VisiblePattern::of_namespace(name.as_str()));
    let granted = rights.grants().iter().map(|grant| pattern(&grant.pattern));
    let patterns: Vec<VisiblePattern> = owned.chain(granted).collect();
    let filter = CatalogFilter { is_signed_in: rights.is_signed_in(), patterns: &patterns };
    index.visible_repositories(&filter, last, limit).await
}

/// Returns a pattern as the index matches it.
fn pattern(pattern: &Pattern) -> VisiblePattern {
    let component = |component: &str| match component {
        "*" => PatternComponent::Any,
        "**" => PatternComponent::Rest,
        name => PatternComponent::Literal(name.to_owned()),
    };
    VisiblePattern::new(pattern.to_string().split('/').map(component).collect())
}
