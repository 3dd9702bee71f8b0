//! A pooler that gives each transaction another session is refused: locks, prepared statements and
//! settings of a session would be another client's.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use super::failure::opening_postgres;
use super::session::within;
use super::{IndexError, IndexErrorKind, Result};

const DOING: &str = "opening a Postgres database";

/// How long each step may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Finds out whether a session is one. Nothing is prepared by name before that is known.
///
/// # Errors
/// `Failed`, with a sentence, when it is not; as opening does, when no server answers.
pub(super) async fn refuse(options: &PgConnectOptions) -> Result<()> {
    let found = within(LIMIT * 4, is_shared(options)).await;
    match found {
        Ok(false) => Ok(()),
        Ok(true) => Err(IndexError::new(
            IndexErrorKind::Failed,
            DOING,
            "`index.url` names a pooler in transaction mode, which loses the writer's lock: set `pool_mode = \
             session` there, or name Postgres itself",
        )),
        Err(error) if is_of_pooler(&error) => Err(IndexError::new(
            IndexErrorKind::Failed,
            DOING,
            format!(
                "`index.url` names a pooler that refuses a session's parameters ({error}): set `pool_mode = \
                 session` and `ignore_startup_parameters = extra_float_digits` there, or name Postgres itself"
            ),
        )),
        Err(error) => Err(opening_postgres(options, error)),
    }
}

/// Tells whether two connections meet in one session, or one of them in two: a transaction of the
/// other one takes the session that the first one had before, unless it is the first one's own.
async fn is_shared(options: &PgConnectOptions) -> sqlx::Result<bool> {
    let mut mine = options.connect().await?;
    let mut others = Vec::new();
    let mut is_shared = false;
    let first = process(&mut mine, ASK).await?;
    for _ in 0..2 {
        let mut other = options.connect().await?;
        is_shared |= process(&mut other, BEGIN_AND_ASK).await? == first;
        others.push(other);
        is_shared |= process(&mut mine, ASK).await? != first;
    }
    for connection in others.into_iter().chain([mine]) {
        connection.close().await?;
    }
    Ok(is_shared)
}

const ASK: &str = "SELECT pg_backend_pid()";
const BEGIN_AND_ASK: &str = "BEGIN; SELECT pg_backend_pid()";

/// Returns the id of the server's process, by the protocol that prepares nothing.
async fn process(connection: &mut PgConnection, statements: &'static str) -> sqlx::Result<i32> {
    let rows = sqlx::raw_sql(statements).fetch_all(connection).await?;
    rows.last().ok_or(sqlx::Error::RowNotFound)?.try_get(0)
}

/// Tells whether a pooler has refused something: `PgBouncer` calls all that a violation of the protocol.
fn is_of_pooler(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("08P01")
}
