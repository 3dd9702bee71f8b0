//! Damaged blocks, which storing the same content again would not replace.

use async_trait::async_trait;
use cid::Cid;

use super::Result;

/// A storage that takes a block which it has for what its CID says, whatever its disk has made of it.
#[async_trait]
pub trait BlockMender: Send + Sync {
    /// Removes the blocks of a file that are not what their CIDs say, so that they can be stored anew. What is sound stays.
    /// Returns how many of its blocks are not there then, those among them that were missing before.
    async fn drop_damaged(&self, file: &Cid) -> Result<u64>;
}
