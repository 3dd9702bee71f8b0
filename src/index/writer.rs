//! The writer's lock, once it is taken.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use tracing::warn;

use super::connection::Connection;
use super::event_signal::EventSignal;
use super::generation::{self, Generation};
use super::{Result, process_locks};

/// The writer's lock, and the transactions that only its holder may make. Dropping it gives the lock
/// back and rolls back what was not committed.
///
/// Between [`begin`](Writer::begin) and [`commit`](Writer::commit) or
/// [`rollback`](Writer::rollback) reads see the transaction's own writes; outside of one, each
/// write is a transaction of its own. After a call in it failed, a transaction can only be rolled
/// back. A task that has one open must not wait for a write by the [`Index`](super::Index): on SQLite that one waits
/// for the transaction, and fails after 30 s.
pub struct Writer {
    locked: Option<LockedConnection>,
    generation: Arc<Generation>,
    records: Arc<Generation>,
    event_signal: Arc<EventSignal>,
}

/// What goes back, connection first, when the writer is dropped.
struct LockedConnection {
    connection: Connection,
    _lock: OwnedMutexGuard<()>,
}

impl Writer {
    /// Takes the lock; `guard` is its part within this process.
    pub(super) async fn lock(
        mut connection: Connection,
        guard: OwnedMutexGuard<()>,
        [generation, records]: [Arc<Generation>; 2],
        event_signal: Arc<EventSignal>,
    ) -> Result<Self> {
        connection.set_locked(true);
        process_locks::lock(&mut connection).await?;
        let locked = Some(LockedConnection { connection, _lock: guard });
        Ok(Self { locked, generation, records, event_signal })
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self
            .locked
            .as_mut()
            .expect("it is taken out only when the writer is dropped")
            .connection
    }

    /// Runs an operation in the open transaction, or in one of its own.
    pub(super) async fn write<T>(
        &mut self,
        operation: impl AsyncFnOnce(&mut Connection) -> Result<T>,
    ) -> Result<T> {
        if self.connection().in_transaction() {
            return operation(self.connection()).await;
        }
        self.begin().await?;
        let ran = async {
            let done = operation(self.connection()).await?;
            self.connection().flush().await?;
            Ok(done)
        };
        match ran.await {
            Ok(done) => {
                self.commit().await?;
                Ok(done)
            }
            Err(error) => {
                if let Err(second) = self.rollback().await {
                    warn!(error = %second, "failed to roll back after another failure");
                }
                Err(error)
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some(mut locked) = self.locked.take() else { return };
        if locked.connection.is_lite() {
            // Nothing of it is in the database.
            locked.connection.set_locked(false);
        } else if locked.connection.is_quiet() {
            tokio::spawn(async move {
                match process_locks::unlock(&mut locked.connection).await {
                    Ok(()) => locked.connection.set_locked(false),
                    Err(error) => warn!(%error, "closing the connection to give the lock back"),
                }
            });
        }
    }
}

impl Writer {
    /// Begins a transaction.
    pub async fn begin(&mut self) -> Result<()> {
        self.connection().begin().await
    }

    /// Makes the transaction durable and visible, and [`Index::version`](super::Index::version) greater. If it fails,
    /// nothing is known: drop the writer, take the lock again and look.
    pub async fn commit(&mut self) -> Result<()> {
        let known = self.generation.known();
        let version = generation::advance(self.connection(), known).await?;
        let has_events = self.connection().has_events();
        let has_changed_records = self.connection().has_changed_records();
        self.generation.unsettle();
        if has_changed_records {
            self.records.unsettle();
        }
        self.connection().commit().await?;
        if has_changed_records {
            self.records.settle(version);
        }
        self.generation.settle(version);
        if has_events {
            self.event_signal.send();
        }
        Ok(())
    }

    /// Makes a transaction durable that wrote only to the queue. [`Index::version`](super::Index::version) stays as it is,
    /// since no look-up in memory is of the queue.
    pub async fn commit_to_queue(&mut self) -> Result<()> {
        self.connection().commit().await
    }

    /// Runs all statements of the transaction, so that a failure of one is not met later: on SQLite those that
    /// return nothing are run together with the next that does, or with the commit.
    pub async fn flush(&mut self) -> Result<()> {
        self.connection().flush().await
    }

    /// Undoes the transaction.
    pub async fn rollback(&mut self) -> Result<()> {
        self.connection().rollback().await
    }

    /// Tells whether this is the writer still: on Postgres the lock ends with its session, as in a failover, and another
    /// process may have it since.
    pub async fn has_lock(&mut self) -> Result<bool> {
        process_locks::has_lock(self.connection()).await
    }

    /// Waits until no other process records a blob or a manifest, and keeps them from it until the transaction ends.
    /// In a transaction. Returns false where that would take long; the transaction can only be rolled back then.
    ///
    /// Until the end, nothing may be read but by this writer: those who wait may have all other connections.
    pub async fn hold_stores(&mut self) -> Result<bool> {
        process_locks::hold_stores(self.connection()).await
    }
}
