//! The number that grows with every commit of the writer.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Result;
use super::columns::unsigned;
use super::connection::{Connection, on};
use super::generation_reader::{GenerationReader, Seen};
use super::statement::Statement;

/// Stands for a version that has to be queried from the database.
const UNSETTLED: u64 = u64::MAX;

/// The version, as one reader sees it.
pub(super) enum Generation {
    /// Each reader queries the database.
    Row,
    /// Other processes write as well: one query serves all tasks that need it.
    Queried(GenerationReader),
    /// Only this process writes, and knows it.
    Owned(AtomicU64),
}

impl Generation {
    /// A clock of a database that only this process writes to.
    pub(super) fn owned(version: u64) -> Self {
        Self::Owned(AtomicU64::new(version))
    }

    /// Returns the version as it is now, unless that takes a query of
    /// one's own.
    pub(super) async fn seen(&self) -> Result<Option<Seen>> {
        match self {
            Self::Row => Ok(None),
            Self::Queried(reader) => reader.ask().await.map(Some),
            Self::Owned(_) => Ok(self.known().map(|version| Seen { session: 0, version })),
        }
    }

    /// Returns the version, if only this process writes and knows it.
    pub(super) fn known(&self) -> Option<u64> {
        let Self::Owned(known) = self else { return None };
        Some(known.load(Ordering::SeqCst)).filter(|version| *version != UNSETTLED)
    }

    /// Says that a commit is under way: from here the row decides, which changes with the commit.
    /// It stays so if the end of the commit is never known.
    pub(super) fn unsettle(&self) {
        self.settle(UNSETTLED);
    }

    /// Says that the commit succeeded.
    pub(super) fn settle(&self, version: u64) {
        if let Self::Owned(known) = self {
            known.store(version, Ordering::SeqCst);
        }
    }

    /// Lets go of the database.
    pub(super) fn close(&self) {
        if let Self::Queried(reader) = self {
            reader.close();
        }
    }
}

/// Reads the version.
pub(super) async fn version(connection: &mut Connection) -> Result<u64> {
    let (version,): (i64,) = on!(connection, "reading the clock", db =>
        sqlx::query_as("SELECT version FROM clock WHERE id = 1").fetch_one(db).await)?;
    unsigned(version)
}

/// Makes the version greater and returns it; `known` is the one before, where that is known.
pub(super) async fn advance(connection: &mut Connection, known: Option<u64>) -> Result<u64> {
    if let Some(known) = known {
        let advance = "UPDATE clock SET version = version + 1 WHERE id = 1";
        connection.run(Statement::new("advancing the clock", advance)).await?;
        return Ok(known + 1);
    }
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
