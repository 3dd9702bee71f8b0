//! What frees space: pruning what is no longer needed, and clearing what can be rebuilt.

use super::connection::on;
use super::{Result, Writer, nodes, process_locks};
use crate::oci::TreeId;

/// For how long it is noted that content was removed that nothing needed, in milliseconds: a process that stored the same
/// a moment before looks for the note.
const NOTED: i64 = 3_600_000;

/// For how long a process may wait for the outcome of an entry that another one carries out, in milliseconds.
const AWAITED: i64 = 600_000;

impl Writer {
    /// Deletes nodes without a new link in any tree since before `before`, and entries of the queue that
    /// were folded or refused and are older. A tree's root stays, and so does a node that was never
    /// counted. Returns how many rows went.
    pub async fn prune(&mut self, before: i64) -> Result<u64> {
        self.write(async |connection| {
            let mut nodes = 0;
            for tree in TreeId::ALL {
                nodes += nodes::prune(connection, tree, before).await?;
            }
            let prune = format!(
                "DELETE FROM pending_edits WHERE created < $1 AND created < {} - {AWAITED} \
                 AND (state = 'refused' OR (state = 'done' AND NOT EXISTS ( \
                 SELECT 1 FROM unfolded_edits u WHERE u.seq = pending_edits.seq)))",
                connection.clock(),
            );
            let entries = on!(connection, "pruning the queue", db => sqlx::query(
                sqlx::AssertSqlSafe(prune),
            )
            .bind(before)
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
            // By then no root that is served leads to them.
            let prune = format!(
                "DELETE FROM withdrawn WHERE forgotten = 1 \
                 AND (forgotten_at IS NULL OR forgotten_at < {} - {NOTED}) \
                 AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.cid = withdrawn.cid)",
                connection.clock(),
            );
            let withdrawn = on!(connection, "pruning what was withdrawn", db => sqlx::query(
                sqlx::AssertSqlSafe(prune),
            )
            .execute(db)
            .await
            .map(|done| done.rows_affected()))?;
            Ok(nodes + entries + withdrawn)
        })
        .await
    }

    /// Deletes all that can be rebuilt from the trees: repositories, tags, manifests, blobs, nodes,
    /// roots, retained ones too, and the queue. Users, grants, quotas and uploads stay.
    pub async fn clear(&mut self) -> Result<()> {
        self.write(async |connection| {
            process_locks::keep_others_off(connection).await?;
            connection.set_has_changed_records();
            for statement in [
                // First, so that no time is noted for each.
                "DELETE FROM repository_blobs",
                "DELETE FROM tags",
                "DELETE FROM manifest_edges",
                "DELETE FROM manifest_names",
                "DELETE FROM repository_manifests",
                "DELETE FROM manifests",
                "DELETE FROM blob_aliases",
                "DELETE FROM blob_blocks",
                "DELETE FROM blobs",
                "DELETE FROM repositories",
                // All is counted anew, whatever was counted before.
                "DELETE FROM namespace_contents",
                "DELETE FROM namespace_usage",
                "DELETE FROM nodes",
                "DELETE FROM trees",
                // Their links went with the nodes.
                "DELETE FROM published_roots",
                "DELETE FROM unfolded_edits",
                "DELETE FROM pending_edits",
                // No root but those of the trees is left.
                "DELETE FROM withdrawn",
            ] {
                on!(connection, "clearing the index", db =>
                    sqlx::query(statement).execute(db).await.map(drop))?;
            }
            Ok(())
        })
        .await
    }
}
