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

/// Takes the tables of what is stored, and waits for them for a moment only, since all that is recorded waits behind it;
/// the locks after it are waited for as long as [`SESSION`](super::session::SESSION) says.
const HOLD_STORES: &str = "SET LOCAL lock_timeout = '100ms'; \
    LOCK TABLE blobs, manifests IN SHARE ROW EXCLUSIVE MODE; SET LOCAL lock_timeout = '10s'";

/// Whether something has these tables that may take long, as a VACUUM does: nobody who records waits for it, and they would
/// wait behind who does.
const ARE_TAKEN: &str = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE granted AND pid <> pg_backend_pid() \
    AND relation IN (CAST('blobs' AS regclass), CAST('manifests' AS regclass)) \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
    AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))";

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

/// Tells whether the connection has the writer's lock still: its session may have ended with a failover, and a server that
/// is a standby now has locks which the new one knows nothing of. Always so on SQLite.
pub(super) async fn has_lock(connection: &mut Connection) -> Result<bool> {
    if let Link::Lite(_) = connection.link() {
        return Ok(true);
    }
    let (has_it,): (bool,) = on!(connection, "looking for the writer's lock", db => sqlx::query_as(
        "SELECT NOT pg_is_in_recovery() AND EXISTS (SELECT 1 FROM pg_locks \
         WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted \
         AND CAST(classid AS BIGINT) = $1 \
         AND CAST(objid AS BIGINT) = CAST(hashtext(current_schema()) AS BIGINT) & 4294967295)",
    )
    .bind(i64::from(WRITERS_LOCK))
    .fetch_one(db)
    .await)?;
    Ok(has_it)
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
/// Returns false where they do not end within 100 ms, or something else has the tables (a VACUUM, say). The transaction can
/// only be rolled back then.
pub(super) async fn hold_stores(connection: &mut Connection) -> Result<bool> {
    if !connection.is_lite() {
        let (are_taken,): (bool,) = on!(connection, "looking for who has tables", db =>
            sqlx::query_as(ARE_TAKEN).fetch_one(db).await)?;
        if are_taken {
            return Ok(false);
        }
    }
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
