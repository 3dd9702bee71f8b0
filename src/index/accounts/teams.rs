//! Teams and their members.

use super::super::connection::{Connection, on};
use super::super::{Actor, Index, Result};
use super::principals::{PrincipalColumns, find as find_principal, principal};
use super::rows::{Added, Changed, Principal, TeamRow};

impl Index {
    /// Finds a team.
    pub async fn team(&self, name: &str) -> Result<Option<TeamRow>> {
        let connection = &mut self.read().await?;
        let found: Option<(i64, i64)> = on!(connection, "finding a team", db =>
            sqlx::query_as("SELECT id, created FROM teams WHERE name = $1")
                .bind(name)
                .fetch_optional(db)
                .await)?;
        Ok(found.map(|(id, created)| TeamRow { id, name: name.to_owned(), created }))
    }

    /// Lists teams by their names, bytewise after `last`, at most `limit`.
    pub async fn teams(&self, last: Option<&str>, limit: u32) -> Result<Vec<TeamRow>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(i64, String, i64)> = on!(connection, "listing teams", db => sqlx::query_as(
            "SELECT id, name, created FROM teams WHERE name > $1 ORDER BY name LIMIT $2",
        )
        .bind(last.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        Ok(rows.into_iter().map(|(id, name, created)| TeamRow { id, name, created }).collect())
    }

    /// Lists the members of a team by their names, bytewise after `last`, at most `limit`.
    pub async fn team_members(
        &self,
        team: i64,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Principal>> {
        let connection = &mut self.read().await?;
        let rows: Vec<PrincipalColumns> = on!(connection, "listing members of a team", db => sqlx::query_as(
            "SELECT p.id, p.kind, p.name, p.is_admin, p.is_disabled, n.name, p.maker \
             FROM team_members t JOIN principals p ON p.id = t.principal \
             LEFT JOIN namespaces n ON n.id = p.namespace \
             WHERE t.team = $1 AND p.name > $2 ORDER BY p.name LIMIT $3",
        )
        .bind(team)
        .bind(last.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        rows.into_iter().map(principal).collect()
    }

    /// Adds a team, unless there is one of that name.
    pub async fn add_team(&self, name: &str, actor: &Actor, now: i64) -> Result<Added> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let made: Option<(i64,)> = on!(connection, "adding a team", db => sqlx::query_as(
            "INSERT INTO teams (name, created) VALUES ($1, $2) \
             ON CONFLICT (name) DO NOTHING RETURNING id",
        )
        .bind(name)
        .bind(now)
        .fetch_optional(db)
        .await)?;
        let Some((id,)) = made else { return change.undo(Added::Taken).await };
        change.note("team", format!("add {name}")).await?;
        change.commit(Added::Made(id)).await
    }

    /// Removes a team. Its grants go with it.
    pub async fn remove_team(&self, id: i64, actor: &Actor, now: i64) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let Some(name) = name_of(connection, id).await? else {
            return change.undo(Changed::Unknown).await;
        };
        for statement in [
            "DELETE FROM grants WHERE team = $1",
            "DELETE FROM team_members WHERE team = $1",
            "DELETE FROM teams WHERE id = $1",
        ] {
            on!(connection, "removing a team", db =>
                sqlx::query(statement).bind(id).execute(db).await.map(drop))?;
        }
        change.note("team", format!("remove {name}")).await?;
        change.commit(Changed::Done).await
    }

    /// Adds a user or a robot to a team.
    pub async fn add_team_member(
        &self,
        team: i64,
        principal: i64,
        actor: &Actor,
        now: i64,
    ) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let Some((team_name, name)) = names_of(connection, team, principal).await? else {
            return change.undo(Changed::Unknown).await;
        };
        let added = on!(connection, "adding a member to a team", db => sqlx::query(
            "INSERT INTO team_members (team, principal, created) VALUES ($1, $2, $3) \
             ON CONFLICT DO NOTHING",
        )
        .bind(team)
        .bind(principal)
        .bind(now)
        .execute(db)
        .await
        .map(|done| done.rows_affected()))?;
        if added == 0 {
            return change.undo(Changed::Unchanged).await;
        }
        change.note("team", format!("add {name} to {team_name}")).await?;
        change.commit(Changed::Done).await
    }

    /// Removes a user or a robot from a team.
    pub async fn remove_team_member(
        &self,
        team: i64,
        principal: i64,
        actor: &Actor,
        now: i64,
    ) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let Some((team_name, name)) = names_of(connection, team, principal).await? else {
            return change.undo(Changed::Unknown).await;
        };
        let removed = on!(connection, "removing a member from a team", db =>
            sqlx::query("DELETE FROM team_members WHERE team = $1 AND principal = $2")
                .bind(team)
                .bind(principal)
                .execute(db)
                .await
                .map(|done| done.rows_affected()))?;
        if removed == 0 {
            return change.undo(Changed::Unchanged).await;
        }
        change.note("team", format!("remove {name} from {team_name}")).await?;
        change.commit(Changed::Done).await
    }
}

/// Returns the name of a team, if it is there. In a change.
pub(super) async fn name_of(connection: &mut Connection, id: i64) -> Result<Option<String>> {
    let found: Option<(String,)> = on!(connection, "finding a team", db =>
        sqlx::query_as("SELECT name FROM teams WHERE id = $1").bind(id).fetch_optional(db).await)?;
    Ok(found.map(|(name,)| name))
}

/// Returns the names of a team and a principal, if both are there.
async fn names_of(
    connection: &mut Connection,
    team: i64,
    principal: i64,
) -> Result<Option<(String, String)>> {
    let Some(team) = name_of(connection, team).await? else { return Ok(None) };
    let found = find_principal(connection, principal).await?;
    Ok(found.map(|principal| (team, principal.name)))
}
