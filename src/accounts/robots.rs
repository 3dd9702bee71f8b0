//! Robots: programs of a namespace that sign in by tokens.

use super::acting::Acting;
use super::users::{account_name, expect_password};
use super::{Administration, AdministrationError as Error, Page, PageRequest, Result, now};
use crate::auth::Caller;
use crate::auth::accounts::ServerAct;
use crate::index::{
    Account, Added, Changed, MOST_ROBOTS, NewRobot, PrincipalFilter, PrincipalKind,
};

/// A robot to make a token for; it is made if it is not there.
#[derive(Debug, Clone, Copy)]
pub struct RobotRequest<'a> {
    /// The name.
    pub name: &'a str,
    /// The namespace that it belongs to.
    pub namespace: &'a str,
}

/// A robot, and whose rights bound it.
#[derive(Debug, Clone)]
pub struct RobotSummary {
    /// The robot.
    pub account: Account,
    /// The name of the user who made it; none where that one was removed.
    pub maker: Option<String>,
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
    ) -> Result<Page<RobotSummary>> {
        let acting = self.acting(caller)?;
        let filter = if let Some(namespace) = namespace {
            let id = self.owned_namespace(&acting, namespace, "list the robots of").await?;
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
        let page = page.page(robots, |robot| robot.principal.name.clone());
        let makers = self.names_of(page.items.iter().filter_map(|it| it.principal.maker)).await?;
        Ok(page.map(|account| {
            let maker = account.principal.maker.and_then(|id| makers.get(&id).cloned());
            RobotSummary { account, maker }
        }))
    }

    /// Gives a robot to a user, whose rights bound it from here on: to the caller, who owns its namespace, or by an
    /// administrator to any user. Tokens that others made for it stay bounded by these, too.
    ///
    /// # Errors
    /// Why not.
    pub async fn set_robot_maker(
        &self,
        caller: &Caller,
        name: &str,
        maker: Option<&str>,
    ) -> Result<RobotSummary> {
        const DOING: &str = "give the robot to a user";

        let acting = self.acting(caller)?;
        let robot = self.managed(&acting, name, "change the maker of").await?.principal;
        // A token would so make something of all rights of its owner.
        expect_password(&acting, DOING)?;
        let maker = match maker.filter(|maker| caller.subject() != Some(maker)) {
            Some(maker) => {
                acting.expect(ServerAct::Admin, "give the robot to another user")?;
                Some(self.user_id(maker).await?)
            }
            None => acting.user(),
        };
        let maker = maker.ok_or_else(|| {
            Error::denied(format!("cannot {DOING}: only users have robots; name one"))
        })?;
        if robot.kind != PrincipalKind::Robot {
            return Err(Error::invalid(DOING, format!("`{name}` is a user; name a robot")));
        }
        match self.index.set_robot_maker(robot.id, maker, &acting.actor, now()).await? {
            Changed::Done | Changed::Unchanged => {}
            Changed::Full => {
                return Err(Error::Conflict(format!(
                    "cannot {DOING}: that one has made {MOST_ROBOTS}; name another user"
                )));
            }
            _ => {
                return Err(Error::Conflict(format!(
                    "cannot {DOING}: the user is disabled, or one of them was removed meanwhile"
                )));
            }
        }
        let account = self.account(robot.id).await?;
        let maker = self.names_of(account.principal.maker).await?.into_values().next();
        Ok(RobotSummary { account, maker })
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
                "cannot {doing} the namespace `{namespace}`: that needs the role owner in all of it; ask its owner"
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
            self.owned_namespace(acting, namespace, "make a token for a robot of").await?;
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
