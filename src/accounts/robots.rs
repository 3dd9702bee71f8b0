//! Robots: programs of a namespace that sign in by tokens.

use super::acting::Acting;
use super::users::account_name;
use super::{Administration, AdministrationError as Error, Page, PageRequest, Result, now};
use crate::auth::Caller;
use crate::auth::accounts::ServerAct;
use crate::index::{Account, Added, MOST_ROBOTS, NewRobot, PrincipalFilter, PrincipalKind};

/// A robot to make a token for; it is made if it is not there.
#[derive(Debug, Clone, Copy)]
pub struct RobotRequest<'a> {
    /// The name.
    pub name: &'a str,
    /// The namespace that it belongs to.
    pub namespace: &'a str,
}

impl Administration {
    /// Lists robots by their names: those of a namespace for its owners; without one those of all namespaces that the
    /// caller owns, and all for administrators.
    ///
    /// # Errors
    /// Why not.
    pub async fn robots(
        &self,
        caller: &Caller,
        namespace: Option<&str>,
        page: PageRequest<'_>,
    ) -> Result<Page<Account>> {
        let acting = self.acting(caller)?;
        let filter = if let Some(namespace) = namespace {
            let id = self.owned_namespace(&acting, namespace, "list the robots").await?;
            PrincipalFilter::RobotsOf(id)
        } else if acting.may(ServerAct::Admin) {
            PrincipalFilter::Robots
        } else {
            const DOING: &str = "list robots";

            if !acting.has_scope(ServerAct::Admin) {
                return Err(Acting::lacks("admin", DOING));
            }
            let owner = acting.user();
            let owner = owner.ok_or_else(|| {
                Error::denied(format!("cannot {DOING}: only users own some; sign in as one"))
            })?;
            PrincipalFilter::RobotsOfOwner(owner)
        };
        let robots = self.index.principals(filter, page.after, page.read()).await?;
        Ok(page.page(robots, |robot| robot.principal.name.clone()))
    }

    /// Finds a namespace whose robots the caller administers, and returns its number.
    pub(super) async fn owned_namespace(
        &self,
        acting: &Acting<'_>,
        namespace: &str,
        doing: &str,
    ) -> Result<i64> {
        if !acting.owns_namespace(namespace) {
            return Err(Error::denied(format!(
                "cannot {doing} of the namespace `{namespace}`: that needs the role owner in all of it; ask its owner"
            )));
        }
        let found = self.index.namespace(namespace).await?;
        found.map(|it| it.id).ok_or_else(|| {
            Error::unknown(format!(
                "there is no namespace `{namespace}`; make it with `roadstead namespace add {namespace}`"
            ))
        })
    }

    /// Finds a robot of a namespace, or makes it.
    pub(super) async fn robot(
        &self,
        acting: &Acting<'_>,
        request: RobotRequest<'_>,
        maker: i64,
    ) -> Result<Account> {
        const DOING: &str = "make the robot";

        let RobotRequest { name, namespace } = request;
        let namespace_id =
            self.owned_namespace(acting, namespace, "make a token for a robot").await?;
        account_name(DOING, name)?;
        if let Some(found) = self.index.principal(name).await? {
            let is_it = found.principal.kind == PrincipalKind::Robot
                && found.principal.namespace.as_deref() == Some(namespace);
            return if is_it { Ok(found) } else { Err(Error::taken(DOING, name)) };
        }
        let robot = NewRobot { name, namespace: namespace_id, maker };
        match self.index.add_robot(&robot, &acting.actor, now()).await? {
            Added::Made(id) => self.account(id).await,
            Added::Taken => Err(Error::taken(DOING, name)),
            Added::Full => Err(Error::Conflict(format!(
                "cannot {DOING} `{name}`: you have made {MOST_ROBOTS}, removed ones included; make tokens of those that you \
                 have, or ask an administrator"
            ))),
            Added::Unknown => Err(Error::Conflict(format!(
                "cannot make the robot `{name}`: you or the namespace `{namespace}` were removed meanwhile; sign in again"
            ))),
        }
    }
}
