//! Roots that are published, and how publishing stands.

use cid::Cid;

use super::columns::cid;
use super::connection::on;
use super::{Index, NewEvent, PublishedRoot, Result, Writer, events};

impl Index {
    /// Returns how publishing stands, as it was last written down.
    pub async fn publication(&self) -> Result<Option<Vec<u8>>> {
        let connection = &mut self.read().await?;
        let found: Option<(Vec<u8>,)> = on!(connection, "reading how publishing stands", db =>
            sqlx::query_as("SELECT record FROM publication WHERE id = 1").fetch_optional(db).await)?;
        Ok(found.map(|(record,)| record))
    }

    /// Writes down how publishing stands, for the owner of the lease to publish; together with an event, if there is
    /// one.
    pub async fn set_publication(
        &self,
        record: &[u8],
        event: Option<&NewEvent>,
        now: i64,
    ) -> Result<()> {
        let mut connection = self.begin().await?;
        on!(connection, "writing down how publishing stands", db => sqlx::query(
            "INSERT INTO publication (id, record) VALUES (1, $1) \
             ON CONFLICT (id) DO UPDATE SET record = excluded.record",
        )
        .bind(record)
        .execute(db)
        .await
        .map(drop))?;
        if let Some(event) = event {
            events::add(&mut connection, event, now).await?;
        }
        connection.commit().await?;
        if event.is_some() {
            self.event_signal.send();
        }
        Ok(())
    }

    /// Lists the roots that are retained since they were published, or were to be, in no order.
    pub async fn published_roots(&self) -> Result<Vec<PublishedRoot>> {
        type Row = (Vec<u8>, i64, Option<i64>, Option<i64>);

        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "listing published roots", db =>
            sqlx::query_as("SELECT root, held, published, expires FROM published_roots")
                .fetch_all(db)
                .await)?;
        let root = |(root, retained_since, published, expires): Row| {
            Ok(PublishedRoot { root: cid(&root)?, retained_since, published, expires })
        };
        rows.into_iter().map(root).collect()
    }
}

impl Writer {
    /// Notes that a root is retained, and is not to go; returns whether it was not yet. The link to its node
    /// is the caller's to count.
    pub async fn hold_root(&mut self, root: &Cid, now: i64) -> Result<bool> {
        self.write(async |connection| {
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
        })
        .await
    }

    /// Notes which retained roots the DNS names, or is to name, and that all others may go at `expires`, unless
    /// they may sooner.
    pub async fn set_published(&mut self, roots: &[Cid], now: i64, expires: i64) -> Result<()> {
        self.write(async |connection| {
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
        })
        .await
    }

    /// Releases a root; returns whether it was retained. The link to its node is the caller's to count.
    pub async fn release_root(&mut self, root: &Cid) -> Result<bool> {
        self.write(async |connection| {
            let removed = on!(connection, "releasing a root", db =>
                sqlx::query("DELETE FROM published_roots WHERE root = $1")
                    .bind(root.to_bytes())
                    .execute(db)
                    .await
                    .map(|done| done.rows_affected()))?;
            Ok(removed > 0)
        })
        .await
    }
}
