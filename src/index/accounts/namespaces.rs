//! Namespaces: the first components of repositories' names, and who owns them.

use super::super::columns::parsed;
use super::super::connection::{Connection, on};
use super::super::{Actor, Index, Result};
use super::bounds::MOST_NAMESPACES;
use super::principals::{find as find_principal, is_reserved, may_make};
use super::rows::{Added, Changed, NamespaceRow};
use crate::oci::Visibility;

type Row = (i64, String, Option<i64>, Option<String>, i64);

impl Index {
    /// Finds a namespace.
    pub async fn namespace(&self, name: &str) -> Result<Option<NamespaceRow>> {
        find(&mut self.read().await?, name).await
    }

    /// Lists namespaces by their names, bytewise after `last`, at most `limit`.
    pub async fn namespaces(&self, last: Option<&str>, limit: u32) -> Result<Vec<NamespaceRow>> {
        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "listing namespaces", db => sqlx::query_as(
            "SELECT id, name, owner, default_visibility, created FROM namespaces \
             WHERE name > $1 ORDER BY name LIMIT $2",
        )
        .bind(last.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        rows.into_iter().map(namespace).collect()
    }

    /// Adds a namespace of a user, or of the administrators. The name is taken where there is one, where it is reserved, and
    /// for a user where there are repositories in it; unknown is an owner who is gone, is disabled or is a robot; full,
    /// one who owns [`MOST_NAMESPACES`].
    pub async fn add_namespace(
        &self,
        name: &str,
        owner: Option<i64>,
        actor: &Actor,
        now: i64,
    ) -> Result<Added> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        if is_reserved(connection, name).await?
            || find(connection, name).await?.is_some()
            || (owner.is_some() && has_repositories(connection, name).await?)
        {
            return change.undo(Added::Taken).await;
        }
        if let Some(owner) = owner
            && !may_make(connection, owner).await?
        {
            return change.undo(Added::Unknown).await;
        }
        if is_full(connection, owner).await? {
            return change.undo(Added::Full).await;
        }
        let id = insert(connection, name, owner, now).await?;
        let owner = owner_name(connection, owner).await?;
        change.note("namespace", format!("add {name} of {owner}")).await?;
        change.commit(Added::Made(id)).await
    }

    /// Gives a namespace to a user, or to the administrators. Unknown is a user who is gone, is disabled or is a robot; full,
    /// one who owns [`MOST_NAMESPACES`].
    pub async fn set_namespace_owner(
        &self,
        id: i64,
        owner: Option<i64>,
        actor: &Actor,
        now: i64,
    ) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        if let Some(owner) = owner
            && !may_make(connection, owner).await?
        {
            return change.undo(Changed::Unknown).await;
        }
        if is_full(connection, owner).await? {
            return change.undo(Changed::Full).await;
        }
        let found: Option<(String,)> = on!(connection, "giving a namespace to another owner", db =>
            sqlx::query_as("UPDATE namespaces SET owner = $2 WHERE id = $1 RETURNING name")
                .bind(id)
                .bind(owner)
                .fetch_optional(db)
                .await)?;
        let Some((name,)) = found else { return change.undo(Changed::Unknown).await };
        let owner = owner_name(connection, owner).await?;
        change.note("namespace", format!("give {name} to {owner}")).await?;
        change.commit(Changed::Done).await
    }

    /// Says who may see repositories that will be made in a namespace; as the setting says, if none.
    pub async fn set_default_visibility(
        &self,
        id: i64,
        visibility: Option<Visibility>,
        actor: &Actor,
        now: i64,
    ) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let visibility = visibility.map(Visibility::as_str);
        let found: Option<(String,)> = on!(connection, "setting a default visibility", db => sqlx::query_as(
            "UPDATE namespaces SET default_visibility = $2 WHERE id = $1 RETURNING name",
        )
        .bind(id)
        .bind(visibility)
        .fetch_optional(db)
        .await)?;
        let Some((name,)) = found else { return change.undo(Changed::Unknown).await };
        let visibility = visibility.unwrap_or("as set");
        change.note("namespace", format!("new repositories of {name} {visibility}")).await?;
        change.commit(Changed::Done).await
    }

    /// Makes the namespace of each repository that has none, for the administrators: at the first start with accounts, and
    /// after a rebuild. Returns how many were made.
    pub async fn adopt_namespaces(&self, actor: &Actor, now: i64) -> Result<u64> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        // The first component of a name; the databases call the search by different names.
        let adopt = if connection.is_lite() {
            "INSERT INTO namespaces (name, created) \
             SELECT DISTINCT substr(name, 1, instr(name || '/', '/') - 1) AS first, $1 \
             FROM repositories WHERE true ON CONFLICT (name) DO NOTHING RETURNING name"
        } else {
            "INSERT INTO namespaces (name, created) \
             SELECT DISTINCT split_part(name, '/', 1), CAST($1 AS BIGINT) \
             FROM repositories ON CONFLICT (name) DO NOTHING RETURNING name"
        };
        let made: Vec<(String,)> = on!(connection, "making namespaces", db =>
            sqlx::query_as(adopt).bind(now).fetch_all(db).await)?;
        if made.is_empty() {
            return change.undo(0).await;
        }
        for (name,) in &made {
            change.note("namespace", format!("add {name} of the administrators")).await?;
        }
        change.commit(made.len() as u64).await
    }
}

/// Finds a namespace.
pub(super) async fn find(connection: &mut Connection, name: &str) -> Result<Option<NamespaceRow>> {
    let found: Option<Row> = on!(connection, "finding a namespace", db => sqlx::query_as(
        "SELECT id, name, owner, default_visibility, created FROM namespaces WHERE name = $1",
    )
    .bind(name)
    .fetch_optional(db)
    .await)?;
    found.map(namespace).transpose()
}

/// Returns the name of a namespace, if it is there. In a change.
pub(super) async fn name_of(connection: &mut Connection, id: i64) -> Result<Option<String>> {
    let found: Option<(String,)> = on!(connection, "finding a namespace", db =>
        sqlx::query_as("SELECT name FROM namespaces WHERE id = $1")
            .bind(id)
            .fetch_optional(db)
            .await)?;
    Ok(found.map(|(name,)| name))
}

/// Adds the row of a namespace that is not there, and returns its number. In a change.
pub(super) async fn insert(
    connection: &mut Connection,
    name: &str,
    owner: Option<i64>,
    now: i64,
) -> Result<i64> {
    let (id,): (i64,) = on!(connection, "adding a namespace", db => sqlx::query_as(
        "INSERT INTO namespaces (name, owner, created) VALUES ($1, $2, $3) RETURNING id",
    )
    .bind(name)
    .bind(owner)
    .bind(now)
    .fetch_one(db)
    .await)?;
    Ok(id)
}

/// Tells whether there is a repository of that name or below it.
pub(super) async fn has_repositories(connection: &mut Connection, namespace: &str) -> Result<bool> {
    // `0` follows `/`.
    let found: Option<(i64,)> = on!(connection, "looking for repositories", db => sqlx::query_as(
        "SELECT id FROM repositories WHERE name = $1 \
         UNION ALL SELECT id FROM repositories WHERE name >= $2 AND name < $3 LIMIT 1",
    )
    .bind(namespace)
    .bind(format!("{namespace}/"))
    .bind(format!("{namespace}0"))
    .fetch_optional(db)
    .await)?;
    Ok(found.is_some())
}

/// Tells whether a user owns as many namespaces as it may.
async fn is_full(connection: &mut Connection, owner: Option<i64>) -> Result<bool> {
    let Some(owner) = owner else { return Ok(false) };
    if find_principal(connection, owner).await?.is_some_and(|owner| owner.is_admin) {
        return Ok(false);
    }
    let (count,): (i64,) = on!(connection, "counting namespaces", db =>
        sqlx::query_as("SELECT count(*) FROM namespaces WHERE owner = $1")
            .bind(owner)
            .fetch_one(db)
            .await)?;
    Ok(count >= MOST_NAMESPACES)
}

async fn owner_name(connection: &mut Connection, owner: Option<i64>) -> Result<String> {
    let Some(owner) = owner else { return Ok("the administrators".to_owned()) };
    let found = find_principal(connection, owner).await?;
    Ok(found.map_or_else(String::new, |owner| owner.name))
}

fn namespace((id, name, owner, visibility, created): Row) -> Result<NamespaceRow> {
    let default_visibility = visibility.as_deref().map(parsed).transpose()?;
    Ok(NamespaceRow { id, name, owner, default_visibility, created })
}
