//! The queue of edits, and how far it is folded into the roots of the trees.

use cid::Cid;

use super::columns::{cid, damaged, unsigned};
use super::connection::{Connection, misuse, on};
use super::{Entry, EntryState, Folding, Result, StoredManifest, TreeState, manifests, postgres};
use crate::oci::Visibility;

/// How many entries are folded at a time, and how many bytes of edits, about: what they are made of in memory takes
/// ten times that.
const PART_ENTRIES: i64 = 500;
const PART_BYTES: i64 = 1024 * 1024;

fn state(text: &str) -> Result<EntryState> {
    match text {
        "waiting" => Ok(EntryState::Waiting),
        "checked" => Ok(EntryState::Checked),
        "done" => Ok(EntryState::Done),
        "refused" => Ok(EntryState::Refused),
        _ => Err(damaged("reading the state of an entry", text)),
    }
}

type Row = (i64, String, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

fn row((seq, stored_state, intent, edits, outcome): Row) -> Result<Entry> {
    Ok(Entry { seq, state: state(&stored_state)?, intent, edits, outcome })
}

/// Appends an intent, and stores the manifest that it speaks of. In a transaction; the numbers grow
/// in the order in which such transactions end.
pub(super) async fn append(
    connection: &mut Connection,
    intent: &[u8],
    manifest: Option<&StoredManifest>,
    now: i64,
) -> Result<i64> {
    postgres::lock_queue(connection).await?;
    if let Some(manifest) = manifest {
        manifests::store(connection, manifest).await?;
    }
    let (seq,): (i64,) = on!(connection, "queueing an entry", db => sqlx::query_as(
        "INSERT INTO pending_edits (intent, created) VALUES ($1, $2) RETURNING seq",
    )
    .bind(intent)
    .bind(now)
    .fetch_one(db)
    .await)?;
    Ok(seq)
}

/// Returns how many entries have no outcome.
pub(super) async fn open_count(connection: &mut Connection) -> Result<u64> {
    let (count,): (i64,) = on!(connection, "counting the queue", db =>
        sqlx::query_as("SELECT COUNT(*) FROM pending_edits WHERE outcome IS NULL")
            .fetch_one(db)
            .await)?;
    unsigned(count)
}

/// Returns how many entries no root has yet.
pub(super) async fn unfolded_count(connection: &mut Connection) -> Result<u64> {
    let (count,): (i64,) = on!(connection, "counting the queue", db => sqlx::query_as(
        "SELECT COUNT(*) FROM pending_edits WHERE outcome IS NULL OR (state = 'done' AND folded = 0)",
    )
    .fetch_one(db)
    .await)?;
    unsigned(count)
}

/// Lists entries that have no outcome, in order.
pub(super) async fn open_entries(connection: &mut Connection, limit: u32) -> Result<Vec<Entry>> {
    let rows: Vec<Row> = on!(connection, "reading the queue", db => sqlx::query_as(
        "SELECT seq, state, intent, edits, outcome FROM pending_edits \
         WHERE outcome IS NULL ORDER BY seq LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(db)
    .await)?;
    rows.into_iter().map(row).collect()
}

/// Returns one entry.
pub(super) async fn entry(connection: &mut Connection, seq: i64) -> Result<Option<Entry>> {
    let found: Option<Row> = on!(connection, "reading an entry", db => sqlx::query_as(
        "SELECT seq, state, intent, edits, outcome FROM pending_edits WHERE seq = $1",
    )
    .bind(seq)
    .fetch_optional(db)
    .await)?;
    found.map(row).transpose()
}

/// Stores the edits of an entry that waits to be checked.
pub(super) async fn set_checked(
    connection: &mut Connection,
    seq: i64,
    tree: Visibility,
    edits: &[u8],
) -> Result<()> {
    let changed = on!(connection, "storing the edits of an entry", db => sqlx::query(
        "UPDATE pending_edits SET state = 'checked', tree = $2, edits = $3 \
         WHERE seq = $1 AND state = 'waiting'",
    )
    .bind(seq)
    .bind(tree.as_str())
    .bind(edits)
    .execute(db)
    .await
    .map(|done| done.rows_affected()))?;
    if changed == 0 {
        return Err(misuse("storing the edits of an entry", "it is not waiting to be checked"));
    }
    Ok(())
}

/// Closes an open entry.
pub(super) async fn set_outcome(
    connection: &mut Connection,
    seq: i64,
    closed: EntryState,
    outcome: &[u8],
) -> Result<()> {
    let closed = match closed {
        EntryState::Done => "done",
        EntryState::Refused => "refused",
        EntryState::Waiting | EntryState::Checked => {
            return Err(misuse("closing an entry", "an outcome is done or refused"));
        }
    };
    let changed = on!(connection, "closing an entry", db => sqlx::query(
        "UPDATE pending_edits SET state = $2, outcome = $3 WHERE seq = $1 AND outcome IS NULL",
    )
    .bind(seq)
    .bind(closed)
    .bind(outcome)
    .execute(db)
    .await
    .map(|done| done.rows_affected()))?;
    if changed == 0 {
        return Err(misuse("closing an entry", "it is not open"));
    }
    Ok(())
}

/// Reads, in one statement and so in one snapshot, a tree's root and what came since.
pub(super) async fn folding(connection: &mut Connection, tree: Visibility) -> Result<Folding> {
    // Numbers of entries begin at 1, so the root comes first.
    let rows: Vec<(i64, Vec<u8>)> = on!(connection, "reading what is to be folded", db =>
        sqlx::query_as(
            "SELECT CAST(0 AS BIGINT) AS seq, root AS bytes FROM trees WHERE name = $1 \
             UNION ALL SELECT seq, edits AS bytes FROM pending_edits \
             WHERE state = 'done' AND tree = $1 AND folded = 0 AND edits IS NOT NULL ORDER BY seq",
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
pub(super) async fn tree_state(connection: &mut Connection, tree: Visibility) -> Result<TreeState> {
    let found: (Option<Vec<u8>>, Option<i64>) = on!(connection, "reading a root", db => sqlx::query_as(
        "SELECT (SELECT root FROM trees WHERE name = $1), (SELECT MAX(seq) FROM pending_edits \
         WHERE state = 'done' AND tree = $1 AND folded = 0)",
    )
    .bind(tree.as_str())
    .fetch_one(db)
    .await)?;
    let (root, last) = found;
    Ok(TreeState { root: root.map(|root| cid(&root)).transpose()?, last })
}

/// Reads a tree's root and the first entries that came since, after one number and up to another.
pub(super) async fn folding_part(
    connection: &mut Connection,
    tree: Visibility,
    after: i64,
    through: i64,
) -> Result<Folding> {
    let root = tree_state(connection, tree).await?.root;
    let sizes: Vec<(i64, i64)> = on!(connection, "measuring what is to be folded", db =>
        sqlx::query_as(
            "SELECT seq, CAST(LENGTH(edits) AS BIGINT) FROM pending_edits \
             WHERE state = 'done' AND tree = $1 AND folded = 0 AND edits IS NOT NULL \
             AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4",
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
        "SELECT seq, edits FROM pending_edits \
         WHERE state = 'done' AND tree = $1 AND folded = 0 AND edits IS NOT NULL \
         AND seq > $2 AND seq <= $3 ORDER BY seq",
    )
    .bind(tree.as_str())
    .bind(after)
    .bind(end)
    .fetch_all(db)
    .await)?;
    Ok(Folding { root, edits })
}

/// Sets a tree's root, into which all that was done up to `through` is folded. In a transaction.
pub(super) async fn set_root(
    connection: &mut Connection,
    tree: Visibility,
    root: &Cid,
    through: i64,
) -> Result<()> {
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
        "UPDATE pending_edits SET folded = 1 \
         WHERE state = 'done' AND tree = $1 AND folded = 0 AND seq <= $2",
    )
    .bind(tree.as_str())
    .bind(through)
    .execute(db)
    .await
    .map(drop))
}
