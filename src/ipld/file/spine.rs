//! The tree above the leaves, of which only the right edge is stored.

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::super::block::{node_cid, raw_cid};
use super::super::{Block, Cid, dag_pb, unixfs};
use super::{CHUNK_SIZE, EMPTY, File, Interior, MAX_LINKS, shape};

/// The version of the bytes that a spine is stored as.
const VERSION: u8 = 1;
/// The version and the size.
const HEADER: usize = 9;

/// Builds the nodes above leaves whose hashes are made elsewhere, on another thread perhaps.
///
/// Holds what is still open, at most 1,023 hashes a level: 32 KiB below 1 GiB of content, 64 KiB below
/// 1 TiB. A node goes to the sink as soon as it is full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spine {
    size: u64,
    /// The hashes that wait for a parent, from the leaves up. The last level is never empty.
    levels: Vec<Vec<[u8; 32]>>,
}

/// Why a spine cannot be resumed, or the nodes of a file be made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SpineError {
    /// The bytes were written by a version that this one does not know.
    #[error("version {0} of a spine is unknown")]
    Version(u8),
    /// There are more or fewer bytes than the size calls for.
    #[error("a spine of {0} bytes is damaged")]
    Damaged(usize),
    /// There are more or fewer leaves than a file of that size has.
    #[error("{leaves} leaves cannot hold {size} bytes")]
    Leaves {
        /// How many leaves there are.
        leaves: usize,
        /// How long the file is said to be.
        size: u64,
    },
}

impl Spine {
    /// A file without content as yet.
    ///
    /// ```
    /// use roadstead::ipld::{Block, file::Spine};
    ///
    /// assert_eq!(Spine::new().finish(&mut drop).cid, Block::raw("".into()).cid);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes of content are below the spine.
    ///
    /// ```
    /// use roadstead::ipld::file::Spine;
    ///
    /// let mut spine = Spine::new();
    /// spine.push_leaf([7; 32], 5, &mut drop);
    /// assert_eq!(spine.size(), 5);
    /// ```
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf: its sha2-256 and its length. Nodes that this completes go to the sink, children
    /// before parents.
    ///
    /// ```
    /// use roadstead::ipld::file::{CHUNK_SIZE, MAX_LINKS, Spine};
    ///
    /// let (mut spine, mut nodes) = (Spine::new(), Vec::new());
    /// for _ in 0..MAX_LINKS {
    ///     spine.push_leaf([7; 32], CHUNK_SIZE as u64, &mut |node| nodes.push(node));
    /// }
    /// assert_eq!(nodes[0].length, 1 << 30, "a full node covers 1 GiB");
    /// ```
    ///
    /// # Panics
    /// If a leaf is empty, exceeds [`CHUNK_SIZE`], or follows one that was shorter than it: a wrong CID
    /// would be the result. An empty file has no leaves.
    pub fn push_leaf(&mut self, digest: [u8; 32], size: u64, sink: &mut impl FnMut(Interior)) {
        let chunk = CHUNK_SIZE as u64;
        assert!((1..=chunk).contains(&size), "a leaf of {size} bytes");
        assert!(self.size.is_multiple_of(chunk), "a leaf follows a short one");
        self.size = self.size.checked_add(size).expect("a file of less than 2^64 bytes");
        self.push(0, digest, sink);
    }

    /// Completes the nodes that are open and names the file.
    ///
    /// ```
    /// use roadstead::ipld::file::{CHUNK_SIZE, Spine};
    ///
    /// let (mut spine, mut nodes) = (Spine::new(), Vec::new());
    /// spine.push_leaf([7; 32], CHUNK_SIZE as u64, &mut drop);
    /// spine.push_leaf([8; 32], 5, &mut drop);
    /// let file = spine.finish(&mut |node| nodes.push(node));
    /// assert_eq!(file.size, CHUNK_SIZE as u64 + 5);
    /// assert_eq!(nodes[0].block.cid, file.cid);
    /// ```
    #[must_use]
    pub fn finish(mut self, sink: &mut impl FnMut(Interior)) -> File {
        let mut level = 0;
        while level + 1 < self.levels.len() || self.levels.get(level).is_some_and(|l| l.len() > 1) {
            if !self.levels[level].is_empty() {
                let digest = self.fold(level, sink);
                self.push(level + 1, digest, sink);
            }
            level += 1;
        }
        let digest = self.levels.last().map_or(EMPTY, |top| top[0]);
        let dag_size = shape::subtree_size(level, self.size);
        File { cid: cid_at(level, digest), size: self.size, dag_size }
    }

    /// The spine as bytes for a checkpoint: a version, the size, and the open hashes. At most 9 bytes
    /// and 32 KiB a level (96 KiB below 1 PiB of content).
    ///
    /// ```
    /// use roadstead::ipld::file::Spine;
    ///
    /// let mut spine = Spine::new();
    /// spine.push_leaf([7; 32], 5, &mut drop);
    /// assert_eq!(spine.to_bytes().len(), 9 + 32);
    /// assert_eq!(Spine::from_bytes(&spine.to_bytes()), Ok(spine));
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.size.to_be_bytes());
        for digest in self.levels.iter().flatten() {
            bytes.extend(digest);
        }
        bytes
    }

    /// Resumes from a checkpoint.
    ///
    /// ```
    /// use roadstead::ipld::file::{Spine, SpineError};
    ///
    /// assert_eq!(Spine::from_bytes(&Spine::new().to_bytes()), Ok(Spine::new()));
    /// assert_eq!(Spine::from_bytes(&[2]), Err(SpineError::Version(2)));
    /// assert_eq!(Spine::from_bytes(&[1]), Err(SpineError::Damaged(1)));
    /// ```
    ///
    /// # Errors
    /// When the bytes are of another version or were cut short.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SpineError> {
        let damaged = SpineError::Damaged(bytes.len());
        let (&version, _) = bytes.split_first().ok_or(damaged)?;
        if version != VERSION {
            return Err(SpineError::Version(version));
        }
        let (header, hashes) = bytes.split_at_checked(HEADER).ok_or(damaged)?;
        let size = u64::from_be_bytes(header[1..].try_into().map_err(|_| damaged)?);
        let (hashes, rest) = hashes.as_chunks::<32>();
        let mut hashes = hashes.iter().copied();
        let mut levels = Vec::new();
        let mut count = size.div_ceil(CHUNK_SIZE as u64);
        while count > 0 {
            let open = usize::try_from(count).map_err(|_| damaged)? % MAX_LINKS;
            let level: Vec<_> = hashes.by_ref().take(open).collect();
            if level.len() < open {
                return Err(damaged);
            }
            levels.push(level);
            count /= MAX_LINKS as u64;
        }
        if hashes.next().is_some() || !rest.is_empty() {
            return Err(damaged);
        }
        Ok(Self { size, levels })
    }

    fn push(&mut self, mut level: usize, mut digest: [u8; 32], sink: &mut impl FnMut(Interior)) {
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(digest);
            if self.levels[level].len() < MAX_LINKS {
                return;
            }
            digest = self.fold(level, sink);
            level += 1;
        }
    }

    /// Takes the open hashes of a level into a node, and gives its hash.
    fn fold(&mut self, level: usize, sink: &mut impl FnMut(Interior)) -> [u8; 32] {
        let children = std::mem::take(&mut self.levels[level]);
        let offset = (self.size - 1) / shape::capacity(level + 1) * shape::capacity(level + 1);
        let length = self.size - offset;
        let bytes = node(level, &children, length);
        let digest = Sha256::digest(&bytes).into();
        let block = Block { cid: node_cid(digest), bytes };
        sink(Interior { block, offset, length });
        digest
    }
}

/// Makes the nodes of a finished file anew from the hashes of its leaves, children before parents.
///
/// ```
/// use roadstead::ipld::file::{CHUNK_SIZE, interior};
///
/// let nodes = interior(&[[7; 32], [8; 32]], CHUNK_SIZE as u64 + 5)?;
/// assert_eq!((nodes.len(), nodes[0].length), (1, CHUNK_SIZE as u64 + 5));
/// assert!(interior(&[[7; 32]], CHUNK_SIZE as u64 + 5).is_err(), "a leaf is missing");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the number of leaves is not what a file of that size has.
pub fn interior(leaves: &[[u8; 32]], size: u64) -> Result<Vec<Interior>, SpineError> {
    let chunk = CHUNK_SIZE as u64;
    let mismatch = SpineError::Leaves { leaves: leaves.len(), size };
    if leaves.len() as u64 != size.div_ceil(chunk).max(1) {
        return Err(mismatch);
    }
    let mut nodes = Vec::new();
    let mut sink = |node| nodes.push(node);
    let mut spine = Spine::new();
    for &leaf in leaves.iter().filter(|_| size > 0) {
        spine.push_leaf(leaf, chunk.min(size - spine.size()), &mut sink);
    }
    let _root = spine.finish(&mut sink);
    Ok(nodes)
}

/// The block of a node whose children stand at `level` and cover `size` bytes.
fn node(level: usize, children: &[[u8; 32]], size: u64) -> bytes::Bytes {
    let unit = shape::capacity(level);
    let full = shape::subtree_size(level, unit.min(size));
    let lengths = || (0..children.len() as u64).map(|index| unit.min(size - index * unit));
    let dag_size = |length| if length < unit { shape::subtree_size(level, length) } else { full };
    let cids: Vec<Cid> = children.iter().map(|&digest| cid_at(level, digest)).collect();
    let links = cids.iter().zip(lengths()).map(|(cid, length)| (cid, "", dag_size(length)));
    dag_pb::encode(links, &unixfs::file(size, lengths()))
}

fn cid_at(level: usize, digest: [u8; 32]) -> Cid {
    if level == 0 { raw_cid(digest) } else { node_cid(digest) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::ipld::{Node, describe};

    const CHUNK: u64 = CHUNK_SIZE as u64;

    /// A spine above leaves of made-up hashes, and its nodes.
    fn grown(size: u64) -> (Spine, Vec<Interior>) {
        let mut nodes = Vec::new();
        let mut spine = Spine::new();
        while spine.size() < size {
            let length = CHUNK.min(size - spine.size());
            spine.push_leaf(leaf(spine.size() / CHUNK), length, &mut |node| nodes.push(node));
        }
        (spine, nodes)
    }

    fn leaf(index: u64) -> [u8; 32] {
        let mut digest = [7; 32];
        digest[..8].copy_from_slice(&index.to_be_bytes());
        digest
    }

    /// Sizes around the borders of the first levels.
    fn sizes() -> Vec<u64> {
        let around = |chunks: u64| [chunks * CHUNK - 1, chunks * CHUNK, chunks * CHUNK + 1];
        let chunks = [1, 2, 3, 1023, 1024, 1025, 2047, 2048, 2049];
        let third_level = [1 << 40, (1 << 40) + 1];
        [0, 1].into_iter().chain(chunks.into_iter().flat_map(around)).chain(third_level).collect()
    }

    #[test]
    fn the_nodes_reach_every_leaf_in_order_and_take_the_size_foretold() {
        for size in sizes() {
            let (spine, mut nodes) = grown(size);
            let file = spine.finish(&mut |node| nodes.push(node));
            let blocks: u64 = nodes.iter().map(|node| node.block.bytes.len() as u64).sum();
            assert_eq!(file.dag_size, size + blocks, "{size}");
            assert_eq!(file.dag_size, shape::dag_size(size), "{size}");
            let by_cid: HashMap<Cid, &Interior> = nodes.iter().map(|n| (n.block.cid, n)).collect();
            assert_eq!(by_cid.len(), nodes.len());
            let mut at = 0;
            walk(file.cid, size, file.dag_size, &mut at, &by_cid);
            assert_eq!(at, size);
        }
    }

    fn walk(cid: Cid, size: u64, dag: u64, at: &mut u64, nodes: &HashMap<Cid, &Interior>) {
        let Some(interior) = nodes.get(&cid) else {
            let digest = if size == 0 { EMPTY } else { leaf(*at / CHUNK) };
            assert_eq!(cid, raw_cid(digest));
            assert_eq!(dag, size);
            *at += size;
            return;
        };
        assert_eq!((interior.offset, interior.length), (*at, size));
        let Node::File { size: total, content, parts } =
            describe(&cid, &interior.block.bytes).unwrap()
        else {
            panic!("not a file");
        };
        assert_eq!((total, content.len()), (size, 0));
        for part in &parts {
            walk(part.cid, part.size, part.dag_size, at, nodes);
        }
        let below: u64 = parts.iter().map(|part| part.dag_size).sum();
        assert_eq!(dag, below + interior.block.bytes.len() as u64);
    }

    #[test]
    fn a_spine_resumed_from_its_bytes_is_the_same_spine() {
        for size in sizes() {
            let (spine, _) = grown(size);
            let bytes = spine.to_bytes();
            assert!(bytes.len() <= 150_000, "{}", bytes.len());
            assert_eq!(Spine::from_bytes(&bytes), Ok(spine), "{size}");
        }
    }

    #[test]
    fn damaged_checkpoints_are_refused() {
        let bytes = grown(1030 * CHUNK).0.to_bytes();
        for length in 0..bytes.len() {
            assert!(Spine::from_bytes(&bytes[..length]).is_err());
        }
        assert!(Spine::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        assert!(Spine::from_bytes(&[&bytes[..], &[0; 32]].concat()).is_err());
        assert_eq!(Spine::from_bytes(&[2; 9]), Err(SpineError::Version(2)));
        let huge = [&[VERSION][..], &[0xff; 8]].concat();
        assert_eq!(Spine::from_bytes(&huge), Err(SpineError::Damaged(9)));
    }

    #[test]
    fn the_nodes_made_anew_are_those_of_the_first_time() {
        for size in [0, 5, CHUNK, CHUNK + 1, 2048 * CHUNK, 2050 * CHUNK + 7] {
            let (spine, mut nodes) = grown(size);
            let _ = spine.finish(&mut |node| nodes.push(node));
            let leaves: Vec<_> = (0..size.div_ceil(CHUNK).max(1)).map(leaf).collect();
            assert_eq!(interior(&leaves, size), Ok(nodes));
            let short = &leaves[1..];
            assert_eq!(
                interior(short, size),
                Err(SpineError::Leaves { leaves: short.len(), size })
            );
        }
    }

    #[test]
    #[should_panic(expected = "a leaf follows a short one")]
    fn nothing_can_follow_a_short_leaf() {
        let mut spine = Spine::new();
        spine.push_leaf([0; 32], 5, &mut drop);
        spine.push_leaf([0; 32], 5, &mut drop);
    }
}
