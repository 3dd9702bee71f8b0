//! What of forgotten content stays until it is collected.

use async_trait::async_trait;

use super::Result;

/// A storage in which bytes stay after their name has gone.
#[async_trait]
pub trait BlockCollector: Send + Sync {
    /// Removes all bytes that nothing names, whoever stored them; returns when that is done. Whatever else is stored
    /// waits meanwhile.
    async fn collect_blocks(&self) -> Result<()>;
}
