//! The queue of edits, and how far it is folded into the roots of the trees.

use cid::Cid;

use super::columns::{cid, damaged, signed, unsigned};
use super::connection::{Connection, misuse, on};
use super::statement::Statement;
use super::{
    Actor, Entry, EntryState, Folding, Index, Result, StoredManifest, TreeState, Writer, events,
    manifests, process_locks,
};
use crate::oci::TreeId;

/// How many entries are folded at a time, and how many bytes of edits, about: what they are made of in memory takes
/// ten times that.
const PART_ENTRIES: i64 = 500;
const PART_BYTES: i64 = 1024 * 1024;

/// Stores a manifest, if there is one, and appends an entry, in one transaction; returns the number of the entry.
const APPEND: &str = "BEGIN IMMEDIATE; \
    INSERT INTO manifests (digest, cid, size, bytes, unowned_since) \
    SELECT $5, $6, $7, $8, CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE $5 IS NOT NULL \
    ON CONFLICT (digest) DO NOTHING; \
    INSERT INTO pending_edits (intent, created, actor, address) VALUES ($1, $2, $3, $4) RETURNING seq; \
    COMMIT";

fn state(text: &str) -> Result<EntryState> {
    match text {
        "waiting" => Ok(EntryState::Waiting),
        "checked" => Ok(EntryState::Checked),
        "done" => Ok(EntryState::Done),
        "refused" => Ok(EntryState::Refused),
        _ => Err(damaged("reading the state of an entry", text)),
    }
}

type Row = (i64, Option<String>, Option<String>, String, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

fn row((seq, name, address, stored_state, intent, edits, outcome): Row) -> Result<Entry> {
    let actor = events::actor(name, address.as_deref())?;
    Ok(Entry { seq, actor, state: state(&stored_state)?, intent, edits, outcome })
}

impl Index {
    /// Appends an intent to the queue and returns its number; a manifest's bytes are stored beside
    /// it, invisible until a [`Writer`] gives them to a repository. Numbers grow, are never given
    /// twice, and appear in their order: a reader that sees one has seen all below it.
    pub async fn enqueue(
        &self,
        actor: &Actor,
        intent: &[u8],
        manifest: Option<&StoredManifest>,
        now: i64,
    ) -> Result<i64> {
        let mut connection = self.write().await?;
        if connection.is_lite() {
            return append_at_once(&mut connection, actor, intent, manifest, now).await;
        }
        connection.begin().await?;
        let seq = append(&mut connection, actor, intent, manifest, now).await?;
        connection.commit().await?;
        Ok(seq)
    }

    /// Returns how many entries of the queue have no outcome yet.
    pub async fn open_entry_count(&self) -> Result<u64> {
        let connection = &mut self.read().await?;
        let (count,): (i64,) = on!(connection, "counting the queue", db =>
            sqlx::query_as("SELECT COUNT(*) FROM pending_edits WHERE outcome IS NULL")
                .fetch_one(db)
                .await)?;
        unsigned(count)
    }

    /// Returns how many entries are not in the root of each tree that they edit: those without an outcome, and those
    /// that are done but not folded.
    pub async fn unfolded_entry_count(&self) -> Result<u64> {
        let connection = &mut self.read().await?;
        let (count,): (i64,) = on!(connection, "counting the queue", db => sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM pending_edits WHERE outcome IS NULL) + \
             (SELECT COUNT(DISTINCT u.seq) FROM unfolded_edits u \
             JOIN pending_edits e ON e.seq = u.seq WHERE e.state = 'done')",
        )
        .fetch_one(db)
        .await)?;
        unsigned(count)
    }

    /// Tells whether no tree has a root yet, nor anything that is to be folded into one.
    pub async fn has_no_root(&self) -> Result<bool> {
        for tree in TreeId::ALL {
            if (self.tree_state(tree).await? != TreeState { root: None, last: None }) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells how far a tree is folded.
    pub async fn tree_state(&self, tree: TreeId) -> Result<TreeState> {
        tree_state(&mut self.read().await?, tree).await
    }

    /// Reads, in one snapshot, a tree's root as last folded and what has to be applied to it still: all of it, however
    /// much that is.
    pub async fn folding(&self, tree: TreeId) -> Result<Folding> {
        folding(&mut self.read().await?, tree).await
    }
}

impl Writer {
    /// Lists entries that have no outcome yet, in order, at most `limit`.
    pub async fn open_entries(&mut self, limit: u32) -> Result<Vec<Entry>> {
        let connection = self.connection();
        let rows: Vec<Row> = on!(connection, "reading the queue", db => sqlx::query_as(
            "SELECT seq, actor, address, state, intent, edits, outcome FROM pending_edits \
             WHERE outcome IS NULL ORDER BY seq LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        rows.into_iter().map(row).collect()
    }

    /// Returns one entry.
    pub async fn entry(&mut self, seq: i64) -> Result<Option<Entry>> {
        let connection = self.connection();
        let found: Option<Row> = on!(connection, "reading an entry", db => sqlx::query_as(
            "SELECT seq, actor, address, state, intent, edits, outcome FROM pending_edits WHERE seq = $1",
        )
        .bind(seq)
        .fetch_optional(db)
        .await)?;
        found.map(row).transpose()
    }

    /// Stores the edits of an entry that was checked, and which trees they are of: it has to be folded into each of
    /// these. They are final: fails for an entry that is not [`Waiting`](EntryState::Waiting).
    pub async fn set_checked(&mut self, seq: i64, trees: &[TreeId], edits: &[u8]) -> Result<()> {
        self.write(async |connection| {
            let doing = "storing the edits of an entry";
            let store = "UPDATE pending_edits SET state = 'checked', edits = $2 \
                         WHERE seq = $1 AND state = 'waiting'";
            let store = Statement::new(doing, store).bind(seq).bind(edits);
            connection.run(store.changing("it is not waiting for its check")).await?;
            for tree in trees {
                let note = "INSERT INTO unfolded_edits (seq, tree) VALUES ($1, $2)";
                let note = Statement::new("noting which trees an entry edits", note);
                connection.run(note.bind(seq).bind(tree.as_str())).await?;
            }
            Ok(())
        })
        .await
    }

    /// Stores the outcome of an entry, which closes it as done or refused. Fails for an entry that is
    /// closed already, and for the other states.
    pub async fn set_outcome(
        &mut self,
        seq: i64,
        closed: EntryState,
        outcome: &[u8],
    ) -> Result<()> {
        self.write(async |connection| {
            let closed = match closed {
                EntryState::Done => "done",
                EntryState::Refused => "refused",
                EntryState::Waiting | EntryState::Checked => {
                    return Err(misuse("closing an entry", "an outcome is done or refused"));
                }
            };
            let close = "UPDATE pending_edits SET state = $2, outcome = $3 \
                         WHERE seq = $1 AND outcome IS NULL";
            let close = Statement::new("closing an entry", close);
            let close = close.bind(seq).bind(closed).bind(outcome).changing("it is not open");
            connection.run(close).await
        })
        .await
    }

    /// Tells how far a tree is folded.
    pub async fn tree_state(&mut self, tree: TreeId) -> Result<TreeState> {
        tree_state(self.connection(), tree).await
    }

    /// Reads a tree's root as last folded, and the edits that came since; those of other trees are among them, where
    /// an entry edits several.
    pub async fn folding(&mut self, tree: TreeId) -> Result<Folding> {
        folding(self.connection(), tree).await
    }

    /// The same of the first entries after `after` and up to `through`: as many as memory is to hold at a time, and at
    /// least one where there is any.
    pub async fn folding_part(
        &mut self,
        tree: TreeId,
        after: i64,
        through: i64,
    ) -> Result<Folding> {
        let connection = self.connection();
        let root = tree_state(connection, tree).await?.root;
        let sizes: Vec<(i64, i64)> = on!(connection, "measuring what is to be folded", db =>
            sqlx::query_as(
                "SELECT e.seq, CAST(LENGTH(e.edits) AS BIGINT) FROM unfolded_edits u \
                 JOIN pending_edits e ON e.seq = u.seq WHERE u.tree = $1 AND e.state = 'done' \
                 AND u.seq > $2 AND u.seq <= $3 ORDER BY u.seq LIMIT $4",
            )
            .bind(tree.as_str())
            .bind(after)
            .bind(through)
            .bind(PART_ENTRIES)
            .fetch_all(db)
            .await)?;
        let mut left = PART_BYTES;
        let fitting = sizes.iter().take_while(|(_, size)| {
            let fits = left > 0;
            left -= size;
            fits
        });
        let Some((end, _)) = fitting.last() else { return Ok(Folding { root, edits: Vec::new() }) };
        let edits = on!(connection, "reading what is to be folded", db => sqlx::query_as(
            "SELECT e.seq, e.edits FROM unfolded_edits u \
             JOIN pending_edits e ON e.seq = u.seq WHERE u.tree = $1 AND e.state = 'done' \
             AND u.seq > $2 AND u.seq <= $3 ORDER BY u.seq",
        )
        .bind(tree.as_str())
        .bind(after)
        .bind(end)
        .fetch_all(db)
        .await)?;
        Ok(Folding { root, edits })
    }

    /// Sets a tree's root, and marks the entries up to `through` as folded into it.
    pub async fn set_root(&mut self, tree: TreeId, root: &Cid, through: i64) -> Result<()> {
        self.write(async |connection| {
            on!(connection, "setting a root", db => sqlx::query(
                "INSERT INTO trees (name, root) VALUES ($1, $2) \
                 ON CONFLICT (name) DO UPDATE SET root = excluded.root",
            )
            .bind(tree.as_str())
            .bind(root.to_bytes())
            .execute(db)
            .await
            .map(drop))?;
            on!(connection, "marking entries as folded", db => sqlx::query(
                "DELETE FROM unfolded_edits WHERE tree = $1 AND seq <= $2 AND EXISTS ( \
                 SELECT 1 FROM pending_edits e WHERE e.seq = unfolded_edits.seq AND e.state = 'done')",
            )
            .bind(tree.as_str())
            .bind(through)
            .execute(db)
            .await
            .map(drop))
        })
        .await
    }
}

/// The same as [`append`] in a transaction of its own, on SQLite.
async fn append_at_once(
    connection: &mut Connection,
    actor: &Actor,
    intent: &[u8],
    manifest: Option<&StoredManifest>,
    now: i64,
) -> Result<i64> {
    let size = manifest.map(|it| signed(it.bytes.len() as u64)).transpose()?;
    let appended = connection.script("queueing an entry", async |db| {
        sqlx::query_as::<_, (i64,)>(APPEND)
            .bind(intent)
            .bind(now)
            .bind(actor.name.as_deref())
            .bind(actor.address.map(|address| address.to_string()))
            .bind(manifest.map(|it| it.canonical.to_string()))
            .bind(manifest.map(|it| it.cid.to_bytes()))
            .bind(size)
            .bind(manifest.map(|it| &it.bytes[..]))
            .fetch_all(db)
            .await
    });
    let appended = appended.await?;
    let (seq,) =
        appended.first().ok_or_else(|| damaged("queueing an entry", "it has no number"))?;
    Ok(*seq)
}

/// Appends an intent, and stores the manifest that it speaks of. In a transaction; the numbers grow
/// in the order in which such transactions end.
async fn append(
    connection: &mut Connection,
    actor: &Actor,
    intent: &[u8],
    manifest: Option<&StoredManifest>,
    now: i64,
) -> Result<i64> {
    process_locks::lock_queue(connection).await?;
    if let Some(manifest) = manifest {
        manifests::store(connection, manifest).await?;
    }
    let (seq,): (i64,) = on!(connection, "queueing an entry", db => sqlx::query_as(
        "INSERT INTO pending_edits (intent, created, actor, address) VALUES ($1, $2, $3, $4) \
         RETURNING seq",
    )
    .bind(intent)
    .bind(now)
    .bind(actor.name.as_deref())
    .bind(actor.address.map(|address| address.to_string()))
    .fetch_one(db)
    .await)?;
    Ok(seq)
}

/// Reads, in one statement and so in one snapshot, a tree's root and what came since.
async fn folding(connection: &mut Connection, tree: TreeId) -> Result<Folding> {
    // Numbers of entries begin at 1, so the root comes first.
    let rows: Vec<(i64, Vec<u8>)> = on!(connection, "reading what is to be folded", db =>
        sqlx::query_as(
            "SELECT CAST(0 AS BIGINT) AS seq, root AS bytes FROM trees WHERE name = $1 \
             UNION ALL SELECT e.seq, e.edits AS bytes FROM unfolded_edits u \
             JOIN pending_edits e ON e.seq = u.seq \
             WHERE u.tree = $1 AND e.state = 'done' ORDER BY seq",
        )
        .bind(tree.as_str())
        .fetch_all(db)
        .await)?;
    let mut folding = Folding { root: None, edits: Vec::with_capacity(rows.len()) };
    for (seq, bytes) in rows {
        if seq == 0 {
            folding.root = Some(cid(&bytes)?);
        } else {
            folding.edits.push((seq, bytes));
        }
    }
    Ok(folding)
}

/// Tells how far a tree is folded.
async fn tree_state(connection: &mut Connection, tree: TreeId) -> Result<TreeState> {
    let found: (Option<Vec<u8>>, Option<i64>) = on!(connection, "reading a root", db => sqlx::query_as(
        "SELECT (SELECT root FROM trees WHERE name = $1), (SELECT MAX(u.seq) FROM unfolded_edits u \
         JOIN pending_edits e ON e.seq = u.seq WHERE u.tree = $1 AND e.state = 'done')",
    )
    .bind(tree.as_str())
    .fetch_one(db)
    .await)?;
    let (root, last) = found;
    Ok(TreeState { root: root.map(|root| cid(&root)).transpose()?, last })
}
