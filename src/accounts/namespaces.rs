//! Namespaces: making them, and who owns them.

use super::acting::Acting;
use super::users::{account_name, no_account};
use super::{Administration, AdministrationError as Error, Page, PageRequest, Result, now};
use crate::auth::Caller;
use crate::auth::accounts::ServerAct;
use crate::index::{
    Added, Changed, MOST_NAMESPACES, NamespaceRemoval, NamespaceRow, PrincipalKind,
};

impl Administration {
    /// Makes a namespace of the caller, or of another user where it is an administrator. That its name is taken, reserved or
    /// in use by repositories is one answer.
    ///
    /// # Errors
    /// Why not.
    pub async fn add_namespace(
        &self,
        caller: &Caller,
        name: &str,
        owner: Option<&str>,
    ) -> Result<NamespaceRow> {
        const DOING: &str = "make the namespace";

        let acting = self.acting(caller)?;
        acting.expect(ServerAct::Namespaces, DOING)?;
        let owner = match owner.filter(|owner| caller.subject() != Some(owner)) {
            Some(owner) => {
                acting.expect(ServerAct::Admin, "make a namespace of another user")?;
                Some(self.user_id(owner).await?)
            }
            None => acting.user(),
        };
        account_name(DOING, name)?;
        match self.index.add_namespace(name, owner, &acting.actor, now()).await? {
            Added::Made(_) => self.namespace(name).await,
            Added::Taken => Err(Error::taken(DOING, name)),
            Added::Full => Err(full(DOING, name)),
            Added::Unknown => Err(Error::Conflict(format!(
                "cannot make the namespace `{name}`: its owner is disabled or was removed; enable the user first"
            ))),
        }
    }

    /// Lists namespaces by their names: those of the caller, all for administrators.
    ///
    /// # Errors
    /// Why not.
    pub async fn namespaces(
        &self,
        caller: &Caller,
        page: PageRequest<'_>,
    ) -> Result<Page<NamespaceRow>> {
        let acting = self.acting(caller)?;
        if acting.may(ServerAct::Admin) {
            let rows = self.index.namespaces(page.after, page.read()).await?;
            return Ok(page.page(rows, |row| row.name.clone()));
        }
        if !acting.has_scope(ServerAct::Namespaces) {
            return Err(Acting::lacks("namespaces", "list namespaces"));
        }
        let mut rows = Vec::new();
        for name in acting.namespaces_after(page.after).into_iter().take(page.read() as usize) {
            rows.extend(self.index.namespace(name).await?);
        }
        Ok(page.page(rows, |row| row.name.clone()))
    }

    /// Gives a namespace to another user, by its owner or by an administrator; or, by an administrator, to all of them.
    ///
    /// # Errors
    /// Why not.
    pub async fn set_namespace_owner(
        &self,
        caller: &Caller,
        name: &str,
        owner: Option<&str>,
    ) -> Result<NamespaceRow> {
        let acting = self.acting(caller)?;
        let id = self.owned_namespace(&acting, name, "change the owner of").await?;
        if owner.is_none() {
            // Else a user could make any number, one after the other.
            acting.expect(ServerAct::Admin, "give the namespace to the administrators")?;
        }
        let owner = match owner {
            Some(owner) => Some(self.user_id(owner).await?),
            None => None,
        };
        match self.index.set_namespace_owner(id, owner, &acting.actor, now()).await? {
            Changed::Done | Changed::Unchanged => self.namespace(name).await,
            Changed::Full => Err(full("give away the namespace", name)),
            _ => Err(Error::Conflict(format!(
                "cannot give the namespace `{name}` away: the user is disabled, or one of them was removed meanwhile"
            ))),
        }
    }

    /// Removes a namespace in which there is nothing, by its owner or by an administrator. Its name may be given again; the
    /// roles that were given in it go with it, so that who makes it next begins without any.
    ///
    /// # Errors
    /// Why not; what is in it is named.
    pub async fn remove_namespace(&self, caller: &Caller, name: &str) -> Result<()> {
        let acting = self.acting(caller)?;
        let id = self.owned_namespace(&acting, name, "remove").await?;
        let why = match self.index.remove_namespace(id, &acting.actor, now()).await? {
            NamespaceRemoval::Done => return Ok(()),
            NamespaceRemoval::Unknown => "it was removed meanwhile".to_owned(),
            NamespaceRemoval::OfUser(user) => {
                format!("it is that of the user `{user}`, who would be without one")
            }
            NamespaceRemoval::HasRepository(it) => format!(
                "the repository `{it}` is in it; remove it with `roadstead repository remove {it}`"
            ),
            NamespaceRemoval::HasUpload(it) => format!(
                "an upload into `{it}` is under way; wait for its end, or have the operator end it by `roadstead uploads clear`"
            ),
            NamespaceRemoval::HasRobot(it) => format!(
                "the robot `{it}` belongs to it; remove it with `roadstead user remove {it}`"
            ),
            NamespaceRemoval::HasQuota(it) => format!(
                "it has a quota; an administrator takes that away with `roadstead quota remove {it}`"
            ),
        };
        Err(Error::Conflict(format!("cannot remove the namespace `{name}`: {why}")))
    }

    /// Returns the name of the owner of a namespace; none where the administrators own it.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn owner_of(&self, namespace: &NamespaceRow) -> Result<Option<String>> {
        let Some(owner) = namespace.owner else { return Ok(None) };
        Ok(self.index.principal_by_id(owner).await?.map(|account| account.principal.name))
    }

    async fn namespace(&self, name: &str) -> Result<NamespaceRow> {
        let found = self.index.namespace(name).await?;
        found.ok_or_else(|| Error::unknown(format!("there is no namespace `{name}`")))
    }

    /// Finds the user who is to own a namespace or a robot.
    pub(super) async fn user_id(&self, name: &str) -> Result<i64> {
        let found = self.known(name).await?.principal;
        if found.kind == PrincipalKind::User { Ok(found.id) } else { Err(no_account(name)) }
    }
}

/// A user owns as many namespaces as it may.
fn full(doing: &str, name: &str) -> Error {
    Error::Conflict(format!(
        "cannot {doing} `{name}`: its owner would have more than {MOST_NAMESPACES}; ask an administrator"
    ))
}
