//! The numbers that grow: with every commit of the writer, and with every change of the accounts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Result;
use super::columns::unsigned;
use super::connection::{Connection, on};
use super::generation_reader::{GenerationReader, Seen};
use super::statement::Statement;

/// Stands for a number that has to be queried from the database.
const UNSETTLED: u64 = u64::MAX;

/// The version and the generation of the accounts, as one reader sees them.
pub(super) enum Generation {
    /// Each reader queries the database.
    Row,
    /// Other processes write as well: one query serves all tasks that need it.
    Queried(GenerationReader),
    /// Only this process writes, and knows them.
    Owned(Known),
}

/// What a process knows of a database that only it writes to.
pub(super) struct Known {
    version: AtomicU64,
    accounts: AtomicU64,
}

/// Both numbers, where each is known.
pub(super) struct SeenBoth {
    pub(super) index: Option<Seen>,
    pub(super) accounts: Option<AccountsState>,
}

/// A state of the accounts: what was read under it counts as long as the same is seen again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountsState {
    /// By which connection it was seen.
    session: u64,
    /// How many changes there were.
    changes: u64,
}

impl AccountsState {
    pub(super) fn new(session: u64, changes: u64) -> Self {
        Self { session, changes }
    }
}

impl Generation {
    /// A clock of a database that only this process writes to.
    pub(super) fn owned(version: u64, accounts: u64) -> Self {
        Self::Owned(Known { version: version.into(), accounts: accounts.into() })
    }

    /// Returns the version as it is now, unless that takes a query of
    /// one's own.
    pub(super) async fn seen(&self) -> Result<Option<Seen>> {
        Ok(self.seen_both().await?.index)
    }

    /// Returns both as they are now, but none that takes a query of one's own.
    pub(super) async fn seen_both(&self) -> Result<SeenBoth> {
        match self {
            Self::Row => Ok(SeenBoth { index: None, accounts: None }),
            Self::Queried(reader) => {
                let (session, clock) = reader.ask().await?;
                Ok(SeenBoth {
                    index: Some(Seen { session, version: unsigned(clock.version)? }),
                    accounts: Some(AccountsState::new(session, unsigned(clock.accounts)?)),
                })
            }
            Self::Owned(known) => {
                let version = settled(&known.version);
                let accounts = settled(&known.accounts);
                Ok(SeenBoth {
                    index: version.map(|version| Seen { session: 0, version }),
                    accounts: accounts.map(|changes| AccountsState::new(0, changes)),
                })
            }
        }
    }

    /// Returns the version, if only this process writes and knows it.
    pub(super) fn known(&self) -> Option<u64> {
        let Self::Owned(known) = self else { return None };
        settled(&known.version)
    }

    /// Says that a commit is under way: from here the row decides, which changes with the commit.
    /// It stays so if the end of the commit is never known.
    pub(super) fn unsettle(&self) {
        self.settle(UNSETTLED);
    }

    /// Says that the commit succeeded.
    pub(super) fn settle(&self, version: u64) {
        if let Self::Owned(known) = self {
            known.version.store(version, Ordering::SeqCst);
        }
    }

    /// As [`unsettle`](Self::unsettle), for a change of the accounts.
    pub(super) fn unsettle_accounts(&self) {
        self.settle_accounts(UNSETTLED);
    }

    /// As [`settle`](Self::settle), for a change of the accounts.
    pub(super) fn settle_accounts(&self, changes: u64) {
        if let Self::Owned(known) = self {
            known.accounts.store(changes, Ordering::SeqCst);
        }
    }

    /// Lets go of the database.
    pub(super) fn close(&self) {
        if let Self::Queried(reader) = self {
            reader.close();
        }
    }
}

fn settled(number: &AtomicU64) -> Option<u64> {
    Some(number.load(Ordering::SeqCst)).filter(|number| *number != UNSETTLED)
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

/// Reads the generation of the accounts.
pub(super) async fn accounts(connection: &mut Connection) -> Result<u64> {
    let (changes,): (i64,) = on!(connection, "reading the generation of accounts", db =>
        sqlx::query_as("SELECT version FROM account_clock WHERE id = 1").fetch_one(db).await)?;
    unsigned(changes)
}

/// Raises the generation of the accounts and returns it. In a transaction: others that change accounts wait for its
/// end.
pub(super) async fn advance_accounts(connection: &mut Connection) -> Result<u64> {
    let (changes,): (i64,) = on!(connection, "raising the generation of accounts", db => sqlx::query_as(
        "UPDATE account_clock SET version = version + 1 WHERE id = 1 RETURNING version",
    ).fetch_one(db).await)?;
    unsigned(changes)
}

/// Writes something that means nothing.
pub(super) async fn beat(connection: &mut Connection) -> Result<()> {
    on!(connection, "writing a heartbeat", db =>
        sqlx::query("UPDATE heartbeat SET beat = beat + 1 WHERE id = 1").execute(db).await.map(drop))
}
