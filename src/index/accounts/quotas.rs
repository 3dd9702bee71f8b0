//! Changes of quotas.

use super::super::columns::signed;
use super::super::connection::on;
use super::super::quota::{Quota, UNLIMITED};
use super::super::statement::Statement;
use super::super::{Actor, Index, Result};
use super::namespaces;
use super::rows::Changed;

impl Index {
    /// Gives a namespace a quota in place of that which it has. Unknown is a namespace that is not there.
    pub async fn set_quota(
        &self,
        namespace: &str,
        quota: &Quota,
        actor: &Actor,
        now: i64,
    ) -> Result<Changed> {
        let numbers = [quota.bytes, quota.unreferenced, quota.repositories, quota.tags];
        let [bytes, unreferenced, repositories, tags] =
            numbers.map(|number| number.map_or(Ok(UNLIMITED), signed));
        let (bytes, unreferenced) = (bytes?, unreferenced?);
        let (repositories, tags) = (repositories?, tags?);
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        if namespaces::find(connection, namespace).await?.is_none() {
            return change.undo(Changed::Unknown).await;
        }
        let set = Statement::new(
            "setting a quota",
            "INSERT INTO quotas (namespace, bytes, unreferenced, repositories, tags) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (namespace) DO UPDATE SET \
             bytes = excluded.bytes, unreferenced = excluded.unreferenced, \
             repositories = excluded.repositories, tags = excluded.tags",
        );
        let set = set.bind(namespace).bind(bytes).bind(unreferenced);
        connection.run(set.bind(repositories).bind(tags)).await?;
        self.quotas.set();
        change.note("quota", format!("set {namespace} {quota}")).await?;
        change.commit(Changed::Done).await
    }

    /// Takes the quota of a namespace away.
    pub async fn remove_quota(&self, namespace: &str, actor: &Actor, now: i64) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let removed = on!(connection, "removing a quota", db =>
            sqlx::query("DELETE FROM quotas WHERE namespace = $1")
                .bind(namespace)
                .execute(db)
                .await
                .map(|done| done.rows_affected()))?;
        if removed == 0 {
            return change.undo(Changed::Unchanged).await;
        }
        change.note("quota", format!("remove {namespace}")).await?;
        change.commit(Changed::Done).await
    }
}
