//! Files: what their CIDs are, and which blocks they are made of.
//!
//! The content is cut into chunks of 1 MiB, which are leaves as they stand; a balanced tree of nodes
//! with up to 1,024 links joins them. A file of one chunk is that leaf, without any node. Above the
//! leaves everything follows from their hashes and the length of the file.

mod hasher;
mod shape;
mod spine;
mod twin;

use cid::Cid;

pub use hasher::{FileHasher, build};
pub use shape::dag_size;
pub use spine::{Spine, SpineError, interior};
pub use twin::TwinHasher;

use super::Block;

/// The length of every leaf but the last.
pub const CHUNK_SIZE: usize = 1 << 20;
/// The most links that a node has.
pub const MAX_LINKS: usize = 1024;

/// A finished file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// The root of its blocks.
    pub cid: Cid,
    /// How many bytes it holds.
    pub size: u64,
    /// How many bytes all its blocks take (Tsize): what a directory entry says.
    pub dag_size: u64,
}

/// A node above the leaves, and the part of the file below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interior {
    /// The node.
    pub block: Block,
    /// Where its part of the file begins.
    pub offset: u64,
    /// How long its part of the file is.
    pub length: u64,
}

/// The sha2-256 of nothing, which names the empty file.
pub(super) const EMPTY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];
