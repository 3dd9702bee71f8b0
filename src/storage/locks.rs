//! Locks: who links in a storage and who cleans it never do so at the same time, in whatever process.

use async_trait::async_trait;

use super::Result;

/// Locks for all processes that share a storage. `app` makes it out of the index.
#[async_trait]
pub trait Locks: Send + Sync {
    /// Takes a lease to link something, beside others who link; waits as long as somebody cleans. None
    /// when a cleaning was cut short: somebody has to begin one, mend what it may have left, and end it.
    async fn begin_linking(&self) -> Result<Option<Box<dyn Lease>>>;

    /// Takes a lease to clean; waits as long as anybody links or cleans. Unless it is ended, whoever
    /// wants to link next is told that it was cut short.
    async fn begin_cleaning(&self) -> Result<Box<dyn Lease>>;
}

/// A lease. Dropping it gives it back.
#[async_trait]
pub trait Lease: Send {
    /// Gives the lease back.
    ///
    /// # Errors
    /// When it was lost meanwhile: what was done in it may not have been done alone.
    async fn end(self: Box<Self>) -> Result<()>;
}
