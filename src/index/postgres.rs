//! Postgres: a server that several processes share.

use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor};
use tokio::sync::Mutex;

use super::cache::RowCache;
use super::connection::{Connection, Link, kind, on};
use super::event_signal::{self, EventSignal};
use super::generation::Generation;
use super::generation_reader::GenerationReader;
use super::locks::{self, Locks};
use super::pool::Pool;
use super::{Access, Index, IndexError, IndexErrorKind, Result, pooler, schema};
use crate::config::PostgresSettings;

const MIGRATIONS: [&str; 7] = [
    include_str!("migrations/postgres/0001_init.sql"),
    include_str!("migrations/postgres/0002_turns.sql"),
    include_str!("migrations/postgres/0003_gateway.sql"),
    include_str!("migrations/postgres/0004_publishing.sql"),
    include_str!("migrations/postgres/0005_links.sql"),
    include_str!("migrations/postgres/0006_withdrawn.sql"),
    include_str!("migrations/postgres/0007_events.sql"),
];

/// How long connecting may take at the start, and migrating may wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How much longer than the server a client waits for the end of a statement.
const GRACE: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is tested before it is used.
const TRUSTED: Duration = Duration::from_secs(5);

/// What every connection is set to: a lock is waited for in portions, so that a client that gave up
/// leaves the queue; and the server finds out soon when a client's machine is gone, and with it the
/// lock of its connection.
pub(super) const SESSION: &str = "SET lock_timeout = '10s'; SET tcp_keepalives_idle = 15; \
     SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";
/// The same for one that shall not write.
const READ_ONLY_SESSION: &str = "SET default_transaction_read_only = on";

/// The first half of the keys of our advisory locks; the second is the schema's, so that two
/// registries can share a database.
const WRITERS_LOCK: i32 = 0x726f_6164;
const QUEUES_LOCK: i32 = 0x726f_6165;

/// Opens `postgres://…`. With full access the schema is migrated.
pub(super) async fn open(
    url: &str,
    access: Access,
    settings: &PostgresSettings,
) -> Result<Arc<Index>> {
    let options = PgConnectOptions::from_str(url);
    let options = options.map_err(|error| failed(&PgConnectOptions::new(), error))?;
    let options = options.application_name("roadstead");
    let target = options.clone();
    let unable = |error| failed(&target, error);
    pooler::refuse(&options).await?;
    if access == Access::Full {
        // On a connection of its own: a migration that is refused leaves the lock on it.
        let only = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT);
        let pool = only.connect_with(options.clone()).await.map_err(unable)?;
        let migrated = schema::migrator(MIGRATIONS).run(&pool).await;
        pool.close().await;
        migrated.map_err(schema::refused)?;
    }
    let pools = |connections| pool_options(connections, access, settings);
    let pool = pools(settings.max_connections).connect_with(options.clone()).await;
    let pool = pool.map_err(unable)?;
    let event_signal = match access {
        Access::Full => {
            let listening = pools(event_signal::CONNECTIONS).connect_lazy_with(options.clone());
            EventSignal::of_server(pool.clone(), listening)
        }
        Access::ReadOnly => EventSignal::of_process(),
    };
    let locks = pools(locks::CONNECTIONS).connect_lazy_with(options.clone());
    let generation = match access {
        Access::Full => Generation::Queried(GenerationReader::start(options)),
        Access::ReadOnly => Generation::Row,
    };
    let database = Index {
        pool: Pool::Postgres(pool),
        locks: Locks::of_server(locks),
        gate: None,
        lock: Arc::new(Mutex::new(())),
        generation: Arc::new(generation),
        access,
        had_no_space: false,
        cache: RowCache::new(),
        event_signal: Arc::new(event_signal),
        hasty: None,
        limit: settings.statement_timeout + GRACE,
    };
    schema::check(&mut database.read().await?).await?;
    Ok(Arc::new(database))
}

fn pool_options(connections: u32, access: Access, settings: &PostgresSettings) -> PgPoolOptions {
    let milliseconds = settings.statement_timeout.as_millis().max(1);
    let limits: Arc<str> = format!("SET statement_timeout = {milliseconds}").into();
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(settings.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED {
                    within(CONNECT, connection.ping()).await.inspect_err(|error| {
                        tracing::warn!(%error, "lost a connection to Postgres; reconnecting");
                    })?;
                }
                Ok(true)
            })
        })
        .after_connect(move |connection, _| {
            let limits = Arc::clone(&limits);
            Box::pin(async move {
                connection.execute(SESSION).await?;
                connection.execute(AssertSqlSafe(&*limits)).await?;
                if access == Access::ReadOnly {
                    connection.execute(READ_ONLY_SESSION).await?;
                }
                Ok(())
            })
        })
}

/// Says why the database of these options cannot be opened.
pub(super) fn failed(options: &PgConnectOptions, error: sqlx::Error) -> IndexError {
    const DOING: &str = "opening a Postgres database";

    let is_of_encryption = match &error {
        sqlx::Error::Tls(_) => true,
        // What is wrong with a certificate comes as bad data of the connection.
        sqlx::Error::Io(cause) => cause.kind() == io::ErrorKind::InvalidData,
        _ => false,
    };
    if is_of_encryption {
        let why = format!(
            "cannot encrypt the connection ({error}): set `sslrootcert=FILE` in `index.url` to the authority of \
             the server's certificate, which has to be for the host's name"
        );
        return IndexError::new(IndexErrorKind::Failed, DOING, why);
    }
    let kind = kind(&error);
    match error {
        sqlx::Error::Io(cause) => {
            let why = format!("{}:{}: {cause}", options.get_host(), options.get_port());
            IndexError::new(kind, DOING, why)
        }
        error => IndexError::new(kind, DOING, error),
    }
}

/// Takes the tables of what is stored, and waits for them for a moment only; the locks after it are waited for as long
/// as [`SESSION`] says.
const HOLD_STORES: &str = "SET LOCAL lock_timeout = '2s'; \
    LOCK TABLE blobs, manifests IN SHARE ROW EXCLUSIVE MODE; SET LOCAL lock_timeout = '10s'";

/// Gives up on a query that takes too long. The connection is of no use then.
pub(super) async fn within<T>(
    limit: Duration,
    query: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    match tokio::time::timeout(limit, query).await {
        Ok(outcome) => outcome,
        Err(_) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
    }
}

/// Tells whether a lock was waited for as long as one portion of waiting takes, or a statement.
pub(super) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("55P03" | "57014"))
}

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

/// Says what a caller can do about an SQLSTATE (Postgres manual, appendix A).
pub(super) fn kind_of_code(code: &str) -> IndexErrorKind {
    match code {
        "53100" => IndexErrorKind::Full,
        "XX001" | "XX002" => IndexErrorKind::Damaged,
        // A standby, or a session that may only read.
        "25006" => IndexErrorKind::ReadOnly,
        // Serialisation, deadlock, lock and statement time-outs, too many connections or out of memory,
        // a server that is starting, stopping or recovering.
        "40001" | "40P01" | "55P03" | "53000" | "53200" | "53300" | "57014" | "57P01" | "57P02"
        | "57P03" | "57P05" => IndexErrorKind::Unavailable,
        _ if code.starts_with("08") => IndexErrorKind::Unavailable,
        _ => IndexErrorKind::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_what_a_caller_can_do() {
        for (code, kind) in [
            ("53100", IndexErrorKind::Full),
            ("XX001", IndexErrorKind::Damaged),
            ("40P01", IndexErrorKind::Unavailable),
            ("25006", IndexErrorKind::ReadOnly),
            ("57P01", IndexErrorKind::Unavailable),
            ("08006", IndexErrorKind::Unavailable),
            ("23503", IndexErrorKind::Failed),
            ("", IndexErrorKind::Failed),
        ] {
            assert_eq!(kind_of_code(code), kind, "{code}");
        }
    }
}
