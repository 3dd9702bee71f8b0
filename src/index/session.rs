//! Sessions of Postgres: what each is set to, and how long its queries may take.

use std::io;
use std::time::Duration;

/// What every connection is set to: a lock is waited for in portions, so that a client that gave up
/// leaves the queue; and the server finds out soon when a client's machine is gone, and with it the
/// lock of its connection.
pub(super) const SESSION: &str = "SET lock_timeout = '10s'; SET tcp_keepalives_idle = 15; \
     SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";

/// Gives up on a query that takes too long. The connection is of no use then.
pub(super) async fn within<T>(
    limit: Duration,
    query: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    match tokio::time::timeout(limit, query).await {
        Ok(outcome) => outcome,
        Err(_) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
    }
}
