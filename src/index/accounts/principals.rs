//! Users and robots: looking them up, and what applies to both.

use secrecy::SecretString;
use sqlx::QueryBuilder;

use super::super::columns::damaged;
use super::super::connection::{Connection, on};
use super::super::{Actor, Index, Result};
use super::rows::{Account, Changed, Principal, PrincipalFilter, PrincipalKind};

const SELECT: &str = "SELECT p.id, p.kind, p.name, p.is_admin, p.is_disabled, n.name, p.maker, p.password, \
     p.password_changes, p.created FROM principals p LEFT JOIN namespaces n ON n.id = p.namespace ";

/// The columns of a [`Principal`].
pub(super) type PrincipalColumns =
    (i64, String, String, Option<i64>, Option<i64>, Option<String>, Option<i64>);

type Row = (
    i64,
    String,
    String,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<String>,
    i64,
    i64,
);

impl Index {
    /// Finds a user or a robot by its name.
    pub async fn principal(&self, name: &str) -> Result<Option<Account>> {
        let connection = &mut self.read().await?;
        let found: Option<Row> = on!(connection, "finding a principal", db => {
            let mut select = QueryBuilder::new(SELECT);
            select.push("WHERE p.name = ").push_bind(name);
            select.build_query_as().fetch_optional(db).await
        })?;
        found.map(account).transpose()
    }

    /// Finds a user or a robot by its number.
    pub async fn principal_by_id(&self, id: i64) -> Result<Option<Account>> {
        let connection = &mut self.read().await?;
        let found: Option<Row> = on!(connection, "finding a principal", db => {
            let mut select = QueryBuilder::new(SELECT);
            select.push("WHERE p.id = ").push_bind(id);
            select.build_query_as().fetch_optional(db).await
        })?;
        found.map(account).transpose()
    }

    /// Lists principals by their names, bytewise after `last`, at most `limit`.
    pub async fn principals(
        &self,
        filter: PrincipalFilter,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Account>> {
        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "listing principals", db => {
            let mut select = QueryBuilder::new(SELECT);
            select.push("WHERE p.name > ").push_bind(last.unwrap_or_default());
            match filter {
                PrincipalFilter::Users => select.push(" AND p.kind = 'user'"),
                PrincipalFilter::Robots => select.push(" AND p.kind = 'robot'"),
                PrincipalFilter::RobotsOf(id) => select.push(" AND p.namespace = ").push_bind(id),
                PrincipalFilter::RobotsOfOwner(id) => {
                    select.push(" AND p.kind = 'robot' AND n.owner = ").push_bind(id)
                }
                PrincipalFilter::MadeBy(id) => select.push(" AND p.maker = ").push_bind(id),
            };
            select.push(" ORDER BY p.name LIMIT ").push_bind(i64::from(limit));
            select.build_query_as().fetch_all(db).await
        })?;
        rows.into_iter().map(account).collect()
    }

    /// Disables a user or robot, or enables it again. While a user is disabled, so is what it made.
    pub async fn set_disabled(
        &self,
        id: i64,
        is_disabled: bool,
        actor: &Actor,
        now: i64,
    ) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let Some(principal) = find(change.connection(), id).await? else {
            return change.undo(Changed::Unknown).await;
        };
        if principal.is_disabled == is_disabled {
            return change.undo(Changed::Unchanged).await;
        }
        if is_disabled && is_last_administrator(change.connection(), &principal).await? {
            return change.undo(Changed::LastAdministrator).await;
        }
        let is_robot = principal.kind == PrincipalKind::Robot;
        if !is_disabled && is_robot && principal.maker.is_none() {
            return change.undo(Changed::WithoutMaker).await;
        }
        let connection = change.connection();
        on!(connection, "disabling or enabling a principal", db =>
            sqlx::query("UPDATE principals SET is_disabled = $2 WHERE id = $1")
                .bind(id)
                .bind(i64::from(is_disabled))
                .execute(db)
                .await
                .map(drop))?;
        let done = if is_disabled { "disable" } else { "enable" };
        change.note("user", format!("{done} {}", principal.name)).await?;
        change.commit(Changed::Done).await
    }
}

/// Finds a principal. In a change.
pub(super) async fn find(connection: &mut Connection, id: i64) -> Result<Option<Principal>> {
    let found: Option<PrincipalColumns> = on!(connection, "finding a principal", db => sqlx::query_as(
        "SELECT p.id, p.kind, p.name, p.is_admin, p.is_disabled, n.name, p.maker FROM principals p \
         LEFT JOIN namespaces n ON n.id = p.namespace WHERE p.id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await)?;
    found.map(principal).transpose()
}

/// Tells whether this is a user that may make something: one that is there and is not disabled. In a change.
pub(super) async fn may_make(connection: &mut Connection, id: i64) -> Result<bool> {
    let found = find(connection, id).await?;
    Ok(found.is_some_and(|maker| maker.kind == PrincipalKind::User && !maker.is_disabled))
}

/// Tells whether without this principal no administrator would be left who can sign in: one that is not disabled and has
/// a password. Where this one cannot either, nothing is lost with it. In a change.
pub(super) async fn is_last_administrator(
    connection: &mut Connection,
    principal: &Principal,
) -> Result<bool> {
    if !principal.is_admin || principal.is_disabled {
        return Ok(false);
    }
    let left: Vec<(i64,)> = on!(connection, "looking for administrators", db => sqlx::query_as(
        "SELECT id FROM principals \
         WHERE is_admin = 1 AND is_disabled = 0 AND password IS NOT NULL LIMIT 2",
    )
    .fetch_all(db)
    .await)?;
    Ok(left == [(principal.id,)])
}

/// Counts the robots that a user has made, those included whose names are reserved since they were removed. In a change.
pub(super) async fn robots_made(connection: &mut Connection, maker: i64) -> Result<i64> {
    let (count,): (i64,) = on!(connection, "counting robots", db => sqlx::query_as(
        "SELECT (SELECT count(*) FROM principals WHERE maker = $1) \
         + (SELECT count(*) FROM reserved_names WHERE maker = $1)",
    )
    .bind(maker)
    .fetch_one(db)
    .await)?;
    Ok(count)
}

/// Tells whether a name can never be given to a principal or a namespace any more. In a change.
pub(super) async fn is_reserved(connection: &mut Connection, name: &str) -> Result<bool> {
    let found: Option<(String,)> = on!(connection, "looking for a reserved name", db =>
        sqlx::query_as("SELECT name FROM reserved_names WHERE name = $1")
            .bind(name)
            .fetch_optional(db)
            .await)?;
    Ok(found.is_some())
}

/// Tells whether there is a principal of that name. In a change.
pub(super) async fn is_named(connection: &mut Connection, name: &str) -> Result<bool> {
    let found: Option<(i64,)> = on!(connection, "finding a principal", db =>
        sqlx::query_as("SELECT id FROM principals WHERE name = $1")
            .bind(name)
            .fetch_optional(db)
            .await)?;
    Ok(found.is_some())
}

fn account(row: Row) -> Result<Account> {
    let (id, kind, name, is_admin, is_disabled, namespace, maker, password, changes, created) = row;
    Ok(Account {
        principal: principal((id, kind, name, is_admin, is_disabled, namespace, maker))?,
        password: password.map(SecretString::from),
        password_changes: changes,
        created,
    })
}

/// Reads a principal. What is not known to be allowed is not.
pub(super) fn principal(columns: PrincipalColumns) -> Result<Principal> {
    let (id, kind, name, is_admin, is_disabled, namespace, maker) = columns;
    let kind = match kind.as_str() {
        "user" => PrincipalKind::User,
        "robot" => PrincipalKind::Robot,
        _ => return Err(damaged("reading a principal", format!("of kind {kind}"))),
    };
    let (is_admin, is_disabled) = (is_admin == Some(1), is_disabled != Some(0));
    Ok(Principal { id, kind, name, is_admin, is_disabled, namespace, maker })
}
