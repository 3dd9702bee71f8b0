//! Grants: who has which role in which repositories.

use super::acting::Acting;
use super::users::no_account;
use super::{Administration, AdministrationError as Error, Page, PageRequest, Result, now};
use crate::auth::Caller;
use crate::auth::accounts::{Pattern, Role, ServerAct};
use crate::index::{Changed, GrantFilter, GrantRow, Holder, MOST_ROLES, NewGrant};

/// How the holder of a role begins that is a team.
const TEAM: &str = "team:";

/// Which grants are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GrantSelection<'a> {
    /// Those of a user, of a robot, or of a team (`team:NAME`).
    pub holder: Option<&'a str>,
    /// Those in a namespace.
    pub namespace: Option<&'a str>,
}

impl Administration {
    /// Gives a role on a pattern to a user, a robot or a team (`team:NAME`): by who owns all that the pattern matches.
    ///
    /// # Errors
    /// Why not.
    pub async fn add_grant(
        &self,
        caller: &Caller,
        holder: &str,
        role: &str,
        pattern: &str,
    ) -> Result<()> {
        const DOING: &str = "give the role";

        let acting = self.acting(caller)?;
        let (role, pattern) = read(DOING, role, pattern)?;
        expect_owner(&acting, DOING, &pattern)?;
        let id = self.holder(holder).await?;
        let maker = acting.principal();
        let text = pattern.to_string();
        let grant = NewGrant { holder: id, role: role.as_str(), pattern: &text, maker };
        match self.index.add_grant(&grant, &acting.actor, now()).await? {
            Changed::Done | Changed::Unchanged => Ok(()),
            Changed::Full => Err(Error::Conflict(format!(
                "cannot {DOING} to `{holder}`: you have given {MOST_ROLES} there; give one on a pattern such as `acme/**`, \
                 or take some away"
            ))),
            _ => Err(no_account(holder)),
        }
    }

    /// Takes a role on just that pattern away.
    ///
    /// # Errors
    /// Why not.
    pub async fn remove_grant(
        &self,
        caller: &Caller,
        holder: &str,
        role: &str,
        pattern: &str,
    ) -> Result<()> {
        const DOING: &str = "take the role away";

        let acting = self.acting(caller)?;
        let (role, pattern) = read(DOING, role, pattern)?;
        expect_owner(&acting, DOING, &pattern)?;
        let id = self.holder(holder).await?;
        let text = pattern.to_string();
        let removed = self.index.remove_grant(id, role.as_str(), &text, &acting.actor, now());
        match removed.await? {
            Changed::Done | Changed::Unchanged => Ok(()),
            _ => Err(Error::unknown(format!(
                "`{holder}` was not given the role {role} on `{pattern}`; see `roadstead grant list {holder}`"
            ))),
        }
    }

    /// Lists grants in the order in which they were made: in a namespace for who owns it; the caller's own; all for
    /// administrators. Without a selection those that the caller may see: its own, those of its teams and those in the
    /// namespaces that it owns.
    ///
    /// # Errors
    /// Why not.
    pub async fn grants(
        &self,
        caller: &Caller,
        selection: GrantSelection<'_>,
        page: PageRequest<'_>,
    ) -> Result<Page<GrantRow>> {
        const DOING: &str = "list grants of others";

        let acting = self.acting(caller)?;
        let is_admin = acting.may(ServerAct::Admin);
        let filter = match (selection.holder, selection.namespace) {
            (Some(_), Some(_)) => {
                let why = "give a holder or a namespace, not both";
                return Err(Error::invalid("list grants", why));
            }
            (None, Some(namespace)) => {
                if !acting.owns_namespace(namespace) {
                    acting.expect(ServerAct::Admin, DOING)?;
                }
                GrantFilter::In(namespace)
            }
            (Some(holder), None) if is_admin => GrantFilter::Of(self.holder(holder).await?),
            (None, None) if is_admin => GrantFilter::All,
            (holder, None) => {
                let is_own = holder.is_none_or(|holder| caller.subject() == Some(holder));
                let Some(principal) = acting.principal().filter(|_| is_own) else {
                    return Err(acting.expect(ServerAct::Admin, DOING).err().unwrap_or_else(
                        || Error::denied("cannot list grants: this caller has none of its own"),
                    ));
                };
                if !acting.has_scope(ServerAct::Admin) {
                    return Err(Acting::lacks("admin", "list grants"));
                }
                match holder {
                    Some(_) => GrantFilter::Of(Holder::Principal(principal)),
                    None => GrantFilter::SeenBy(principal),
                }
            }
        };
        let grants = self.index.grants(filter, page.number(), page.read()).await?;
        Ok(page.page(grants, |grant| grant.id.to_string()))
    }

    /// Finds who is to have a role.
    async fn holder(&self, text: &str) -> Result<Holder> {
        match text.strip_prefix(TEAM) {
            Some(team) => Ok(Holder::Team(self.team(team).await?.id)),
            None => Ok(Holder::Principal(self.known(text).await?.principal.id)),
        }
    }
}

fn read(doing: &str, role: &str, pattern: &str) -> Result<(Role, Pattern)> {
    let role = role.parse().map_err(|error| Error::invalid(doing, format!("the role {error}")))?;
    Ok((role, pattern.parse().map_err(|error| Error::invalid(doing, error))?))
}

fn expect_owner(acting: &Acting<'_>, doing: &str, pattern: &Pattern) -> Result<()> {
    if acting.owns(pattern) {
        return Ok(());
    }
    Err(Error::denied(format!(
        "cannot {doing} on `{pattern}`: that needs the role owner in all of it, and by an access token the scope \
         `admin` or `{pattern}:members`; ask an owner"
    )))
}
