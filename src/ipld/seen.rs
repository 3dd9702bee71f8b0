//! Telling blocks apart that were met before.

use std::collections::HashSet;

use cid::Cid;

/// Blocks that were met, each by as much of its hash as no attacker can make another block for: some 60 bytes of
/// memory for a block.
#[derive(Debug, Default)]
pub struct Seen(HashSet<[u8; 16]>);

impl Seen {
    /// Notes a block, and tells whether it is the first time.
    ///
    /// ```
    /// use roadstead::ipld::{Seen, raw_cid};
    ///
    /// let mut seen = Seen::default();
    /// assert!(seen.insert(&raw_cid([7; 32])));
    /// assert!(!seen.insert(&raw_cid([7; 32])), "it was there before");
    /// ```
    pub fn insert(&mut self, cid: &Cid) -> bool {
        let mut key = [0; 16];
        let digest = cid.hash().digest();
        let length = digest.len().min(key.len());
        key[..length].copy_from_slice(&digest[..length]);
        self.0.insert(key)
    }

    /// Counts the blocks.
    ///
    /// ```
    /// use roadstead::ipld::{Seen, raw_cid};
    ///
    /// let mut seen = Seen::default();
    /// seen.insert(&raw_cid([7; 32]));
    /// seen.insert(&raw_cid([7; 32]));
    /// assert_eq!(seen.count(), 1);
    /// ```
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
