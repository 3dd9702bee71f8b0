//! Nodes of the trees: their bytes, and how many live nodes link to each.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use cid::Cid;
use sqlx::QueryBuilder;

use super::columns::cid;
use super::connection::{Connection, on};
use super::{Index, NodeRefs, Result, Writer};
use crate::oci::TreeId;

/// How many nodes go into one statement; at most three parameters each.
const NODES_AT_ONCE: usize = 1000;

/// How many bytes a node has at the most that has a single short name.
const SMALL: i64 = 128;

/// The columns of `nodes` for a tree: the count of its links to a node, and when that count became 0.
struct Columns {
    refs: &'static str,
    removed: &'static str,
}

fn columns(tree: TreeId) -> Columns {
    match tree {
        TreeId::Public => Columns { refs: "refs", removed: "removed" },
        TreeId::Private => Columns { refs: "private_refs", removed: "private_removed" },
    }
}

impl Index {
    /// Returns the bytes of a tree's node.
    pub async fn node(&self, cid: &Cid) -> Result<Option<Bytes>> {
        bytes(&mut self.read().await?, cid).await
    }

    /// Lists small nodes that the public tree had until after `removed_after`, and has no more, with their bytes: the
    /// roots of earlier trees are among them.
    pub async fn removed_nodes(&self, removed_after: i64) -> Result<Vec<(Cid, Bytes)>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(Vec<u8>, Vec<u8>)> = on!(connection, "listing removed nodes", db => sqlx::query_as(
            "SELECT cid, bytes FROM nodes WHERE refs = 0 AND removed > $1 AND length(bytes) <= $2",
        )
        .bind(removed_after)
        .bind(SMALL)
        .fetch_all(db)
        .await)?;
        rows.into_iter().map(|(node, bytes)| Ok((cid(&node)?, bytes.into()))).collect()
    }
}

impl Writer {
    /// Returns the bytes of a tree's node.
    pub async fn node(&mut self, cid: &Cid) -> Result<Option<Bytes>> {
        bytes(self.connection(), cid).await
    }

    /// Tells whether any tree has a node, or had it in a root that is still served.
    pub async fn is_in_roots(&mut self, cid: &Cid) -> Result<bool> {
        let connection = self.connection();
        let found: Option<(i64,)> = on!(connection, "looking for a node", db =>
            sqlx::query_as("SELECT refs FROM nodes WHERE cid = $1")
                .bind(cid.to_bytes())
                .fetch_optional(db)
                .await)?;
        Ok(found.is_some())
    }

    /// Returns how many live nodes of a tree link to each of these; absent ones are 0.
    pub async fn node_refs(&mut self, tree: TreeId, cids: &[Cid]) -> Result<NodeRefs> {
        let Columns { refs, .. } = columns(tree);
        let connection = self.connection();
        let mut counts = HashMap::with_capacity(cids.len());
        for chunk in cids.chunks(NODES_AT_ONCE) {
            let rows: Vec<(Vec<u8>, i64)> = on!(connection, "reading counts of links", db => {
                let select = format!("SELECT cid, {refs} FROM nodes WHERE cid IN (");
                let mut select = QueryBuilder::new(select);
                let mut list = select.separated(", ");
                for cid in chunk {
                    list.push_bind(cid.to_bytes());
                }
                select.push(")");
                select.build_query_as().persistent(false).fetch_all(db).await
            })?;
            counts.extend(rows);
        }
        let count = |cid: &Cid| counts.get(&cid.to_bytes()).copied().unwrap_or(0);
        Ok(cids.iter().map(|cid| (*cid, count(cid))).collect())
    }

    /// Stores nodes' bytes (for content that is not a tree's node: none), with no links to those that
    /// are new. What was stored before keeps its links, and its bytes if it has some.
    pub async fn put_nodes(&mut self, nodes: &[(Cid, Option<Bytes>)]) -> Result<()> {
        self.write(async |connection| {
            // One statement may not meet the same row twice.
            let mut distinct: BTreeMap<Vec<u8>, Option<&[u8]>> = BTreeMap::new();
            for (cid, bytes) in nodes {
                let stored = distinct.entry(cid.to_bytes()).or_default();
                *stored = stored.or(bytes.as_deref());
            }
            let mut rows = distinct.iter();
            loop {
                let chunk: Vec<_> = rows.by_ref().take(NODES_AT_ONCE).collect();
                if chunk.is_empty() {
                    return Ok(());
                }
                on!(connection, "storing nodes", db => {
                    let mut insert = QueryBuilder::new("INSERT INTO nodes (cid, bytes) ");
                    insert.push_values(chunk, |mut row, (cid, bytes)| {
                        row.push_bind(&cid[..]).push_bind(*bytes);
                    });
                    insert.push(
                        " ON CONFLICT (cid) DO UPDATE SET bytes = excluded.bytes \
                         WHERE nodes.bytes IS NULL AND excluded.bytes IS NOT NULL",
                    );
                    insert.build().persistent(false).execute(db).await.map(drop)
                })?;
            }
        })
        .await
    }

    /// Adds to a tree's counts of links; a count that becomes 0 notes `now` as the time of removal, one
    /// that leaves 0 forgets it. Nodes that are absent come to be, several deltas for one node add
    /// up, and 0 for a node that was never counted notes it as removed. A count below 0 is
    /// [`Damaged`](super::IndexErrorKind::Damaged).
    pub async fn add_node_refs(
        &mut self,
        tree: TreeId,
        deltas: &[(Cid, i64)],
        now: i64,
    ) -> Result<()> {
        let Columns { refs, removed } = columns(tree);
        self.write(async |connection| {
            let mut sums: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
            for (cid, delta) in deltas {
                *sums.entry(cid.to_bytes()).or_default() += delta;
            }
            let mut rows = sums.iter();
            loop {
                let chunk: Vec<_> = rows.by_ref().take(NODES_AT_ONCE).collect();
                if chunk.is_empty() {
                    return Ok(());
                }
                let counts: Vec<(i64,)> = on!(connection, "counting links", db => {
                    let insert = format!("INSERT INTO nodes (cid, {refs}, {removed}) ");
                    let mut insert = QueryBuilder::new(insert);
                    insert.push_values(chunk, |mut row, (cid, delta)| {
                        row.push_bind(&cid[..]).push_bind(*delta).push_bind((*delta == 0).then_some(now));
                    });
                    insert.push(format!(
                        " ON CONFLICT (cid) DO UPDATE SET {refs} = nodes.{refs} + excluded.{refs}, {removed} = \
                         CASE WHEN nodes.{refs} + excluded.{refs} = 0 THEN COALESCE(nodes.{removed}, ",
                    ));
                    insert.push_bind(now);
                    insert.push(format!(") END RETURNING {refs}"));
                    insert.build_query_as().persistent(false).fetch_all(db).await
                })?;
                if counts.iter().any(|(refs,)| *refs < 0) {
                    return Err(connection.spoiled("counting links", "a node has fewer than none"));
                }
            }
        })
        .await
    }

    /// Ends at once what is left of the time for which the public tree's removed nodes are served, of those of these that
    /// it has not got.
    pub async fn hide_nodes(&mut self, cids: &[Cid]) -> Result<()> {
        self.write(async |connection| {
            for chunk in cids.chunks(NODES_AT_ONCE) {
                on!(connection, "hiding nodes", db => {
                    let mut update = QueryBuilder::new(
                        "UPDATE nodes SET removed = 0 WHERE refs = 0 AND removed IS NOT NULL AND cid IN (",
                    );
                    let mut list = update.separated(", ");
                    for cid in chunk {
                        list.push_bind(cid.to_bytes());
                    }
                    update.push(")");
                    update.build().persistent(false).execute(db).await.map(drop)
                })?;
            }
            Ok(())
        })
        .await
    }
}

/// Returns the bytes of a node.
pub(super) async fn bytes(connection: &mut Connection, cid: &Cid) -> Result<Option<Bytes>> {
    let found: Option<(Option<Vec<u8>>,)> = on!(connection, "reading a node", db =>
        sqlx::query_as("SELECT bytes FROM nodes WHERE cid = $1")
            .bind(cid.to_bytes())
            .fetch_optional(db)
            .await)?;
    Ok(found.and_then(|(bytes,)| bytes).map(Bytes::from))
}

/// Deletes nodes that a tree has had no link to since before `before`, and that no tree has or had since. Returns how
/// many.
pub(super) async fn prune(connection: &mut Connection, tree: TreeId, before: i64) -> Result<u64> {
    on!(connection, "pruning nodes", db => {
        let delete = format!("DELETE FROM nodes WHERE {} < ", columns(tree).removed);
        let mut delete = QueryBuilder::new(delete);
        delete.push_bind(before);
        for Columns { refs, removed } in TreeId::ALL.map(columns) {
            delete.push(format!(" AND {refs} = 0 AND ({removed} IS NULL OR {removed} < "));
            delete.push_bind(before).push(")");
        }
        delete.push(" AND cid NOT IN (SELECT root FROM trees)");
        delete.build().execute(db).await.map(|done| done.rows_affected())
    })
}

/// Finds a node that the public tree has, or had until after `removed_after`: its bytes, unless it is the
/// root of a blob's or a manifest's file. What was withdrawn is not found, but for links and directories that the tree has
/// now: content of the same text may have been withdrawn, by a client that has nothing to do with them.
pub(super) async fn public(
    connection: &mut Connection,
    cid: &Cid,
    removed_after: i64,
) -> Result<Option<Option<Bytes>>> {
    let found: Option<(Option<Vec<u8>>,)> = on!(connection, "finding a public node", db =>
        sqlx::query_as(
            "SELECT bytes FROM nodes WHERE cid = $1 AND (refs > 0 OR removed > $2) \
             AND ((refs > 0 AND bytes IS NOT NULL) \
             OR NOT EXISTS (SELECT 1 FROM withdrawn w WHERE w.cid = nodes.cid))",
        )
            .bind(cid.to_bytes())
            .bind(removed_after)
            .fetch_optional(db)
            .await)?;
    Ok(found.map(|(bytes,)| bytes.map(Bytes::from)))
}
