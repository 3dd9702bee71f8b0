//! Repositories, as their administration sees them.

use super::{Administration, AdministrationError as Error, Page, PageRequest, Result};
use crate::auth::Caller;
use crate::auth::accounts::Pattern;
use crate::index::SeenRepository;
use crate::oci::RepositoryName;
use crate::registry::repositories_seen;

impl Administration {
    /// Lists the repositories that the caller may learn of, by their names. No page ends with one that is hidden from it. By a
    /// token of the scope `admin` these are all of its owner: it administers them, and pulls from none.
    ///
    /// # Errors
    /// Why not.
    pub async fn repositories(
        &self,
        caller: &Caller,
        page: PageRequest<'_>,
    ) -> Result<Page<SeenRepository>> {
        let rights = self.acting(caller)?.rights;
        let may_know = |it: &SeenRepository| rights.may_know(&it.name, it.visibility);
        let seen =
            repositories_seen(&self.index, rights, may_know, page.after, page.read()).await?;
        Ok(page.page(seen, |it| it.name.to_string()))
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
