//! The gateway: blocks below the public root, by their CID.
//!
//! A block is public while a folded public root has it, and for [`Limits::root_grace`](super::Limits) after
//! the last one that had it: whoever resolved that root a moment ago may still be reading.

use bytes::{Bytes, BytesMut};
use cid::Cid;
use futures_util::TryStreamExt;

use super::blobs::content;
use super::{Registry, Result};
use crate::index::PublicBlock;

impl Registry {
    /// Returns a block below the public root; none if it is not there, or is nobody's to see.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn public_block(&self, cid: &Cid) -> Result<Option<Bytes>> {
        let removed_after = self.grace_began();
        let mut found = self.index.public_block(cid, removed_after).await?;
        // A root that was just told may not be folded yet, and what is below it is not known before.
        if found.is_none() && self.index.unfolded_entry_count().await? > 0 {
            self.root().await?;
            found = self.index.public_block(cid, removed_after).await?;
        }
        let (blob, start, length) = match found {
            None => return Ok(None),
            Some(PublicBlock::Kept(bytes)) => return Ok(Some(bytes)),
            Some(PublicBlock::Part { blob, start, length }) => (blob, start, length),
        };
        let mut pieces = self.storage.open(&content(&blob), start..start + length).await?;
        let mut block = BytesMut::new();
        while let Some(piece) = pieces.try_next().await? {
            // A leaf that is read as one piece is not copied.
            if block.is_empty() && piece.len() as u64 == length {
                return Ok(Some(piece));
            }
            block.extend_from_slice(&piece);
        }
        Ok(Some(block.freeze()))
    }
}
