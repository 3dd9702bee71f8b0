//! A limit for trees of a few blocks that link to each other again and again: such a tree has millions of paths.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use cid::Cid;

/// How much there may be for each that differs from the others, beside some: directories that are the same in many
/// repositories are met in each of them, but not without end.
pub(super) const REPEATED: usize = 500;
pub(super) const SOME: usize = 10_000;

/// The blocks that were met in a tree.
#[derive(Debug, Default)]
pub struct Repeats {
    /// By the beginning of their hash, which is enough to count them.
    known: HashSet<Option<[u8; 8]>>,
    count: usize,
    distinct: usize,
}

impl Repeats {
    /// Notes that a block was met which counts so much; returns whether the same ones come again and again.
    pub fn is_endless(&mut self, cid: &Cid, weight: usize) -> bool {
        self.comes_again(cid.hash().digest().first_chunk().copied(), weight)
    }

    /// The same of a directory of which nothing but its entries is known.
    pub fn is_endless_listing(&mut self, entries: &impl Hash, weight: usize) -> bool {
        let mut hasher = DefaultHasher::new();
        entries.hash(&mut hasher);
        self.comes_again(Some(hasher.finish().to_le_bytes()), weight)
    }

    fn comes_again(&mut self, key: Option<[u8; 8]>, weight: usize) -> bool {
        self.count += weight;
        if self.known.insert(key) {
            self.distinct += weight;
        }
        self.count > SOME + REPEATED * self.distinct
    }
}
