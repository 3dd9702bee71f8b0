//! A connection to either database, and the transaction on it.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Either, Executor, Postgres, Sqlite, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::columns::damaged;
use super::failure::kind;
use super::session::within;
use super::statement::{Script, Statement, Value};
use super::{IndexError, IndexErrorKind, Result};
use crate::oci::{RepositoryName, Visibility};

/// Runs one query, written once, on whichever database the connection leads to. Any failure is
/// noted on the connection, so that it is not used as if nothing had happened.
///
/// `on!(connection, "finding a blob", db => query.fetch_optional(db).await)?`
macro_rules! on {
    ($connection:expr, $doing:literal, $db:ident => $query:expr) => {{
        $connection.flush().await?;
        let limit = $connection.limit();
        let outcome = match $connection.link() {
            $crate::index::connection::Link::Lite($db) => {
                let $db = &mut **$db;
                $query
            }
            $crate::index::connection::Link::Postgres($db) => {
                let $db = &mut **$db;
                $crate::index::session::within(limit, async { $query }).await
            }
        };
        outcome.map_err(|error| $connection.failed($doing, error))
    }};
}
pub(super) use on;

/// A statement whose text depends on how many values it has is prepared by a server for so many at most: for each number
/// there is another one, and the connection has a bounded number of them.
const PREPARED_VALUES: usize = 16;
/// The same for one that has several parameters for each.
const MOST_PREPARED: usize = 5 * PREPARED_VALUES;

/// How long one statement may take where there is a network between and nothing else was said.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The same for the writer, whose statements may concern every row.
const WRITER_LIMIT: Duration = Duration::from_mins(10);
/// Begins a transaction of the writer, whose statements the server gives as long.
const WRITERS_BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '10min'";

/// A connection of a pool.
pub(super) enum Link {
    /// To a SQLite file.
    Lite(PoolConnection<Sqlite>),
    /// To a Postgres server.
    Postgres(PoolConnection<Postgres>),
}

impl Link {
    fn close_on_drop(&mut self) {
        match self {
            Self::Lite(link) => link.close_on_drop(),
            Self::Postgres(link) => link.close_on_drop(),
        }
    }
}

/// A connection that knows whether a transaction is open on it.
///
/// It goes back to its pool when it is dropped, except with an open transaction, with the writer's
/// lock or after a failure: then it is closed, which rolls back, also when a caller went away in mid-statement.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Connection {
    link: Link,
    gate: Option<Arc<Mutex<()>>>,
    passed: Option<OwnedMutexGuard<()>>,
    limit: Duration,
    in_transaction: bool,
    failed: bool,
    locked: bool,
    /// Whether the transaction has written events.
    has_events: bool,
    /// Whether it has changed or removed records of repositories.
    has_changed_records: bool,
    /// The repositories that the transaction has begun to remove.
    removals: Vec<RepositoryName>,
    /// What is to be run before anything else, all of it of the transaction.
    waiting: Vec<Statement>,
    /// Who may see repositories that are made by it, where their namespace does not say it; none where all are public.
    new_visibility: Option<Visibility>,
}

impl Connection {
    /// Wraps a connection. `gate` is what each transaction that writes has to pass, for a database
    /// that allows one at a time; `passed` is its guard where that was done already.
    pub(super) fn new(
        link: Link,
        gate: Option<Arc<Mutex<()>>>,
        passed: Option<OwnedMutexGuard<()>>,
    ) -> Self {
        let limit = REQUEST_LIMIT;
        Self {
            link,
            gate,
            passed,
            limit,
            in_transaction: false,
            failed: false,
            locked: false,
            has_events: false,
            has_changed_records: false,
            removals: Vec::new(),
            waiting: Vec::new(),
            new_visibility: None,
        }
    }

    /// Makes repositories with that visibility, where their namespace does not say it; public ones, whatever it says, if
    /// none.
    pub(super) fn making(mut self, new_visibility: Option<Visibility>) -> Self {
        self.new_visibility = new_visibility;
        self
    }

    pub(super) fn new_visibility(&self) -> Option<Visibility> {
        self.new_visibility
    }

    /// Gives each statement that time.
    pub(super) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Gives each statement the time that the writer's may take.
    pub(super) fn for_the_writer(self) -> Self {
        self.within(WRITER_LIMIT)
    }

    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Tells whether a statement of so many values is to be prepared once for all times. That saves a round
    /// trip to Postgres; SQLite has none to save, and would only use memory.
    pub(super) fn prepares(&self, values: usize) -> bool {
        matches!(self.link, Link::Postgres(_)) && values <= PREPARED_VALUES
    }

    /// Tells whether a transaction is open.
    pub(super) fn in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// Tells whether no transaction is open and nothing went wrong.
    pub(super) fn is_quiet(&self) -> bool {
        !self.in_transaction && !self.failed
    }

    /// Notes whether the session may hold the writer's lock, which then goes with it.
    pub(super) fn set_locked(&mut self, locked: bool) {
        self.locked = locked;
    }

    /// Notes that the open transaction has written an event.
    pub(super) fn set_has_events(&mut self) {
        self.has_events = true;
    }

    /// Tells whether the open transaction has written events.
    pub(super) fn has_events(&self) -> bool {
        self.has_events
    }

    /// Notes that the open transaction has changed or removed the record of a repository.
    pub(super) fn set_has_changed_records(&mut self) {
        self.has_changed_records = true;
    }

    /// Tells whether the open transaction has changed or removed the record of a repository.
    pub(super) fn has_changed_records(&self) -> bool {
        self.has_changed_records
    }

    /// Notes that the open transaction begins to remove a repository; returns false where it has begun that.
    pub(super) fn begins_removal(&mut self, repository: &RepositoryName) -> bool {
        let is_new = !self.removals.contains(repository);
        if is_new {
            self.removals.push(repository.clone());
        }
        is_new
    }

    /// Notes a failure, and says what a caller can do about it.
    pub(super) fn failed(&mut self, doing: &'static str, error: sqlx::Error) -> IndexError {
        self.failed = true;
        IndexError::new(kind(&error), doing, error)
    }

    /// Notes that what the transaction did makes no sense, which damage alone explains.
    pub(super) fn spoiled(&mut self, doing: &'static str, why: &'static str) -> IndexError {
        self.failed = true;
        damaged(doing, why)
    }

    /// Tells whether it leads to SQLite.
    pub(super) fn is_lite(&self) -> bool {
        matches!(self.link, Link::Lite(_))
    }

    /// Returns the expression of SQL for the time now, by the clock of the database, which all processes share.
    pub(super) fn clock(&self) -> &'static str {
        match self.link {
            Link::Lite(_) => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Link::Postgres(_) => "milliseconds()",
        }
    }

    /// Runs statements that are a whole transaction of SQLite, from `BEGIN` to `COMMIT`, and share their parameters.
    /// Each call is a trip to the thread of the connection and back, and no other task writes meanwhile.
    pub(super) async fn script<T>(
        &mut self,
        doing: &'static str,
        run: impl AsyncFnOnce(&mut SqliteConnection) -> sqlx::Result<T>,
    ) -> Result<T> {
        self.open_transaction().await?;
        let Link::Lite(link) = &mut self.link else {
            return Err(misuse(doing, "a script is for SQLite"));
        };
        let done = run(link).await.map_err(|error| self.failed(doing, error))?;
        self.ended();
        Ok(done)
    }

    /// Notes that a transaction is about to be open; waits for other writers.
    async fn open_transaction(&mut self) -> Result<()> {
        if self.in_transaction {
            return Err(misuse("beginning a transaction", "one is open already"));
        }
        if let (Some(gate), None) = (&self.gate, &self.passed) {
            self.passed = Some(Arc::clone(gate).lock_owned().await);
        }
        self.failed = false;
        self.in_transaction = true;
        Ok(())
    }

    /// Begins a transaction that may write; waits for other writers.
    pub(super) async fn begin(&mut self) -> Result<()> {
        const DOING: &str = "beginning a transaction";
        self.open_transaction().await?;
        let begin = match &mut self.link {
            Link::Lite(_) => return self.run(Statement::new(DOING, "BEGIN IMMEDIATE")).await,
            Link::Postgres(link) => {
                let begin = if self.limit == WRITER_LIMIT { WRITERS_BEGIN } else { "BEGIN" };
                within(self.limit, sqlx::raw_sql(begin).execute(&mut **link)).await
            }
        };
        begin.map(drop).map_err(|error| self.failed(DOING, error))
    }

    /// Makes the transaction durable. Refused after a failure in it, and it stays open then.
    pub(super) async fn commit(&mut self) -> Result<()> {
        if !self.in_transaction {
            return Err(misuse("committing", "no transaction is open"));
        }
        if self.failed {
            return Err(misuse("committing", "a call in the transaction failed"));
        }
        if self.waiting.iter().any(|statement| statement.must_change.is_some()) {
            // What they changed is known only after they have run, and has to be known before the commit.
            self.flush().await?;
        }
        self.run(Statement::new("committing", "COMMIT")).await?;
        self.flush().await?;
        self.ended();
        Ok(())
    }

    /// Undoes the transaction.
    pub(super) async fn rollback(&mut self) -> Result<()> {
        if !self.in_transaction {
            return Err(misuse("rolling back", "no transaction is open"));
        }
        let had_failed = self.failed;
        let had_begun = self.has_begun();
        self.waiting.clear();
        if had_begun {
            let undone = on!(self, "rolling back", db => sqlx::query("ROLLBACK").execute(db).await.map(drop));
            match (undone, &self.link) {
                // SQLite itself rolls back on some failures, and then has nothing left to undo.
                (Err(_), Link::Lite(_)) if had_failed => {}
                (undone, _) => undone?,
            }
        }
        self.failed = false;
        self.ended();
        Ok(())
    }

    /// Tells whether the database knows of the transaction.
    fn has_begun(&self) -> bool {
        !self.waiting.first().is_some_and(Statement::is_begin)
    }

    /// Runs a statement that returns nothing. In a transaction on SQLite it waits for the next call that does more, and
    /// fails there: each call is a trip to the thread of the connection and back.
    pub(super) async fn run(&mut self, statement: Statement) -> Result<()> {
        if self.is_lite() {
            self.waiting.push(statement);
            return if self.in_transaction { Ok(()) } else { self.flush().await };
        }
        let (doing, must_change) = (statement.doing, statement.must_change);
        let (text, values) = statement.parts();
        let limit = self.limit;
        let Link::Postgres(link) = &mut self.link else { return Ok(()) };
        let mut query = sqlx::query(AssertSqlSafe(text)).persistent(values.len() <= MOST_PREPARED);
        for value in values {
            query = match value {
                Value::Number(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        let done = within(limit, query.execute(&mut **link)).await;
        let changed = done.map_err(|error| self.failed(doing, error))?.rows_affected();
        self.check_change(doing, must_change, changed)
    }

    /// Runs what waits.
    pub(super) async fn flush(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = mem::take(&mut self.waiting);
        let mut script = Script::default();
        for statement in &waiting {
            script.push(statement);
        }
        let is_prepared = script.is_prepared();
        let Link::Lite(link) = &mut self.link else { return Ok(()) };
        let mut query = sqlx::query(AssertSqlSafe(script.text)).persistent(is_prepared);
        for value in script.values {
            query = query.bind(value);
        }
        let mut changes = Vec::with_capacity(waiting.len());
        let run = async {
            let mut outcomes = (&mut **link).fetch_many(query);
            while let Some(outcome) = outcomes.try_next().await? {
                if let Either::Left(done) = outcome {
                    changes.push(done.rows_affected());
                }
            }
            Ok(())
        };
        if let Err(error) = run.await {
            let doing = waiting.get(changes.len()).map_or("running statements", |it| it.doing);
            return Err(self.failed(doing, error));
        }
        for (Statement { doing, must_change, .. }, changed) in waiting.iter().zip(changes) {
            self.check_change(doing, *must_change, changed)?;
        }
        Ok(())
    }

    fn check_change(
        &mut self,
        doing: &'static str,
        must_change: Option<&'static str>,
        changed: u64,
    ) -> Result<()> {
        match must_change {
            Some(why) if changed == 0 => {
                self.failed = true;
                Err(misuse(doing, why))
            }
            _ => Ok(()),
        }
    }

    fn ended(&mut self) {
        self.in_transaction = false;
        self.has_events = false;
        self.has_changed_records = false;
        self.removals.clear();
        self.passed = None;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.locked || !self.is_quiet() {
            self.link.close_on_drop();
        }
    }
}

/// The error of a call that makes no sense where it was made.
pub(super) fn misuse(doing: &'static str, why: &'static str) -> IndexError {
    IndexError::new(IndexErrorKind::Failed, doing, why)
}
