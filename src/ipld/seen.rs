//! Telling blocks apart that were met before.

use std::collections::HashSet;

use cid::Cid;

/// Blocks that were met, each by as much of its hash as no attacker can make another block for: some 60 bytes of
/// memory for a block.
#[derive(Debug, Default)]
pub struct Seen(HashSet<[u8; 16]>);

impl Seen {
    /// Notes a block, and tells whether it is the first time.
    pub fn insert(&mut self, cid: &Cid) -> bool {
        let mut key = [0; 16];
        let digest = cid.hash().digest();
        let length = digest.len().min(key.len());
        key[..length].copy_from_slice(&digest[..length]);
        self.0.insert(key)
    }

    /// Counts the blocks.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
