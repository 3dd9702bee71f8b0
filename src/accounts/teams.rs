//! Teams: users and robots that are given roles together.

use super::users::no_account;
use super::{Administration, AdministrationError as Error, Page, PageRequest, Result, now};
use crate::auth::Caller;
use crate::auth::accounts::{AccountName, ServerAct};
use crate::index::{Added, Changed, Principal, TeamRow};

impl Administration {
    /// Adds a team.
    ///
    /// # Errors
    /// Why not.
    pub async fn add_team(&self, caller: &Caller, name: &str) -> Result<TeamRow> {
        const DOING: &str = "add the team";

        let acting = self.acting(caller)?;
        acting.expect(ServerAct::Admin, DOING)?;
        let name: AccountName = name.parse().map_err(|error| Error::invalid(DOING, error))?;
        match self.index.add_team(name.as_str(), &acting.actor, now()).await? {
            Added::Made(_) => self.team(name.as_str()).await,
            Added::Taken | Added::Unknown | Added::Full => Err(Error::taken(DOING, name.as_str())),
        }
    }

    /// Lists teams by their names.
    ///
    /// # Errors
    /// Why not.
    pub async fn teams(&self, caller: &Caller, page: PageRequest<'_>) -> Result<Page<TeamRow>> {
        self.acting(caller)?.expect(ServerAct::Admin, "list teams")?;
        let teams = self.index.teams(page.after, page.read()).await?;
        Ok(page.page(teams, |team| team.name.clone()))
    }

    /// Lists the members of a team by their names.
    ///
    /// # Errors
    /// Why not.
    pub async fn team_members(
        &self,
        caller: &Caller,
        team: &str,
        page: PageRequest<'_>,
    ) -> Result<Page<Principal>> {
        self.acting(caller)?.expect(ServerAct::Admin, "list the members of a team")?;
        let team = self.team(team).await?.id;
        let members = self.index.team_members(team, page.after, page.read()).await?;
        Ok(page.page(members, |member| member.name.clone()))
    }

    /// Removes a team. Its grants go with it.
    ///
    /// # Errors
    /// Why not.
    pub async fn remove_team(&self, caller: &Caller, name: &str) -> Result<()> {
        let acting = self.acting(caller)?;
        acting.expect(ServerAct::Admin, "remove a team")?;
        let id = self.team(name).await?.id;
        done(self.index.remove_team(id, &acting.actor, now()).await?, name)
    }

    /// Adds a user or a robot to a team.
    ///
    /// # Errors
    /// Why not.
    pub async fn add_team_member(&self, caller: &Caller, team: &str, member: &str) -> Result<()> {
        let acting = self.acting(caller)?;
        acting.expect(ServerAct::Admin, "add a member to a team")?;
        let (id, member) = (self.team(team).await?.id, self.known(member).await?.principal.id);
        done(self.index.add_team_member(id, member, &acting.actor, now()).await?, team)
    }

    /// Removes a user or a robot from a team.
    ///
    /// # Errors
    /// Why not.
    pub async fn remove_team_member(
        &self,
        caller: &Caller,
        team: &str,
        member: &str,
    ) -> Result<()> {
        let acting = self.acting(caller)?;
        acting.expect(ServerAct::Admin, "remove a member from a team")?;
        let id = self.team(team).await?.id;
        let found = self.index.principal(member).await?.ok_or_else(|| no_account(member))?;
        match self.index.remove_team_member(id, found.principal.id, &acting.actor, now()).await? {
            Changed::Done | Changed::Unchanged => Ok(()),
            _ => Err(Error::unknown(format!(
                "`{member}` is no member of `{team}`; see `roadstead team list {team}`"
            ))),
        }
    }

    pub(super) async fn team(&self, name: &str) -> Result<TeamRow> {
        self.index.team(name).await?.ok_or_else(|| no_team(name))
    }
}

fn no_team(name: &str) -> Error {
    let name: String = name.chars().take(AccountName::MAX_LENGTH).collect();
    Error::unknown(format!("there is no team `{name}`; see `roadstead team list`"))
}

fn done(changed: Changed, team: &str) -> Result<()> {
    match changed {
        Changed::Done | Changed::Unchanged => Ok(()),
        _ => Err(no_team(team)),
    }
}
