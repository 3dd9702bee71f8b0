//! The locks of Postgres by which processes wait for each other. On SQLite, which one process has, there is nothing
//! to do.

use super::Result;
use super::connection::{Connection, Link, on};
use super::failure::is_lock_timeout;
use super::session::within;

/// The first half of the keys of our advisory locks; the second is the schema's, so that two
/// registries can share a database.
const WRITERS_LOCK: i32 = 0x726f_6164;
const QUEUES_LOCK: i32 = 0x726f_6165;

/// Takes the tables of what is stored, and waits for them for a moment only; the locks after it are waited for as long
/// as [`SESSION`](super::session::SESSION) says.
const HOLD_STORES: &str = "SET LOCAL lock_timeout = '2s'; \
    LOCK TABLE blobs, manifests IN SHARE ROW EXCLUSIVE MODE; SET LOCAL lock_timeout = '10s'";

/// Takes the lock of the writer, which other processes know as well; waits as long as it takes.
/// It goes with the connection. Nothing to do on SQLite.
pub(super) async fn lock(connection: &mut Connection) -> Result<()> {
    let limit = connection.limit();
    loop {
        let Link::Postgres(link) = connection.link() else { return Ok(()) };
        let query = sqlx::query("SELECT pg_advisory_lock($1, hashtext(current_schema()))")
            .bind(WRITERS_LOCK);
        match within(limit, query.execute(&mut **link)).await {
            Ok(_) => return Ok(()),
            Err(error) if is_lock_timeout(&error) => {}
            Err(error) => return Err(connection.failed("taking the writer's lock", error)),
        }
    }
}

/// Gives the writer's lock back, so that the connection can be used again.
pub(super) async fn unlock(connection: &mut Connection) -> Result<()> {
    let limit = connection.limit();
    let Link::Postgres(link) = connection.link() else { return Ok(()) };
    let query =
        sqlx::query("SELECT pg_advisory_unlock($1, hashtext(current_schema()))").bind(WRITERS_LOCK);
    within(limit, query.execute(&mut **link))
        .await
        .map(drop)
        .map_err(|error| connection.failed("giving back the writer's lock", error))
}

/// Makes transactions that append to the queue follow one another, so that numbers grow in the
/// order of the commits. Nothing to do on SQLite, where all write transactions do.
pub(super) async fn lock_queue(connection: &mut Connection) -> Result<()> {
    if let Link::Lite(_) = connection.link() {
        return Ok(());
    }
    on!(connection, "waiting for the queue", db =>
        sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))")
            .bind(QUEUES_LOCK)
            .execute(db)
            .await
            .map(drop))
}

/// Keeps others from adding rows until the transaction ends. Nothing to do on SQLite.
pub(super) async fn keep_others_off(connection: &mut Connection) -> Result<()> {
    if let Link::Lite(_) = connection.link() {
        return Ok(());
    }
    on!(connection, "locking tables", db => sqlx::query(
        "LOCK TABLE repositories, blobs, manifests, pending_edits IN SHARE ROW EXCLUSIVE MODE",
    )
    .execute(db)
    .await
    .map(drop))
}

/// Waits for the transactions that record blobs or manifests, and keeps others from doing so until this one ends.
/// They touch these tables first. Nothing to do on SQLite.
///
/// Returns false where they do not end soon, or something else has the tables (a VACUUM, say): all that is recorded
/// waits behind this one meanwhile. The transaction can only be rolled back then.
pub(super) async fn hold_stores(connection: &mut Connection) -> Result<bool> {
    let limit = connection.limit();
    let Link::Postgres(link) = connection.link() else { return Ok(true) };
    match within(limit, sqlx::raw_sql(HOLD_STORES).execute(&mut **link)).await {
        Ok(_) => Ok(true),
        Err(error) => {
            let is_taken = is_lock_timeout(&error);
            let error = connection.failed("waiting for what is being recorded", error);
            if is_taken { Ok(false) } else { Err(error) }
        }
    }
}
