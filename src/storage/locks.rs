//! Locks: linking in a storage and cleaning it never happen at the same time, in whatever process.

use async_trait::async_trait;

use super::Result;

/// Locks for all processes that share a storage. `app` makes it out of the index.
#[async_trait]
pub trait Locks: Send + Sync {
    /// Takes a lease to link something, beside others; waits as long as a cleaning runs. None
    /// when a cleaning was cut short: the caller has to begin one, mend what it may have left, and end it.
    async fn begin_linking(&self) -> Result<Option<Box<dyn Lease>>>;

    /// Takes a lease to clean; waits as long as there is another lease. Unless it is ended, the
    /// next call to link reports that it was cut short.
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
