//! The catalog: which repositories there are.

use super::{Registry, Result};
use crate::auth::accounts::{Bound, Bounded, Namespace, Pattern, Permission, Rights, Scope};
use crate::auth::{Caller, CatalogGrant};
use crate::index::{
    CatalogFilter, Index, PatternComponent, SeenRepositories, SeenRepository, VisiblePattern,
};
use crate::oci::{RepositoryName, Visibility};

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
    let patterns = patterns(rights);
    let filter = CatalogFilter { is_signed_in: rights.is_signed_in(), patterns: &patterns };
    index.visible_repositories(&filter, last, limit).await
}

/// Returns the patterns of the names in which these rights give a role.
fn patterns(rights: &Rights) -> Vec<VisiblePattern> {
    let owned = rights.namespaces().iter();
    let owned = owned.flat_map(|(name, _)| VisiblePattern::of_namespace(name.as_str()));
    let granted = rights.grants().iter().map(|grant| pattern(&grant.pattern));
    owned.chain(granted).collect()
}

/// Says which repositories a caller may pull from, whatever its token names: those that are among each of these. Without
/// rights by repository these are the public ones.
pub(super) fn seen_by(caller: &Caller) -> Vec<SeenRepositories> {
    let Some(bounded) = &caller.rights else {
        let visibilities = vec![Visibility::Public];
        return vec![SeenRepositories { visibilities, ..SeenRepositories::default() }];
    };
    let bounds = bounded.bounds().iter().map(|bound| match bound {
        Bound::Maker(rights) => seen_with(rights),
        Bound::Scopes(scopes) => {
            let pulled = scopes.all().iter().filter_map(|scope| match scope {
                Scope::On(on, permissions) if permissions.contains(&Permission::Pull) => {
                    Some(pattern(on))
                }
                Scope::On(..) | Scope::Server(_) => None,
            });
            SeenRepositories { patterns: pulled.collect(), ..SeenRepositories::default() }
        }
    });
    [seen_with(bounded.rights())].into_iter().chain(bounds).collect()
}

fn seen_with(rights: &Rights) -> SeenRepositories {
    let all = [Visibility::Public, Visibility::Internal];
    let open = if rights.is_signed_in() { &all[..] } else { &all[..1] };
    let (visibilities, patterns) = (open.to_vec(), patterns(rights));
    SeenRepositories { all: rights.is_admin(), visibilities, patterns }
}

/// The repositories of these names.
pub(super) fn named<'a>(names: impl Iterator<Item = &'a RepositoryName>) -> SeenRepositories {
    let literal = |name: &str| PatternComponent::Literal(name.to_owned());
    let patterns =
        names.map(|it| VisiblePattern::new(it.as_str().split('/').map(literal).collect()));
    SeenRepositories { patterns: patterns.collect(), ..SeenRepositories::default() }
}

/// The repositories of the namespace that this one is in.
pub(super) fn in_namespace_of(repository: &RepositoryName) -> SeenRepositories {
    let patterns = VisiblePattern::of_namespace(Namespace::of(repository).as_str()).to_vec();
    SeenRepositories { patterns, ..SeenRepositories::default() }
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
