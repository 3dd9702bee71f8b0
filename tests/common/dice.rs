//! Chance that can be had again: the same seed gives the same numbers.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers by the sequence `SplitMix64`.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Begins with `TEST_SEED`, or with the time; prints what it is.
    pub(crate) fn cast() -> Self {
        let seed = env::var("TEST_SEED").map_or_else(
            |_| {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                since.as_secs() ^ u64::from(since.subsec_nanos()) << 20
            },
            |seed| seed.parse().expect("TEST_SEED is a number"),
        );
        eprintln!("TEST_SEED={seed}");
        Self(seed)
    }

    /// Numbers of their own for a part of the test.
    pub(crate) fn branch(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below the limit; 0 where there is none.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// Where something is among so many.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).expect("it is below a usize")
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}
