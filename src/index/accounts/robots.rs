//! Robots: programs that sign in with tokens only.

use super::super::connection::on;
use super::super::{Actor, Index, Result};
use super::bounds::MOST_ROBOTS;
use super::namespaces;
use super::principals::{find, is_named, is_reserved, may_make, robots_made};
use super::rows::{Added, NewRobot};

impl Index {
    /// Adds a robot. The name is taken where there is or was a principal of that name, and where it is reserved; unknown is
    /// a namespace that is gone, and a maker who is gone, is disabled or is a robot; full, that the maker has made
    /// [`MOST_ROBOTS`].
    pub async fn add_robot(&self, robot: &NewRobot<'_>, actor: &Actor, now: i64) -> Result<Added> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        if is_reserved(connection, robot.name).await? || is_named(connection, robot.name).await? {
            return change.undo(Added::Taken).await;
        }
        if !may_make(connection, robot.maker).await? {
            return change.undo(Added::Unknown).await;
        }
        let Some(namespace) = namespaces::name_of(connection, robot.namespace).await? else {
            return change.undo(Added::Unknown).await;
        };
        let maker = find(connection, robot.maker).await?;
        if maker.is_some_and(|maker| !maker.is_admin)
            && robots_made(connection, robot.maker).await? >= MOST_ROBOTS
        {
            return change.undo(Added::Full).await;
        }
        let (id,): (i64,) = on!(connection, "adding a robot", db => sqlx::query_as(
            "INSERT INTO principals (kind, name, is_disabled, namespace, maker, created) \
             VALUES ('robot', $1, 0, $2, $3, $4) RETURNING id",
        )
        .bind(robot.name)
        .bind(robot.namespace)
        .bind(robot.maker)
        .bind(now)
        .fetch_one(db)
        .await)?;
        change.note("user", format!("add robot {} in {namespace}", robot.name)).await?;
        change.commit(Added::Made(id)).await
    }
}
