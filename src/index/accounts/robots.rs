//! Robots: programs that sign in with tokens only.

use super::super::connection::on;
use super::super::{Actor, Index, Result};
use super::bounds::MOST_ROBOTS;
use super::namespaces;
use super::principals::{find, is_named, is_reserved, may_make, robots_made};
use super::rows::{Added, Changed, NewRobot, PrincipalKind};

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

    /// Says which user a robot is of, whose rights bound it from here on. It stays disabled if it is. Unknown is a robot that
    /// is gone, and a user who is gone, is disabled or is a robot; full, one who has made [`MOST_ROBOTS`].
    pub async fn set_robot_maker(
        &self,
        id: i64,
        maker: i64,
        actor: &Actor,
        now: i64,
    ) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let robot = find(connection, id).await?.filter(|it| it.kind == PrincipalKind::Robot);
        let Some(robot) = robot else { return change.undo(Changed::Unknown).await };
        if robot.maker == Some(maker) {
            return change.undo(Changed::Unchanged).await;
        }
        let user = find(connection, maker).await?;
        let user = user.filter(|it| it.kind == PrincipalKind::User && !it.is_disabled);
        let Some(user) = user else { return change.undo(Changed::Unknown).await };
        if !user.is_admin && robots_made(connection, maker).await? >= MOST_ROBOTS {
            return change.undo(Changed::Full).await;
        }
        on!(connection, "giving a robot to another user", db =>
            sqlx::query("UPDATE principals SET maker = $2 WHERE id = $1")
                .bind(id)
                .bind(maker)
                .execute(db)
                .await
                .map(drop))?;
        change.note("user", format!("give robot {} to {}", robot.name, user.name)).await?;
        change.commit(Changed::Done).await
    }
}
