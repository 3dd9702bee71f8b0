//! What others read from the storage itself.

use async_trait::async_trait;
use cid::Cid;

use super::Result;

/// A storage from which other peers read by themselves.
#[async_trait]
pub trait Announcer: Send + Sync {
    /// Retains and announces what is below a root of the public tree. `known` is another root of which that was
    /// requested before. Repeating it succeeds.
    async fn publish(&self, root: &Cid, known: Option<&Cid>) -> Result<()>;

    /// Releases all published roots but these. Repeating it succeeds.
    async fn release_published(&self, retained: &[Cid]) -> Result<()>;

    /// Lists where others can read from the storage, as multiaddrs, also those that lead nowhere from outside.
    async fn addresses(&self) -> Result<Vec<String>>;
}
