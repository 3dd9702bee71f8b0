//! Repositories, as their administration sees them.

use super::{Administration, AdministrationError as Error, Page, PageRequest, Result};
use crate::auth::accounts::{Pattern, Permission, Rights, Target};
use crate::auth::{Caller, Decision};
use crate::index::{CatalogFilter, PatternComponent, VisiblePattern};
use crate::oci::{RepositoryName, Visibility};

/// A repository in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRepository {
    /// Its name.
    pub name: RepositoryName,
    /// Who may see it.
    pub visibility: Visibility,
}

impl Administration {
    /// Lists the repositories that the caller may pull from, by their names. A page may be shorter than its limit where a
    /// token hides some.
    ///
    /// # Errors
    /// Why not.
    pub async fn repositories(
        &self,
        caller: &Caller,
        page: PageRequest<'_>,
    ) -> Result<Page<ListedRepository>> {
        let acting = self.acting(caller)?;
        let rights = acting.rights.rights();
        let names = if rights.is_admin() {
            self.index.repositories(None, page.after, page.read()).await?
        } else {
            let patterns = visible(rights);
            let filter = CatalogFilter { is_signed_in: rights.is_signed_in(), patterns: &patterns };
            self.index.visible_repositories(&filter, page.after, page.read()).await?
        };
        let names = page.page(names, ToString::to_string);
        let mut items = Vec::with_capacity(names.items.len());
        for name in names.items {
            let Some(record) = self.index.repository(&name).await? else { continue };
            let target = Target::own(&name, Some(&record));
            if acting.rights.decide(Permission::Pull, &target, self.rules) == Decision::Allow {
                items.push(ListedRepository { name, visibility: record.visibility });
            }
        }
        Ok(Page { items, next: names.next })
    }

    /// Gives a user, a robot or a team the role owner in one repository, which is a grant on its name.
    ///
    /// # Errors
    /// Why not; that the repository is not there, for who owns it.
    pub async fn add_repository_owner(
        &self,
        caller: &Caller,
        name: &str,
        owner: &str,
    ) -> Result<()> {
        let read = name.parse::<RepositoryName>();
        let repository =
            read.map_err(|error| Error::invalid("give the repository an owner", error))?;
        let pattern: Pattern =
            name.parse().map_err(|error| Error::invalid("give the repository an owner", error))?;
        let is_owner = self.acting(caller)?.owns(&pattern);
        if is_owner && self.index.repository(&repository).await?.is_none() {
            return Err(Error::unknown(format!(
                "there is no repository `{name}`; see `roadstead repository list`"
            )));
        }
        self.add_grant(caller, owner, "owner", name).await
    }
}

/// Returns the patterns of what a holder of rights sees beside what everybody does.
fn visible(rights: &Rights) -> Vec<VisiblePattern> {
    let own = rights.namespaces().iter();
    let own = own.flat_map(|(namespace, _)| VisiblePattern::of_namespace(namespace.as_str()));
    own.chain(rights.grants().iter().map(|grant| {
        let text = grant.pattern.to_string();
        let component = |text: &str| match text {
            "*" => PatternComponent::Any,
            "**" => PatternComponent::Rest,
            text => PatternComponent::Literal(text.to_owned()),
        };
        VisiblePattern::new(text.split('/').map(component).collect())
    }))
    .collect()
}
