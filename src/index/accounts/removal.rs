//! Removing a user or a robot, with all that depends on it.

use super::super::connection::{Connection, on};
use super::super::{Actor, Index, Result};
use super::change::Change;
use super::principals::{find, is_last_administrator};
use super::rows::Changed;

/// What goes with a principal, and what loses its maker.
const DEPENDENT: [&str; 5] = [
    "DELETE FROM access_tokens WHERE principal = $1 OR maker = $1",
    "DELETE FROM grants WHERE principal = $1",
    "UPDATE grants SET maker = NULL WHERE maker = $1",
    "DELETE FROM team_members WHERE principal = $1",
    "DELETE FROM principals WHERE id = $1",
];

impl Index {
    /// Removes a user or a robot. Its tokens, those that it made for others, its grants and its memberships go; the
    /// namespaces that it owns become the administrators'; robots that it made are disabled, until another user has them,
    /// since no rights bound them. Its name is never given again.
    pub async fn remove_principal(&self, id: i64, actor: &Actor, now: i64) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let Some(principal) = find(change.connection(), id).await? else {
            return change.undo(Changed::Unknown).await;
        };
        if is_last_administrator(change.connection(), &principal).await? {
            return change.undo(Changed::LastAdministrator).await;
        }
        disable_robots(&mut change, id).await?;
        disown(&mut change, id).await?;
        for statement in DEPENDENT {
            remove(change.connection(), statement, id).await?;
        }
        let connection = change.connection();
        on!(connection, "reserving a name", db =>
            sqlx::query("INSERT INTO reserved_names (name, maker) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(&principal.name)
                .bind(principal.maker)
                .execute(db)
                .await
                .map(drop))?;
        change.note("user", format!("remove {}", principal.name)).await?;
        change.commit(Changed::Done).await
    }
}

/// Disables the robots that a user made, who are without a maker from here on.
async fn disable_robots(change: &mut Change<'_>, maker: i64) -> Result<()> {
    let connection = change.connection();
    let robots: Vec<(String,)> = on!(connection, "disabling robots", db => sqlx::query_as(
        "UPDATE principals SET is_disabled = 1, maker = NULL WHERE maker = $1 RETURNING name",
    )
    .bind(maker)
    .fetch_all(db)
    .await)?;
    for (name,) in robots {
        change.note("user", format!("disable {name}")).await?;
    }
    Ok(())
}

/// Gives the namespaces that a user owns to the administrators.
async fn disown(change: &mut Change<'_>, owner: i64) -> Result<()> {
    let connection = change.connection();
    let namespaces: Vec<(String,)> = on!(connection, "giving namespaces away", db =>
        sqlx::query_as("UPDATE namespaces SET owner = NULL WHERE owner = $1 RETURNING name")
            .bind(owner)
            .fetch_all(db)
            .await)?;
    for (name,) in namespaces {
        change.note("namespace", format!("give {name} to the administrators")).await?;
    }
    Ok(())
}

async fn remove(connection: &mut Connection, statement: &'static str, id: i64) -> Result<()> {
    on!(connection, "removing a principal", db =>
        sqlx::query(statement).bind(id).execute(db).await.map(drop))
}
