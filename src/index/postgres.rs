//! Postgres: a server that several processes share.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor};
use tokio::sync::Mutex;

use super::accounts::TokenUses;
use super::cache::RowCache;
use super::event_signal::{self, EventSignal};
use super::failure::opening_postgres;
use super::generation::Generation;
use super::generation_reader::GenerationReader;
use super::known_quotas::KnownQuotas;
use super::locks::{self, Locks};
use super::new_repositories::NewRepositories;
use super::pool::Pool;
use super::renewals::Renewals;
use super::session::{SESSION, within};
use super::{Access, Index, Result, pooler, schema};
use crate::config::PostgresSettings;

const MIGRATIONS: [&str; 13] = [
    include_str!("migrations/postgres/0001_init.sql"),
    include_str!("migrations/postgres/0002_turns.sql"),
    include_str!("migrations/postgres/0003_gateway.sql"),
    include_str!("migrations/postgres/0004_publishing.sql"),
    include_str!("migrations/postgres/0005_links.sql"),
    include_str!("migrations/postgres/0006_withdrawn.sql"),
    include_str!("migrations/postgres/0007_events.sql"),
    include_str!("migrations/postgres/0008_trees.sql"),
    include_str!("migrations/postgres/0009_accounts.sql"),
    include_str!("migrations/postgres/0010_quotas.sql"),
    include_str!("migrations/postgres/0011_audit.sql"),
    include_str!("migrations/postgres/0012_unreferenced.sql"),
    include_str!("migrations/postgres/0013_pulls.sql"),
];

/// How long connecting may take at the start, and migrating may wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How much longer than the server a client waits for the end of a statement.
const GRACE: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is tested before it is used.
const TRUSTED: Duration = Duration::from_secs(5);

/// The same for one that shall not write.
const READ_ONLY_SESSION: &str = "SET default_transaction_read_only = on";

/// Opens `postgres://…`. With full access the schema is migrated.
pub(super) async fn open(
    url: &str,
    access: Access,
    settings: &PostgresSettings,
) -> Result<Arc<Index>> {
    let options = PgConnectOptions::from_str(url);
    let options = options.map_err(|error| opening_postgres(&PgConnectOptions::new(), error))?;
    let options = options.application_name("roadstead");
    let target = options.clone();
    let unable = |error| opening_postgres(&target, error);
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
    let generation = Arc::new(generation);
    let database = Index {
        pool: Pool::Postgres(pool),
        locks: Locks::of_server(locks),
        gate: None,
        lock: Arc::new(Mutex::new(())),
        records: Arc::clone(&generation),
        generation,
        access,
        had_no_space: false,
        cache: RowCache::new(),
        renewals: Renewals::default(),
        token_uses: TokenUses::new(),
        quotas: KnownQuotas::default(),
        new_repositories: NewRepositories::default(),
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
