//! Both hashes of content: that of the whole, which registries use, and those of its leaves,
//! of which its CID is made.

use super::super::sha256::{self, BLOCK, INITIAL, State};
use super::CHUNK_SIZE;

/// The version of the bytes that a hasher is stored as.
const VERSION: u8 = 1;
/// What these begin with: the version, the length and two states.
const HEADER: usize = 1 + 8 + 2 * 32;

/// Hashes content as a whole and leaf by leaf, in one pass and in the time of one hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinHasher {
    length: u64,
    whole: State,
    leaf: State,
    /// The block under way, as far as it has come.
    block: [u8; BLOCK],
}

impl Default for TwinHasher {
    fn default() -> Self {
        Self { length: 0, whole: INITIAL, leaf: INITIAL, block: [0; BLOCK] }
    }
}

impl TwinHasher {
    /// Without content as yet.
    ///
    /// ```
    /// use roadstead::ipld::file::TwinHasher;
    ///
    /// let (whole, last) = TwinHasher::new().finish();
    /// assert_eq!(last, Some(whole), "empty content is one leaf");
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes were appended.
    ///
    /// ```
    /// use roadstead::ipld::file::TwinHasher;
    ///
    /// let mut hasher = TwinHasher::new();
    /// hasher.append(b"hello", &mut drop);
    /// assert_eq!(hasher.length(), 5);
    /// ```
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends bytes. The sha2-256 of each leaf of [`CHUNK_SIZE`] that this completes goes to the sink.
    ///
    /// ```
    /// use roadstead::ipld::file::{CHUNK_SIZE, TwinHasher};
    /// use sha2::{Digest, Sha256};
    ///
    /// let (mut hasher, mut leaves) = (TwinHasher::new(), Vec::new());
    /// hasher.append(&vec![0; CHUNK_SIZE + 1], &mut |digest| leaves.push(digest));
    /// let first: [u8; 32] = Sha256::digest(vec![0; CHUNK_SIZE]).into();
    /// assert_eq!(leaves, [first]);
    /// ```
    pub fn append(&mut self, mut bytes: &[u8], leaves: &mut impl FnMut([u8; 32])) {
        while !bytes.is_empty() {
            let (now, later) =
                bytes.split_at(bytes.len().min(CHUNK_SIZE - self.filled(CHUNK_SIZE)));
            self.take(now);
            bytes = later;
            if self.filled(CHUNK_SIZE) == 0 {
                leaves(sha256::finish(self.leaf, &[], CHUNK_SIZE as u64));
                self.leaf = INITIAL;
            }
        }
    }

    /// Returns the sha2-256 of the whole, and that of the last leaf if it is shorter than the others.
    /// Empty content has one leaf, which is empty.
    ///
    /// ```
    /// use roadstead::ipld::file::TwinHasher;
    /// use sha2::{Digest, Sha256};
    ///
    /// let mut hasher = TwinHasher::new();
    /// hasher.append(b"hello", &mut drop);
    /// let digest: [u8; 32] = Sha256::digest("hello").into();
    /// assert_eq!(hasher.finish(), (digest, Some(digest)), "the only leaf is the whole");
    /// ```
    #[must_use]
    pub fn finish(self) -> ([u8; 32], Option<[u8; 32]>) {
        let rest = &self.block[..self.filled(BLOCK)];
        let filled = self.filled(CHUNK_SIZE);
        let has_last = filled > 0 || self.length == 0;
        let last = has_last.then(|| sha256::finish(self.leaf, rest, filled as u64));
        (sha256::finish(self.whole, rest, self.length), last)
    }

    /// Makes bytes of it, at most 136, that [`from_bytes`](Self::from_bytes) takes anywhere.
    ///
    /// ```
    /// use roadstead::ipld::file::TwinHasher;
    ///
    /// let mut hasher = TwinHasher::new();
    /// hasher.append(b"hello", &mut drop);
    /// assert_eq!(hasher.to_bytes().len(), 1 + 8 + 2 * 32 + 5);
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.length.to_be_bytes());
        bytes.extend(self.whole.iter().chain(&self.leaf).flat_map(|word| word.to_be_bytes()));
        bytes.extend_from_slice(&self.block[..self.filled(BLOCK)]);
        bytes
    }

    /// Goes on where [`to_bytes`](Self::to_bytes) was called; none where the bytes are not of it.
    ///
    /// ```
    /// use roadstead::ipld::file::TwinHasher;
    ///
    /// let mut hasher = TwinHasher::new();
    /// hasher.append(b"hello", &mut drop);
    /// assert_eq!(TwinHasher::from_bytes(&hasher.to_bytes()), Some(hasher));
    /// assert_eq!(TwinHasher::from_bytes(b"hello"), None);
    /// ```
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        let (version, header) = header.split_first()?;
        let (length, states) = header.split_first_chunk::<8>()?;
        let mut hasher = Self { length: u64::from_be_bytes(*length), ..Self::default() };
        if *version != VERSION || rest.len() != hasher.filled(BLOCK) {
            return None;
        }
        let words = hasher.whole.iter_mut().chain(&mut hasher.leaf);
        for (word, bytes) in words.zip(states.as_chunks().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        hasher.block[..rest.len()].copy_from_slice(rest);
        Some(hasher)
    }

    /// How much there is of the last unit of that size.
    fn filled(&self, unit: usize) -> usize {
        usize::try_from(self.length % unit as u64).expect("it is less than a unit")
    }

    /// Takes bytes of one leaf.
    fn take(&mut self, mut bytes: &[u8]) {
        let filled = self.filled(BLOCK);
        self.length += bytes.len() as u64;
        if filled > 0 {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - filled));
            self.block[filled..filled + now.len()].copy_from_slice(now);
            if filled + now.len() < BLOCK {
                return;
            }
            sha256::compress([&mut self.whole, &mut self.leaf], &[self.block]);
            bytes = later;
        }
        let (blocks, rest) = bytes.as_chunks();
        sha256::compress([&mut self.whole, &mut self.leaf], blocks);
        self.block[..rest.len()].copy_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    fn leaf(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }

    /// Appends in pieces of these sizes, over and over, with a stop after each; returns the whole and
    /// the leaves.
    fn hashed(content: &[u8], sizes: &[usize]) -> ([u8; 32], Vec<[u8; 32]>) {
        let (mut hasher, mut leaves, mut left) = (TwinHasher::new(), Vec::new(), content);
        for size in sizes.iter().cycle() {
            let (now, later) = left.split_at(left.len().min(*size));
            hasher.append(now, &mut |leaf| leaves.push(leaf));
            hasher = TwinHasher::from_bytes(&hasher.to_bytes()).unwrap();
            left = later;
            if left.is_empty() {
                break;
            }
        }
        assert_eq!(hasher.length(), content.len() as u64);
        let (whole, last) = hasher.finish();
        leaves.extend(last);
        (whole, leaves)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn both_hashes_are_right_whatever_the_pieces(
            sizes in prop::collection::vec(1_usize..300_000, 1..8),
            length in prop_oneof![0_usize..200, CHUNK_SIZE - 70..CHUNK_SIZE + 70, 0..3 * CHUNK_SIZE],
        ) {
            // No leaf is like another: 251 does not divide their length.
            let content: Vec<u8> = (0..251).cycle().take(length).collect();
            let (whole, leaves) = hashed(&content, &sizes);
            prop_assert_eq!(whole, leaf(&content));
            let expected: Vec<_> = match length {
                0 => vec![leaf(b"")],
                _ => content.chunks(CHUNK_SIZE).map(leaf).collect(),
            };
            prop_assert_eq!(leaves, expected);
        }

        #[test]
        fn bytes_that_are_not_of_a_hasher_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(hasher) = TwinHasher::from_bytes(&bytes) {
                prop_assert_eq!(hasher.to_bytes(), bytes);
            }
        }
    }
}
