//! The index as all requests share it: a pool, and a query or a transaction per call.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::accounts::TokenUses;
use super::cache::RowCache;
use super::connection::{Connection, Link, misuse};
use super::event_signal::EventSignal;
use super::generation::{self, Generation};
use super::known_quotas::KnownQuotas;
use super::locks::Locks;
use super::new_repositories::NewRepositories;
use super::pool::Pool;
use super::renewals::Renewals;
use super::{Access, IndexError, IndexErrorKind, Lease, Result, Writer};

/// How long a request waits for the write transaction of another.
pub(super) const GATE_LIMIT: Duration = Duration::from_secs(30);

/// Look-ups, uploads and the queue; shared by all requests.
///
/// Reads see committed rows only. Each write is one transaction, durable when it returns; those of
/// uploads under way outlast the process, but a loss of power may take back what it likes of them.
/// Times are milliseconds since the Unix epoch.
pub struct Index {
    /// Where connections come from.
    pub(super) pool: Pool,
    /// Where those come from whose writes need not outlast a loss of power, if these are others.
    pub(super) hasty: Option<Pool>,
    /// What each transaction that writes passes, where only one may run at a time.
    pub(super) gate: Option<Arc<Mutex<()>>>,
    /// The writer's lock among the tasks of this process.
    pub(super) lock: Arc<Mutex<()>>,
    /// What is known of the version.
    pub(super) generation: Arc<Generation>,
    /// The version at which a record of a repository changed last, or went.
    pub(super) records: Arc<Generation>,
    /// What it was opened for.
    pub(super) access: Access,
    /// Whether it could only be opened for reading, since there was no space to write anything.
    pub(super) had_no_space: bool,
    /// What was found of late.
    pub(super) cache: RowCache,
    /// What this process has renewed of late.
    pub(super) renewals: Renewals,
    /// When access tokens were last used.
    pub(super) token_uses: TokenUses,
    /// Whether there may be quotas.
    pub(super) quotas: KnownQuotas,
    /// Who may see repositories that are made by this process.
    pub(super) new_repositories: NewRepositories,
    /// How long a statement of a request may take, where there is a network between.
    pub(super) limit: Duration,
    /// What wakes subscribers.
    pub(super) event_signal: Arc<EventSignal>,
    /// Where locks of the storage are taken.
    pub(super) locks: Locks,
}

impl Index {
    /// Returns a connection to read from.
    pub(super) async fn read(&self) -> Result<Connection> {
        Ok(self.connection(self.pool.link().await?, None))
    }

    /// Returns a connection to write to, by one statement or in a transaction.
    pub(super) async fn write(&self) -> Result<Connection> {
        self.check_access()?;
        let passed = self.pass().await?;
        Ok(self.connection(self.pool.link().await?, passed))
    }

    /// The same for uploads under way. Of them a loss of power may take back what it likes: their
    /// bytes are not on the disk either, and one whose bytes are gone is forgotten.
    pub(super) async fn write_hastily(&self) -> Result<Connection> {
        let Some(pool) = &self.hasty else { return self.write().await };
        self.check_access()?;
        // There is one such connection; no other task shall wait until it is back.
        let link = pool.link().await?;
        Ok(self.connection(link, self.pass().await?))
    }

    /// Waits for other writers, where only one may write at a time.
    async fn pass(&self) -> Result<Option<OwnedMutexGuard<()>>> {
        let Some(gate) = &self.gate else { return Ok(None) };
        match tokio::time::timeout(GATE_LIMIT, Arc::clone(gate).lock_owned()).await {
            Ok(passed) => Ok(Some(passed)),
            Err(error) => {
                let kind = IndexErrorKind::Unavailable;
                Err(IndexError::new(kind, "waiting for another transaction", error))
            }
        }
    }

    pub(super) async fn begin(&self) -> Result<Connection> {
        let mut connection = self.write().await?;
        connection.begin().await?;
        Ok(connection)
    }

    fn connection(&self, link: Link, passed: Option<OwnedMutexGuard<()>>) -> Connection {
        let connection = Connection::new(link, self.gate.clone(), passed).within(self.limit);
        connection.making(self.new_repositories.get())
    }

    fn check_access(&self) -> Result<()> {
        if self.had_no_space {
            let why = "there was none at the start: make room, and restart";
            return Err(IndexError::new(IndexErrorKind::Full, "writing", why));
        }
        match self.access {
            Access::Full => Ok(()),
            Access::ReadOnly => Err(misuse("writing", "the index was opened for reading")),
        }
    }

    /// Returns a number that grows with every commit of a [`Writer`]: while it stays, what any look-up has found is
    /// still so.
    pub async fn version(&self) -> Result<u64> {
        match self.generation.seen().await? {
            Some(seen) => Ok(seen.version),
            None => generation::version(&mut self.read().await?).await,
        }
    }

    /// Takes the writer's lock; waits as long as another task has it.
    pub async fn lock(&self) -> Result<Writer> {
        self.check_access()?;
        let guard = Arc::clone(&self.lock).lock_owned().await;
        let connection = self.read().await?.for_the_writer();
        let generations = [&self.generation, &self.records].map(Arc::clone);
        Writer::lock(connection, guard, generations, Arc::clone(&self.event_signal)).await
    }

    /// Tells whether other processes may use this index at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    /// Takes a lease to link something in the storage, beside others; waits as long as a cleaning
    /// runs, and a new cleaning waits for its end. Returns nothing when a cleaning was cut short: the
    /// caller has to begin one, do all that it may have left, and end it.
    pub async fn begin_linking(&self) -> Result<Option<Box<dyn Lease>>> {
        self.check_access()?;
        self.locks.begin_linking().await
    }

    /// Takes a lease to clean the storage; waits as long as there is another lease to link or clean. From here a note
    /// says that a cleaning is under way, durably, until one is ended: by this lease or a later one. It is
    /// a write: a task with a writer's transaction open must not wait for it, nor for its end.
    pub async fn begin_cleaning(&self) -> Result<Box<dyn Lease>> {
        self.check_access()?;
        self.locks.begin_cleaning().await
    }

    /// Takes the lease to publish; none while another task has it, in whatever process.
    pub async fn begin_publishing(&self) -> Result<Option<Box<dyn Lease>>> {
        self.check_access()?;
        self.locks.begin_publishing().await
    }

    /// Answers whether the database can be reached and written to, by writing something to it that
    /// means nothing.
    pub async fn ping(&self) -> Result<()> {
        self.check_access()?;
        if self.gate.as_ref().is_some_and(|gate| gate.try_lock().is_err()) {
            // Another task is writing, which answers half of the question.
            return generation::version(&mut self.read().await?).await.map(drop);
        }
        generation::beat(&mut self.write().await?).await
    }

    /// Takes the lease to collect; none while another task has it, in whatever process.
    pub async fn begin_collecting(&self) -> Result<Option<Box<dyn Lease>>> {
        self.check_access()?;
        self.locks.begin_collecting().await
    }

    /// Closes all connections once they are unused. Every later call fails.
    pub async fn close(&self) {
        self.event_signal.close().await;
        for pool in self.hasty.iter().chain([&self.pool]) {
            pool.close().await;
        }
        self.locks.close().await;
        self.generation.close();
    }
}
