//! The shape of a file's tree: a function of the file's length and of nothing else.

use super::super::{dag_pb, unixfs};
use super::CHUNK_SIZE;

/// The length of a CID of the profile: version, codec, hash function, length, 32 bytes.
const CID_LENGTH: usize = 36;

/// How many bytes of the file a full subtree covers; level 0 is a leaf.
pub(super) const fn capacity(level: usize) -> u64 {
    if level > 4 { u64::MAX } else { (CHUNK_SIZE as u64) << (10 * level) }
}

/// How many bytes all blocks of a file of `size` bytes take (Tsize), computed from the size alone.
///
/// Saturates for sizes within a hair of 2^64.
///
/// ```
/// use roadstead::ipld::file::{CHUNK_SIZE, build, dag_size};
///
/// let file = build(&vec![0; 3 * CHUNK_SIZE].into(), &mut drop);
/// assert_eq!(dag_size(file.size), file.dag_size);
/// ```
#[must_use]
pub fn dag_size(size: u64) -> u64 {
    let mut level = 0;
    while capacity(level) < size {
        level += 1;
    }
    subtree_size(level, size)
}

/// How many bytes all blocks of a subtree take of which the root stands at `level` and which covers
/// `size` bytes: at most its capacity.
pub(super) fn subtree_size(level: usize, size: u64) -> u64 {
    if level == 0 {
        return size;
    }
    let unit = capacity(level - 1);
    let (full, rest) = (size / unit, size % unit);
    let full_size = if full == 0 { 0 } else { subtree_size(level - 1, unit) };
    let rest_size = subtree_size_or_nothing(level - 1, rest);
    let length = node_length(size, (full, unit, full_size), (rest, rest_size));
    full.saturating_mul(full_size).saturating_add(rest_size).saturating_add(length)
}

fn subtree_size_or_nothing(level: usize, size: u64) -> u64 {
    if size == 0 { 0 } else { subtree_size(level, size) }
}

/// The length of a node's block that covers `size` bytes: so many full children of one content and
/// Tsize, and one child for the rest, if there is one.
fn node_length(size: u64, full: (u64, u64, u64), rest: (u64, u64)) -> u64 {
    let (count, unit, unit_dag_size) = full;
    let (rest, rest_dag_size) = rest;
    let link = |dag_size| dag_pb::link_length(CID_LENGTH, 0, dag_size) as u64;
    let mut links = count * link(unit_dag_size);
    let mut sizes = count * unixfs::block_size_length(unit) as u64;
    if rest > 0 {
        links += link(rest_dag_size);
        sizes += unixfs::block_size_length(rest) as u64;
    }
    let sizes = usize::try_from(sizes).expect("a node has at most 1,024 children");
    links + dag_pb::data_length(unixfs::file_length(size, sizes)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_one_chunk_takes_its_own_length() {
        for size in [0, 1, 1 << 20] {
            assert_eq!(dag_size(size), size);
        }
        assert_eq!(dag_size((1 << 20) + 1), (1 << 20) + 1 + 104);
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        for size in [1 << 60, (1 << 60) + 1, u64::MAX - 1, u64::MAX] {
            assert!(dag_size(size) >= size);
        }
    }
}
