//! Locks at a storage that processes share: tasks that link run beside one another, one that cleans runs
//! alone. A note outlasts a cleaning that was cut short.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, PgPool, Row, SqlitePool};
use tokio::sync::{
    Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit,
    RwLock, Semaphore,
};

use super::connection::{Connection, Link, on};
use super::failure::{is_lock_timeout, kind};
use super::session::within;
use super::{IndexError, IndexErrorKind, Result};

/// The first half of the key of the lock in Postgres; the second is the schema's.
const KEY: i32 = 0x726f_6166;

/// The same for the lock of the publishing process.
const PUBLISHERS_KEY: i32 = 0x726f_6167;

/// The same for the lock of the collecting process.
const COLLECTORS_KEY: i32 = 0x726f_6168;

/// How many of one process may link at once where the lock is a server's; each has a connection.
const LINKINGS: u32 = 8;

/// How many connections that takes: one is the cleaner's, one the publisher's, one the collector's.
pub(super) const CONNECTIONS: u32 = LINKINGS + 3;

/// A lease, as [`Index::begin_linking`](super::Index::begin_linking),
/// [`Index::begin_cleaning`](super::Index::begin_cleaning),
/// [`Index::begin_publishing`](super::Index::begin_publishing) and
/// [`Index::begin_collecting`](super::Index::begin_collecting) give them. Dropping it gives the lock
/// back, and leaves the note of a cleaning.
#[async_trait]
pub trait Lease: Send {
    /// Makes sure that the lock is still there, before something is done that has to be alone.
    ///
    /// # Errors
    /// The lock was lost meanwhile, or may have been.
    async fn check(&mut self) -> Result<()> {
        Ok(())
    }

    /// Ends the lease, and takes the note of a cleaning away.
    ///
    /// # Errors
    /// The lock was lost meanwhile, or may have been: what was done may not have been alone.
    async fn end(self: Box<Self>) -> Result<()>;
}

/// Where leases are taken.
pub(super) enum Locks {
    /// In this process.
    Process {
        locks: Arc<RwLock<()>>,
        publishing: Arc<Mutex<()>>,
        collecting: Arc<Mutex<()>>,
        pool: SqlitePool,
        gate: Option<Arc<Mutex<()>>>,
    },
    /// At a server.
    Server {
        pool: PgPool,
        linkings: Arc<Semaphore>,
        cleaning: Arc<Mutex<()>>,
        publishing: Arc<Mutex<()>>,
        collecting: Arc<Mutex<()>>,
    },
}

impl Locks {
    /// Among the tasks of this process. `gate` is what each transaction that writes passes.
    pub(super) fn of_process(pool: SqlitePool, gate: Option<Arc<Mutex<()>>>) -> Self {
        let (publishing, collecting) = (Arc::default(), Arc::default());
        Self::Process { locks: Arc::default(), publishing, collecting, pool, gate }
    }

    /// Among all processes that use the server. Of the pool, [`CONNECTIONS`] are needed.
    pub(super) fn of_server(pool: PgPool) -> Self {
        let linkings = Arc::new(Semaphore::new(LINKINGS as usize));
        let (publishing, collecting) = (Arc::default(), Arc::default());
        Self::Server { pool, linkings, cleaning: Arc::default(), publishing, collecting }
    }

    pub(super) async fn begin_linking(&self) -> Result<Option<Box<dyn Lease>>> {
        match self {
            Self::Process { locks, pool, gate, .. } => {
                let guard = Arc::clone(locks).read_owned().await;
                let is_noted = is_noted(&mut lite(pool, gate.clone()).await?).await?;
                Ok((!is_noted).then(|| Box::new(LocalLinking { _guard: guard }) as Box<dyn Lease>))
            }
            Self::Server { pool, linkings, .. } => {
                let permit = Arc::clone(linkings).acquire_owned().await;
                let permit = permit.expect("it is never closed");
                let mut connection = session(pool).await?;
                if lock_shared(&mut connection).await? {
                    unlock(&mut connection, Mode::Shared).await?;
                    return Ok(None);
                }
                Ok(Some(Box::new(Linking { connection, _permit: permit })))
            }
        }
    }

    pub(super) async fn begin_cleaning(&self) -> Result<Box<dyn Lease>> {
        match self {
            Self::Process { locks, pool, gate, .. } => {
                let guard = Arc::clone(locks).write_owned().await;
                let mut connection = lite(pool, gate.clone()).await?;
                connection.begin().await?;
                note(&mut connection).await?;
                connection.commit().await?;
                drop(connection);
                let (pool, gate) = (pool.clone(), gate.clone());
                Ok(Box::new(LocalCleaning { pool, gate, _guard: guard }))
            }
            Self::Server { pool, cleaning, .. } => {
                let guard = Arc::clone(cleaning).lock_owned().await;
                let mut connection = session(pool).await?;
                lock_alone(&mut connection).await?;
                note(&mut connection).await?;
                Ok(Box::new(Cleaning { connection, _guard: guard }))
            }
        }
    }

    pub(super) async fn begin_publishing(&self) -> Result<Option<Box<dyn Lease>>> {
        match self {
            Self::Process { publishing, .. } => Ok(local(publishing)),
            Self::Server { pool, publishing, .. } => sole(pool, publishing, Mode::Publishing).await,
        }
    }

    pub(super) async fn begin_collecting(&self) -> Result<Option<Box<dyn Lease>>> {
        match self {
            Self::Process { collecting, .. } => Ok(local(collecting)),
            Self::Server { pool, collecting, .. } => sole(pool, collecting, Mode::Collecting).await,
        }
    }

    pub(super) async fn close(&self) {
        if let Self::Server { pool, .. } = self {
            pool.close().await;
        }
    }
}

struct LocalLinking {
    _guard: OwnedRwLockReadGuard<()>,
}

#[async_trait]
impl Lease for LocalLinking {
    async fn end(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct LocalCleaning {
    pool: SqlitePool,
    gate: Option<Arc<Mutex<()>>>,
    _guard: OwnedRwLockWriteGuard<()>,
}

#[async_trait]
impl Lease for LocalCleaning {
    async fn end(self: Box<Self>) -> Result<()> {
        let mut connection = lite(&self.pool, self.gate.clone()).await?;
        connection.begin().await?;
        strike(&mut connection).await?;
        connection.commit().await
    }
}

/// A connection goes back first, then the permit.
struct Linking {
    connection: Connection,
    _permit: OwnedSemaphorePermit,
}

#[async_trait]
impl Lease for Linking {
    async fn end(mut self: Box<Self>) -> Result<()> {
        unlock(&mut self.connection, Mode::Shared).await
    }
}

struct Cleaning {
    connection: Connection,
    _guard: OwnedMutexGuard<()>,
}

#[async_trait]
impl Lease for Cleaning {
    async fn end(mut self: Box<Self>) -> Result<()> {
        // By the session that has the lock: it has it still if this succeeds.
        strike(&mut self.connection).await?;
        unlock(&mut self.connection, Mode::Alone).await
    }
}

/// Takes a lease that one task of this process has, unless another one has it.
fn local(lock: &Arc<Mutex<()>>) -> Option<Box<dyn Lease>> {
    let guard = Arc::clone(lock).try_lock_owned().ok();
    guard.map(|guard| Box::new(LocalSole { _guard: guard }) as Box<dyn Lease>)
}

/// The same among all processes.
async fn sole(pool: &PgPool, lock: &Arc<Mutex<()>>, mode: Mode) -> Result<Option<Box<dyn Lease>>> {
    let Ok(guard) = Arc::clone(lock).try_lock_owned() else { return Ok(None) };
    let mut connection = session(pool).await?;
    if !try_lock(&mut connection, mode).await? {
        connection.set_locked(false);
        return Ok(None);
    }
    Ok(Some(Box::new(Sole { connection, mode, _guard: guard })))
}

struct LocalSole {
    _guard: OwnedMutexGuard<()>,
}

#[async_trait]
impl Lease for LocalSole {
    async fn end(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Sole {
    connection: Connection,
    mode: Mode,
    _guard: OwnedMutexGuard<()>,
}

#[async_trait]
impl Lease for Sole {
    async fn check(&mut self) -> Result<()> {
        // The lock is the session's, and lasts as long.
        on!(self.connection, "looking whether a lease lasts", db =>
            sqlx::query("SELECT 1").execute(db).await.map(drop))
    }

    async fn end(mut self: Box<Self>) -> Result<()> {
        unlock(&mut self.connection, self.mode).await
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Shared,
    Alone,
    Publishing,
    Collecting,
}

impl Mode {
    fn key(self) -> i32 {
        match self {
            Self::Shared | Self::Alone => KEY,
            Self::Publishing => PUBLISHERS_KEY,
            Self::Collecting => COLLECTORS_KEY,
        }
    }
}

async fn lite(pool: &SqlitePool, gate: Option<Arc<Mutex<()>>>) -> Result<Connection> {
    let link = pool.acquire().await.map_err(connecting)?;
    Ok(Connection::new(Link::Lite(link), gate, None))
}

/// Returns a connection that is closed, and the lock given back with it, unless [`unlock`] comes first.
async fn session(pool: &PgPool) -> Result<Connection> {
    let link = pool.acquire().await.map_err(connecting)?;
    let mut connection = Connection::new(Link::Postgres(link), None, None);
    connection.set_locked(true);
    Ok(connection)
}

fn connecting(error: sqlx::Error) -> IndexError {
    IndexError::new(kind(&error), "connecting for a lock", error)
}

/// Takes the shared lock, and tells whether there is a note. One round trip; and two statements,
/// since one that waits sees what was there before it waited.
async fn lock_shared(connection: &mut Connection) -> Result<bool> {
    const DOING: &str = "waiting for the lock of the storage";

    let statements = format!(
        "SELECT pg_advisory_lock_shared({KEY}, hashtext(current_schema())); \
         SELECT EXISTS (SELECT FROM cleaning)"
    );
    let rows = wait(connection, &statements, DOING).await?;
    let noted = rows.last().map_or(Err(sqlx::Error::RowNotFound), |row| row.try_get(0));
    noted.map_err(|error| connection.failed(DOING, error))
}

/// Takes the lock alone. The server queues those who wait, so that no linking process overtakes.
async fn lock_alone(connection: &mut Connection) -> Result<()> {
    let statement = format!("SELECT pg_advisory_lock({KEY}, hashtext(current_schema()))");
    wait(connection, &statement, "waiting for the lock of the storage, to clean it").await.map(drop)
}

/// Takes a lock of that kind, unless another process has it.
async fn try_lock(connection: &mut Connection, mode: Mode) -> Result<bool> {
    const DOING: &str = "taking a lock that one process has";

    let limit = connection.limit();
    let Link::Postgres(link) = connection.link() else { return Ok(false) };
    let query = sqlx::query_as("SELECT pg_try_advisory_lock($1, hashtext(current_schema()))")
        .bind(mode.key());
    let (is_taken,): (bool,) = within(limit, query.fetch_one(&mut **link))
        .await
        .map_err(|error| connection.failed(DOING, error))?;
    Ok(is_taken)
}

/// Runs what takes a lock until it has it.
async fn wait(
    connection: &mut Connection,
    statements: &str,
    doing: &'static str,
) -> Result<Vec<sqlx::postgres::PgRow>> {
    let limit = connection.limit();
    loop {
        let Link::Postgres(link) = connection.link() else { return Ok(Vec::new()) };
        let query = sqlx::raw_sql(AssertSqlSafe(statements));
        match within(limit, query.fetch_all(&mut **link)).await {
            Ok(rows) => return Ok(rows),
            Err(error) if is_lock_timeout(&error) => {}
            Err(error) => return Err(connection.failed(doing, error)),
        }
    }
}

/// Gives the lock back.
///
/// # Errors
/// The session did not have it any more.
async fn unlock(connection: &mut Connection, mode: Mode) -> Result<()> {
    const DOING: &str = "releasing a lock";

    let statement = match mode {
        Mode::Shared => "SELECT pg_advisory_unlock_shared($1, hashtext(current_schema()))",
        Mode::Alone | Mode::Publishing | Mode::Collecting => {
            "SELECT pg_advisory_unlock($1, hashtext(current_schema()))"
        }
    };
    let limit = connection.limit();
    let Link::Postgres(link) = connection.link() else { return Ok(()) };
    let query = sqlx::query_as(statement).bind(mode.key());
    let (was_locked,): (bool,) = within(limit, query.fetch_one(&mut **link))
        .await
        .map_err(|error| connection.failed(DOING, error))?;
    if !was_locked {
        let why = "the session had lost its lock";
        return Err(IndexError::new(IndexErrorKind::Unavailable, DOING, why));
    }
    connection.set_locked(false);
    Ok(())
}

async fn is_noted(connection: &mut Connection) -> Result<bool> {
    let (is_noted,): (bool,) = on!(connection, "looking for an unfinished cleaning", db =>
        sqlx::query_as("SELECT EXISTS (SELECT 1 FROM cleaning)").fetch_one(db).await)?;
    Ok(is_noted)
}

/// Notes that a cleaning is under way.
async fn note(connection: &mut Connection) -> Result<()> {
    on!(connection, "noting a cleaning", db => sqlx::query(
        "INSERT INTO cleaning (id) VALUES (1) ON CONFLICT DO NOTHING",
    ).execute(db).await.map(drop))
}

/// Takes the note away.
async fn strike(connection: &mut Connection) -> Result<()> {
    on!(connection, "noting the end of a cleaning", db =>
        sqlx::query("DELETE FROM cleaning").execute(db).await.map(drop))
}
