//! The ledger of what each namespace has, and its quota.
//!
//! The databases change the ledger by triggers (migration 10), in the transaction of each change, so no caller has to.
//! What is compared with a quota is the ledger inside of that transaction.

use super::columns::unsigned;
use super::connection::{Connection, on};
use super::new_repositories::first_component;
use super::quota::{Holding, Quota, QuotaKind, QuotaRow, UNLIMITED, Usage};
use super::statement::Statement;
use super::{Index, Result, Writer};
use crate::oci::{CanonicalDigest, RepositoryName};

type Ledger = (String, i64, i64, i64, i64);
type Row = (String, i64, i64, i64, i64, i64, i64, i64, i64);

/// How a quota is read with the ledger of its namespace, which may have nothing yet.
const SELECT: &str = "SELECT q.namespace, q.bytes, q.unreferenced, q.repositories, q.tags, \
    COALESCE(u.bytes, 0), COALESCE(u.unreferenced, 0), COALESCE(u.repositories, 0), COALESCE(u.tags, 0) \
    FROM quotas q LEFT JOIN namespace_usage u ON u.namespace = q.namespace ";

/// Counts what each namespace has, each content once.
const COUNT: &str = "SELECT namespace, CAST(SUM(bytes) AS BIGINT), CAST(SUM(unreferenced) AS BIGINT), \
    CAST(SUM(repositories) AS BIGINT), CAST(SUM(tags) AS BIGINT) FROM ( \
    SELECT namespace, CASE WHEN named > 0 THEN size ELSE 0 END AS bytes, \
    CASE WHEN named > 0 THEN 0 ELSE size END AS unreferenced, 0 AS repositories, 0 AS tags FROM ( \
    SELECT namespace, digest, MAX(size) AS size, SUM(named) AS named FROM ( \
    SELECT r.namespace, b.digest, b.size, CASE WHEN rb.linked <> 0 THEN 1 ELSE 0 END AS named \
    FROM repository_blobs rb JOIN repositories r ON r.id = rb.repository \
    JOIN blobs b ON b.digest = rb.canonical \
    UNION ALL SELECT r.namespace, m.digest, m.size, 1 FROM repository_manifests rm \
    JOIN repositories r ON r.id = rm.repository JOIN manifests m ON m.digest = rm.canonical \
    ) held GROUP BY namespace, digest) contents \
    UNION ALL SELECT r.namespace, 0, 0, 1, 0 FROM repositories r \
    WHERE EXISTS (SELECT 1 FROM repository_manifests m WHERE m.repository = r.id) \
    UNION ALL SELECT r.namespace, 0, 0, 0, 1 FROM tags t JOIN repositories r ON r.id = t.repository \
    ) parts GROUP BY namespace \
    HAVING SUM(bytes) <> 0 OR SUM(unreferenced) <> 0 OR SUM(repositories) <> 0 OR SUM(tags) <> 0 \
    ORDER BY namespace";

impl Index {
    /// Returns the quota of a namespace, if it has one.
    pub async fn quota(&self, namespace: &str) -> Result<Option<QuotaRow>> {
        find(&mut self.read().await?, namespace).await
    }

    /// Returns the quota of a repository's namespace, if it has one.
    pub async fn quota_of(&self, repository: &RepositoryName) -> Result<Option<QuotaRow>> {
        if self.may_have_quotas().await? {
            self.quota(first_component(repository)).await
        } else {
            Ok(None)
        }
    }

    /// Tells whether there may be a quota. Other processes may set one at any time, where there are others.
    pub(super) async fn may_have_quotas(&self) -> Result<bool> {
        if self.is_shared() {
            return Ok(true);
        }
        if let Some(known) = self.quotas.get() {
            return Ok(known);
        }
        let connection = &mut self.read().await?;
        let found: Option<(i64,)> = on!(connection, "looking for quotas", db =>
            sqlx::query_as("SELECT tags FROM quotas LIMIT 1").fetch_optional(db).await)?;
        self.quotas.note(found.is_some());
        Ok(found.is_some() || self.quotas.get() == Some(true))
    }

    /// Lists quotas by the names of their namespaces, bytewise after `last`, at most `limit`.
    pub async fn quotas(&self, last: Option<&str>, limit: u32) -> Result<Vec<QuotaRow>> {
        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "listing quotas", db => sqlx::query_as(
            sqlx::AssertSqlSafe(format!("{SELECT} WHERE q.namespace > $1 ORDER BY q.namespace LIMIT $2")),
        )
        .bind(last.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        rows.into_iter().map(row).collect()
    }

    /// Tells whether the namespace of a repository has content.
    pub async fn holding(
        &self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Holding> {
        holding(&mut self.read().await?, repository, digest).await
    }

    /// Tells whether a repository counts: whether it has a manifest.
    pub async fn is_counted(&self, repository: &RepositoryName) -> Result<bool> {
        let connection = &mut self.read().await?;
        let found: Option<(i64,)> = on!(connection, "finding a repository", db => sqlx::query_as(
            "SELECT r.id FROM repositories r WHERE r.name = $1 \
             AND EXISTS (SELECT 1 FROM repository_manifests m WHERE m.repository = r.id)",
        )
        .bind(repository.as_str())
        .fetch_optional(db)
        .await)?;
        Ok(found.is_some())
    }

    /// Lists the ledgers of all namespaces that have something, by their names.
    pub async fn usage(&self) -> Result<Vec<(String, Usage)>> {
        let connection = &mut self.read().await?;
        let rows: Vec<Ledger> = on!(connection, "listing what namespaces have", db => sqlx::query_as(
            "SELECT namespace, bytes, unreferenced, repositories, tags FROM namespace_usage \
             WHERE bytes <> 0 OR unreferenced <> 0 OR repositories <> 0 OR tags <> 0 ORDER BY namespace",
        )
        .fetch_all(db)
        .await)?;
        rows.into_iter().map(ledger).collect()
    }

    /// Counts what each namespace has, out of what its repositories have: as the ledgers should say.
    pub async fn counted_usage(&self) -> Result<Vec<(String, Usage)>> {
        let connection = &mut self.read().await?;
        let rows: Vec<Ledger> = on!(connection, "counting what namespaces have", db =>
            sqlx::query_as(COUNT).fetch_all(db).await)?;
        rows.into_iter().map(ledger).collect()
    }
}

impl Writer {
    /// Returns the quota of a repository's namespace, if it has one.
    pub async fn quota_of(&mut self, repository: &RepositoryName) -> Result<Option<QuotaRow>> {
        find(self.connection(), first_component(repository)).await
    }

    /// Notes where the transaction stands. In a transaction.
    pub async fn set_savepoint(&mut self) -> Result<()> {
        let savepoint = Statement::new("setting a savepoint", "SAVEPOINT before_change");
        self.connection().run(savepoint).await
    }

    /// Undoes what the transaction did since it was noted where it stood.
    pub async fn undo_to_savepoint(&mut self) -> Result<()> {
        let undo = "ROLLBACK TO SAVEPOINT before_change";
        self.connection().run(Statement::new("undoing to a savepoint", undo)).await?;
        self.release_savepoint().await
    }

    /// Forgets where the transaction stood.
    pub async fn release_savepoint(&mut self) -> Result<()> {
        let release = Statement::new("releasing a savepoint", "RELEASE SAVEPOINT before_change");
        self.connection().run(release).await
    }
}

/// Tells whether a blob that is about to be given to a repository has to be compared with a quota afterwards.
pub(super) async fn is_limited(
    connection: &mut Connection,
    repository: &RepositoryName,
    digest: &CanonicalDigest,
) -> Result<bool> {
    let found: Option<(i64,)> = on!(connection, "finding a quota", db => sqlx::query_as(
        "SELECT q.unreferenced FROM quotas q WHERE q.namespace = $1 AND NOT EXISTS ( \
         SELECT 1 FROM namespace_contents c WHERE c.namespace = q.namespace AND c.digest = $2)",
    )
    .bind(first_component(repository))
    .bind(digest.to_string())
    .fetch_optional(db)
    .await)?;
    Ok(found.is_some_and(|(unreferenced,)| unreferenced != UNLIMITED))
}

/// Undoes the transaction and fails, if the blob that it has given to a repository is too much, with what uploads to the
/// namespace have saved. The ledger and the quota are this transaction's until it ends.
pub(super) async fn check(
    connection: &mut Connection,
    repository: &RepositoryName,
    size: u64,
) -> Result<()> {
    hold(connection, repository).await?;
    let Some(mut row) = find(connection, first_component(repository)).await? else { return Ok(()) };
    // The upload that it comes from is none any more in this transaction.
    let beside = bytes_beside(connection, repository, "").await?;
    row.usage.unreferenced = row.usage.unreferenced.saturating_sub(size).saturating_add(beside);
    match row.refuses(QuotaKind::Unreferenced, size) {
        Some(exceeded) => {
            connection.rollback().await?;
            Err(exceeded.into())
        }
        None => Ok(()),
    }
}

/// Undoes the transaction and fails, if an upload that it has saved would be too much as a blob, with what other uploads to
/// the namespace have saved. The quota is this transaction's until it ends, so that no other one saves meanwhile.
pub(super) async fn check_upload(
    connection: &mut Connection,
    repository: &RepositoryName,
    id: &str,
    offset: u64,
) -> Result<()> {
    hold(connection, repository).await?;
    let Some(mut row) = find(connection, first_component(repository)).await? else { return Ok(()) };
    if row.quota.unreferenced.is_some() {
        let beside = bytes_beside(connection, repository, id).await?;
        row.usage.unreferenced = row.usage.unreferenced.saturating_add(beside);
    }
    let kinds = [QuotaKind::Bytes, QuotaKind::Unreferenced];
    match kinds.into_iter().find_map(|kind| row.refuses(kind, offset)) {
        Some(exceeded) => {
            connection.rollback().await?;
            Err(exceeded.into())
        }
        None => Ok(()),
    }
}

/// Returns how many bytes uploads to the namespace of a repository have saved, but for that one.
pub(super) async fn bytes_beside(
    connection: &mut Connection,
    repository: &RepositoryName,
    id: &str,
) -> Result<u64> {
    let namespace = first_component(repository);
    // `0` follows `/`.
    let (bytes,): (i64,) = on!(connection, "measuring uploads of a namespace", db => sqlx::query_as(
        "SELECT CAST(COALESCE(SUM(received), 0) AS BIGINT) FROM uploads WHERE id <> $1 \
         AND (repository = $2 OR (repository >= $3 AND repository < $4))",
    )
    .bind(id)
    .bind(namespace)
    .bind(format!("{namespace}/"))
    .bind(format!("{namespace}0"))
    .fetch_one(db)
    .await)?;
    unsigned(bytes)
}

/// Keeps other processes from comparing with the quota until the transaction ends; on SQLite no other one writes meanwhile.
/// What is read after this, others have committed.
async fn hold(connection: &mut Connection, repository: &RepositoryName) -> Result<()> {
    if connection.is_lite() {
        return Ok(());
    }
    on!(connection, "holding a quota", db =>
        sqlx::query("SELECT 1 FROM quotas WHERE namespace = $1 FOR UPDATE")
            .bind(first_component(repository))
            .execute(db)
            .await
            .map(drop))
}

async fn find(connection: &mut Connection, namespace: &str) -> Result<Option<QuotaRow>> {
    let found: Option<Row> = on!(connection, "finding a quota", db => sqlx::query_as(
        sqlx::AssertSqlSafe(format!("{SELECT} WHERE q.namespace = $1")),
    )
    .bind(namespace)
    .fetch_optional(db)
    .await)?;
    found.map(row).transpose()
}

async fn holding(
    connection: &mut Connection,
    repository: &RepositoryName,
    digest: &CanonicalDigest,
) -> Result<Holding> {
    let found: Option<(i64,)> = on!(connection, "finding content of a namespace", db => sqlx::query_as(
        "SELECT named FROM namespace_contents WHERE namespace = $1 AND digest = $2",
    )
    .bind(first_component(repository))
    .bind(digest.to_string())
    .fetch_optional(db)
    .await)?;
    Ok(match found {
        Some((named,)) if named > 0 => Holding::Named,
        Some(_) => Holding::Unreferenced,
        None => Holding::None,
    })
}

fn ledger((namespace, bytes, unreferenced, repositories, tags): Ledger) -> Result<(String, Usage)> {
    Ok((namespace, usage_of([bytes, unreferenced, repositories, tags])?))
}

fn usage_of([bytes, unreferenced, repositories, tags]: [i64; 4]) -> Result<Usage> {
    Ok(Usage {
        bytes: unsigned(bytes)?,
        unreferenced: unsigned(unreferenced)?,
        repositories: unsigned(repositories)?,
        tags: unsigned(tags)?,
    })
}

fn row(row: Row) -> Result<QuotaRow> {
    let (namespace, bytes, unreferenced, repositories, tags, ..) = row;
    let limit = |number: i64| (number != UNLIMITED).then(|| unsigned(number)).transpose();
    let quota = Quota {
        bytes: limit(bytes)?,
        unreferenced: limit(unreferenced)?,
        repositories: limit(repositories)?,
        tags: limit(tags)?,
    };
    Ok(QuotaRow { namespace, quota, usage: usage_of([row.5, row.6, row.7, row.8])? })
}
