//! Roots that are published, and how publishing stands.

use cid::Cid;

use super::columns::cid;
use super::connection::{Connection, on};
use super::{PublishedRoot, Result};

/// Returns how publishing stands, as it was last written down.
pub(super) async fn record(connection: &mut Connection) -> Result<Option<Vec<u8>>> {
    let found: Option<(Vec<u8>,)> = on!(connection, "reading how publishing stands", db =>
        sqlx::query_as("SELECT record FROM publication WHERE id = 1").fetch_optional(db).await)?;
    Ok(found.map(|(record,)| record))
}

/// Writes down how publishing stands.
pub(super) async fn set_record(connection: &mut Connection, record: &[u8]) -> Result<()> {
    on!(connection, "writing down how publishing stands", db => sqlx::query(
        "INSERT INTO publication (id, record) VALUES (1, $1) \
         ON CONFLICT (id) DO UPDATE SET record = excluded.record",
    )
    .bind(record)
    .execute(db)
    .await
    .map(drop))
}

/// Lists the roots, in no order.
pub(super) async fn roots(connection: &mut Connection) -> Result<Vec<PublishedRoot>> {
    type Row = (Vec<u8>, i64, Option<i64>, Option<i64>);

    let rows: Vec<Row> = on!(connection, "listing published roots", db =>
        sqlx::query_as("SELECT root, held, published, expires FROM published_roots")
            .fetch_all(db)
            .await)?;
    let root = |(root, retained_since, published, expires): Row| {
        Ok(PublishedRoot { root: cid(&root)?, retained_since, published, expires })
    };
    rows.into_iter().map(root).collect()
}

/// Adds a root; returns whether it was not there. One that was to go stays.
pub(super) async fn hold(connection: &mut Connection, root: &Cid, now: i64) -> Result<bool> {
    on!(connection, "keeping a root", db =>
        sqlx::query("UPDATE published_roots SET expires = NULL WHERE root = $1")
            .bind(root.to_bytes())
            .execute(db)
            .await
            .map(drop))?;
    let added = on!(connection, "holding a root", db => sqlx::query(
        "INSERT INTO published_roots (root, held) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    )
    .bind(root.to_bytes())
    .bind(now)
    .execute(db)
    .await
    .map(|done| done.rows_affected()))?;
    Ok(added > 0)
}

/// Notes which roots the DNS names, and that the others may go then. In a transaction.
pub(super) async fn set_published(
    connection: &mut Connection,
    roots: &[Cid],
    now: i64,
    expires: i64,
) -> Result<()> {
    on!(connection, "noting roots that were replaced", db =>
        sqlx::query("UPDATE published_roots SET expires = $1 WHERE expires IS NULL")
            .bind(expires)
            .execute(db)
            .await
            .map(drop))?;
    for root in roots {
        on!(connection, "noting a published root", db => sqlx::query(
            "UPDATE published_roots SET published = $2, expires = NULL WHERE root = $1",
        )
        .bind(root.to_bytes())
        .bind(now)
        .execute(db)
        .await
        .map(drop))?;
    }
    Ok(())
}

/// Takes a root away; returns whether it was there.
pub(super) async fn release(connection: &mut Connection, root: &Cid) -> Result<bool> {
    let removed = on!(connection, "releasing a root", db =>
        sqlx::query("DELETE FROM published_roots WHERE root = $1")
            .bind(root.to_bytes())
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
    Ok(removed > 0)
}
