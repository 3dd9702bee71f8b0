//! One query of the version and of the generation of accounts for all requests of the same time, where processes share a server.
//!
//! A request joins the next query, never one under way: so the answer was read after the request,
//! and has every commit that was reported before. One connection is reserved for that.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::failure::kind;
use super::session::{SESSION, within};
use super::{IndexError, IndexErrorKind, Result};
use crate::oci::IndexState;

const DOING: &str = "asking for the version";

/// How long the query may take, and how long connecting.
const LIMIT: Duration = Duration::from_secs(5);

type Answer = std::result::Result<(u64, Clock), Arc<sqlx::Error>>;

/// What was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) version: i64,
    pub(super) accounts: i64,
}

/// A version that was seen: what was found under it counts as long as the same is seen again.
pub(super) type Seen = IndexState;

/// Asks on behalf of all requests of this process.
pub(super) struct GenerationReader {
    questions: UnboundedSender<oneshot::Sender<Answer>>,
    task: AbortHandle,
}

impl GenerationReader {
    pub(super) fn start(options: PgConnectOptions) -> Self {
        let (questions, requests) = unbounded_channel();
        let session = Session { options, connection: None, number: 0 };
        let task = tokio::spawn(answer(session, requests)).abort_handle();
        Self { questions, task }
    }

    /// Reads the clock, in one query with other requests; and says by which connection.
    pub(super) async fn ask(&self) -> Result<(u64, Clock)> {
        let (question, answer) = oneshot::channel();
        // If the task has ended, no answer comes either.
        let _ = self.questions.send(question);
        let Ok(answer) = answer.await else {
            return Err(IndexError::new(
                IndexErrorKind::Unavailable,
                DOING,
                "the reader has ended",
            ));
        };
        answer.map_err(|error| IndexError::new(kind(&error), DOING, error))
    }

    /// Closes the connection. Later requests are refused.
    pub(super) fn close(&self) {
        self.task.abort();
    }
}

impl Drop for GenerationReader {
    fn drop(&mut self) {
        self.close();
    }
}

async fn answer(mut session: Session, mut requests: UnboundedReceiver<oneshot::Sender<Answer>>) {
    let mut waiting = Vec::new();
    // A request that comes after this has returned is left for the next round.
    while requests.recv_many(&mut waiting, usize::MAX).await > 0 {
        let answer = session.ask().await.map_err(Arc::new);
        for question in waiting.drain(..) {
            // A request that was dropped needs no answer.
            let _ = question.send(answer.clone());
        }
    }
}

/// The connection, and how many there were before. After another one was made nothing counts that was
/// seen by an earlier one: it may lead to a server that was set back, or to its replacement.
struct Session {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    number: u64,
}

impl Session {
    async fn ask(&mut self) -> sqlx::Result<(u64, Clock)> {
        if let Some(mut connection) = self.connection.take()
            && let Ok(clock) = within(LIMIT, clock(&mut connection)).await
        {
            self.connection = Some(connection);
            return Ok((self.number, clock));
        }
        // There was none, or it was cut: perhaps while it was idle.
        let connecting = async {
            let mut connection = self.options.connect().await?;
            connection.execute(SESSION).await?;
            Ok(connection)
        };
        let mut connection = within(LIMIT, connecting).await?;
        let clock = within(LIMIT, clock(&mut connection)).await?;
        self.connection = Some(connection);
        self.number += 1;
        Ok((self.number, clock))
    }
}

async fn clock(connection: &mut PgConnection) -> sqlx::Result<Clock> {
    let query = sqlx::query_as(
        "SELECT version, (SELECT version FROM account_clock WHERE id = 1) FROM clock WHERE id = 1",
    );
    let (version, accounts) = query.fetch_one(connection).await?;
    Ok(Clock { version, accounts })
}
