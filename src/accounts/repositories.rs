//! Repositories, as their administration sees them.

use super::{Administration, AdministrationError as Error, Page, PageRequest, Result};
use crate::auth::Caller;
use crate::auth::accounts::{Pattern, Rights};
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
    /// Lists the repositories that the caller may pull from, by their names. No page ends with one that is hidden from it.
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
        let patterns = visible(rights);
        let filter = CatalogFilter { is_signed_in: rights.is_signed_in(), patterns: &patterns };
        let (limit, mut items) = (page.read(), Vec::new());
        let mut last = page.after.map(str::to_owned);
        loop {
            let names = if rights.is_admin() {
                self.index.repositories(None, last.as_deref(), limit).await?
            } else {
                self.index.visible_repositories(&filter, last.as_deref(), limit).await?
            };
            last = names.last().map(ToString::to_string);
            let is_end = names.len() < limit as usize;
            for name in names {
                // A token may see less than its owner.
                let Some(record) = self.index.repository(&name).await? else { continue };
                if acting.rights.may_pull(&name, record.visibility) {
                    items.push(ListedRepository { name, visibility: record.visibility });
                }
            }
            if is_end || items.len() >= limit as usize {
                return Ok(page.page(items, |it| it.name.to_string()));
            }
        }
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
