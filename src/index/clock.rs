//! The number that grows with every commit of the writer.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Result;
use super::columns::unsigned;
use super::connection::{Connection, on};

/// Stands for a version that has to be asked of the database.
const UNSETTLED: u64 = u64::MAX;

/// The version as far as this process knows it, which is only where nobody else can write.
pub(super) struct Clock {
    known: AtomicU64,
    is_ours: bool,
}

impl Clock {
    /// A clock of a database that others write to as well: always to be asked.
    pub(super) fn shared() -> Self {
        Self { known: AtomicU64::new(UNSETTLED), is_ours: false }
    }

    /// A clock of a database that only this process writes to.
    pub(super) fn owned(version: u64) -> Self {
        Self { known: AtomicU64::new(version), is_ours: true }
    }

    /// Returns the version, unless the database has to be asked.
    pub(super) fn known(&self) -> Option<u64> {
        Some(self.known.load(Ordering::SeqCst)).filter(|version| *version != UNSETTLED)
    }

    /// Says that a commit is under way: from here the row decides, which changes with the commit.
    /// It stays so if nobody learns how the commit ended.
    pub(super) fn unsettle(&self) {
        self.known.store(UNSETTLED, Ordering::SeqCst);
    }

    /// Says that the commit succeeded.
    pub(super) fn settle(&self, version: u64) {
        if self.is_ours {
            self.known.store(version, Ordering::SeqCst);
        }
    }
}

/// Reads the version.
pub(super) async fn version(connection: &mut Connection) -> Result<u64> {
    let (version,): (i64,) = on!(connection, "reading the clock", db =>
        sqlx::query_as("SELECT version FROM clock WHERE id = 1").fetch_one(db).await)?;
    unsigned(version)
}

/// Makes the version greater and returns it.
pub(super) async fn advance(connection: &mut Connection) -> Result<u64> {
    let (version,): (i64,) = on!(connection, "advancing the clock", db => sqlx::query_as(
        "UPDATE clock SET version = version + 1 WHERE id = 1 RETURNING version",
    ).fetch_one(db).await)?;
    unsigned(version)
}

/// Writes something that means nothing.
pub(super) async fn beat(connection: &mut Connection) -> Result<()> {
    on!(connection, "writing a heartbeat", db =>
        sqlx::query("UPDATE heartbeat SET beat = beat + 1 WHERE id = 1").execute(db).await.map(drop))
}
