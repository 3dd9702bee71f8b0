//! Work that blocks its thread, and so has one of its own.

use std::io;

use tokio::task::{JoinError, spawn_blocking};

use super::{Result, StorageError};

/// Does work where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    join(spawn_blocking(work).await)
}

/// Unwraps what a blocking task came to.
pub(super) fn join<T>(joined: std::result::Result<Result<T>, JoinError>) -> Result<T> {
    joined.unwrap_or_else(|error| {
        Err(StorageError::io("a task of the storage ended early", io::Error::other(error)))
    })
}
