//! Removing a namespace that is empty.

use super::super::connection::{Connection, on};
use super::super::{Actor, Index, Result};
use super::namespaces;
use super::rows::NamespaceRemoval;

/// What a namespace may have, and how its first is found. `0` follows `/`.
const CONTENT: [(Found, &str); 5] = [
    (NamespaceRemoval::OfUser, "SELECT name FROM principals WHERE kind = 'user' AND name = $1"),
    (
        NamespaceRemoval::HasRepository,
        "SELECT name FROM repositories \
         WHERE name = $1 OR (name >= $1 || '/' AND name < $1 || '0') ORDER BY name LIMIT 1",
    ),
    (
        NamespaceRemoval::HasUpload,
        "SELECT repository FROM uploads WHERE repository = $1 \
         OR (repository >= $1 || '/' AND repository < $1 || '0') ORDER BY repository LIMIT 1",
    ),
    (
        NamespaceRemoval::HasRobot,
        "SELECT p.name FROM principals p JOIN namespaces n ON n.id = p.namespace \
         WHERE n.name = $1 ORDER BY p.name LIMIT 1",
    ),
    (NamespaceRemoval::HasQuota, "SELECT namespace FROM quotas WHERE namespace = $1"),
];

/// Says of a name what it is in the way of.
type Found = fn(String) -> NamespaceRemoval;

impl Index {
    /// Removes a namespace in which there is nothing: no repository, no upload, no robot and no quota; nor is it that of the
    /// user of its name. The roles that were given in it go with it, so that a later namespace of that name begins without
    /// any, and its name may be given again.
    pub async fn remove_namespace(
        &self,
        id: i64,
        actor: &Actor,
        now: i64,
    ) -> Result<NamespaceRemoval> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let Some(name) = namespaces::name_of(connection, id).await? else {
            return change.undo(NamespaceRemoval::Unknown).await;
        };
        for (found, query) in CONTENT {
            if let Some(content) = first(connection, query, &name).await? {
                return change.undo(found(content)).await;
            }
        }
        let roles = on!(connection, "removing the roles in a namespace", db => sqlx::query(
            "DELETE FROM grants \
             WHERE pattern = $1 OR (pattern >= $1 || '/' AND pattern < $1 || '0')",
        )
        .bind(&name)
        .execute(db)
        .await
        .map(|done| done.rows_affected()))?;
        on!(connection, "removing a namespace", db =>
            sqlx::query("DELETE FROM namespaces WHERE id = $1")
                .bind(id)
                .execute(db)
                .await
                .map(drop))?;
        let detail = match roles {
            0 => format!("remove {name}"),
            roles => format!("remove {name} and the roles in it: {roles}"),
        };
        change.note("namespace", detail).await?;
        change.commit(NamespaceRemoval::Done).await
    }
}

/// Returns the name that a query finds first.
async fn first(
    connection: &mut Connection,
    query: &'static str,
    namespace: &str,
) -> Result<Option<String>> {
    let found: Option<(String,)> = on!(connection, "looking into a namespace", db =>
        sqlx::query_as(query).bind(namespace).fetch_optional(db).await)?;
    Ok(found.map(|(name,)| name))
}
