//! Repositories, as their administration sees them.

use super::{Administration, AdministrationError as Error, Page, PageRequest, Result};
use crate::auth::Caller;
use crate::auth::accounts::Pattern;
use crate::oci::{RepositoryName, Visibility};
use crate::registry::repositories_seen;

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
        let (limit, mut items) = (page.read(), Vec::new());
        let mut last = page.after.map(str::to_owned);
        loop {
            let names = repositories_seen(&self.index, rights, last.as_deref(), limit).await?;
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
