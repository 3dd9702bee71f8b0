//! The catalog: which repositories there are.

use super::{Registry, Result};
use crate::auth::CatalogGrant;
use crate::auth::accounts::{Bounded, Pattern};
use crate::index::{CatalogFilter, Index, PatternComponent, SeenRepository, VisiblePattern};
use crate::oci::RepositoryName;

/// How many names are read at a time where a token may hide some of them.
const UNSURE: u32 = 1000;

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
            Some(bound) => {
                let may_pull = |it: &SeenRepository| bound.may_pull(&it.name, it.visibility);
                let seen = repositories_seen(&self.index, bound, may_pull, last, and_next).await?;
                seen.into_iter().map(|it| it.name).collect()
            }
            None => self.index.repositories(None, last, and_next).await?,
        };
        let more = names.len() > limit as usize;
        names.truncate(limit as usize);
        Ok((names, more))
    }
}

/// Lists the repositories that a caller may pull from: bytewise after `last`, at most `limit`.
///
/// A token may see less than its owner, as `is_seen` says. What it hides is read in large pages and without a query for each.
///
/// # Errors
/// Those of the index.
pub async fn repositories_seen(
    index: &Index,
    bounded: &Bounded,
    is_seen: impl Fn(&SeenRepository) -> bool,
    last: Option<&str>,
    limit: u32,
) -> crate::index::Result<Vec<SeenRepository>> {
    if bounded.bounds().is_empty() {
        return read(index, bounded, last, limit).await;
    }
    let at_once = limit.max(UNSURE);
    let mut found = Vec::new();
    let mut last = last.map(str::to_owned);
    loop {
        let page = read(index, bounded, last.as_deref(), at_once).await?;
        let is_end = page.len() < at_once as usize;
        last = page.last().map(|it| it.name.to_string());
        found.extend(page.into_iter().filter(&is_seen));
        if is_end || found.len() >= limit as usize {
            found.truncate(limit as usize);
            return Ok(found);
        }
    }
}

/// Lists the repositories that the owner of the rights may pull from, whatever bounds them.
async fn read(
    index: &Index,
    bounded: &Bounded,
    last: Option<&str>,
    limit: u32,
) -> crate::index::Result<Vec<SeenRepository>> {
    let rights = bounded.rights();
    if rights.is_admin() {
        return index.all_repositories(last, limit).await;
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
