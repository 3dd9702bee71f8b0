//! Blocks that the node's disk has changed. The node does not hash what it reads, and ignores a block that is sent to it
//! as long as it has one of that CID.

use super::super::Result;
use super::store::Store;
use crate::ipld::{Block, Cid, RAW, links};
use crate::kubo::KuboErrorKind;

/// How many blocks are removed one by one; where there are more, or one is pinned, the node looks through all it has.
const SINGLE: usize = 1000;

impl Store {
    /// Removes the blocks of a file that are not what their CIDs say; returns how many it has not got then.
    pub(super) async fn drop_damaged(&self, file: &Cid) -> Result<u64> {
        let (mut damaged, mut missing, mut is_hidden) = (Vec::new(), 0, false);
        let mut left = vec![*file];
        while let Some(cid) = left.pop() {
            let bytes = match self.node.kubo.block(&cid).await {
                Err(error) if error.kind == KuboErrorKind::MissingBlock => {
                    missing += 1;
                    continue;
                }
                bytes => bytes?,
            };
            let Ok(block) = Block::verify(cid, bytes) else {
                // What is below it cannot be found any more.
                is_hidden |= cid.codec() != RAW;
                damaged.push(cid);
                continue;
            };
            if cid.codec() != RAW {
                left.extend(links(&cid, &block.bytes).unwrap_or_default().iter().map(|it| it.cid));
            }
        }
        let count = damaged.len() as u64;
        if count == 0 {
            return Ok(missing);
        }
        tracing::warn!(%file, blocks = count, "removing damaged blocks from the node");
        let mut is_done = !is_hidden && damaged.len() <= SINGLE;
        if is_done {
            for cid in &damaged {
                if let Err(error) = self.node.kubo.remove_block(cid).await {
                    // It may be pinned: a root that is published is.
                    tracing::info!(%cid, %error, "failed to remove a block");
                    is_done = false;
                    break;
                }
            }
        }
        if !is_done {
            self.node.kubo.drop_damaged_blocks().await?;
        }
        Ok(count + missing)
    }
}
