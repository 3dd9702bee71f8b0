//! Which blocks an archive without duplicates has already.

use std::collections::HashSet;

use cid::Cid;

/// How many blocks are told apart: some 60 MB for one answer, of a terabyte at least.
const MOST: usize = 1 << 20;

/// Blocks that were sent, each by as much of its hash as nobody can make another block for.
#[derive(Default)]
pub(super) struct Once(HashSet<[u8; 16]>);

impl Once {
    /// Notes a block; returns whether it is the first time, or nothing when there are too many.
    pub(super) fn note(&mut self, cid: &Cid) -> Option<bool> {
        let mut key = [0; 16];
        let digest = cid.hash().digest();
        let length = digest.len().min(key.len());
        key[..length].copy_from_slice(&digest[..length]);
        let is_new = self.0.insert(key);
        (self.0.len() <= MOST).then_some(is_new)
    }
}
