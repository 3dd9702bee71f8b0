//! What can be wrong with a block or with an edit of a directory.

use cid::Cid;
use thiserror::Error;

/// Why the bytes of a block could not be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes break the rules of their format.
    #[error("malformed {format}: {reason}")]
    Malformed {
        /// The format whose rule is broken.
        format: &'static str,
        /// The rule.
        reason: &'static str,
    },
    /// The bytes may be fine, but mean something that Roadstead does not represent.
    #[error("unsupported {0}")]
    Unsupported(&'static str),
}

/// Why bytes are not the block that they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BlockError {
    /// The bytes hash to something else.
    #[error("the bytes given for block {0} do not hash to it")]
    Mismatch(Cid),
    /// The CID names a hash function other than sha2-256, sha2-512 and identity.
    #[error("block {cid} is named by hash function {code:#x}, which is not supported")]
    UnsupportedHash {
        /// The name of the block.
        cid: Cid,
        /// The multihash code of the function.
        code: u64,
    },
}

/// Why an operation on a [`Directory`](super::Directory) failed; `E` is the loader's own error.
#[derive(Debug, Error)]
pub enum Error<E> {
    /// The loader could not supply a block.
    #[error("loading block {cid}")]
    Load {
        /// The block asked for.
        cid: Box<Cid>,
        /// What the loader said.
        source: E,
    },
    /// A block that is part of the directory could not be understood.
    #[error("reading block {cid}")]
    Decode {
        /// The block.
        cid: Box<Cid>,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The block is a file or a symbolic link.
    #[error("block {0} is not a directory")]
    NotADirectory(Cid),
    /// An entry's name is empty: a HAMT shard could not hold it.
    #[error("the name of a directory entry is empty")]
    EmptyName,
    /// An entry's CID is shorter than any sha2-256 CID, as only inlined content has it.
    #[error("`{name}` cannot be linked: {cid} holds its content inline")]
    InlineCid {
        /// The name of the entry.
        name: String,
        /// The CID of the entry.
        cid: Cid,
    },
    /// Two names have the same 64-bit hash, so that no HAMT can hold both.
    #[error("`{name}` cannot be told from another name in a sharded directory")]
    HashCollision {
        /// The name that was to be inserted.
        name: String,
    },
}

impl<E> Error<E> {
    pub(super) fn load(cid: Cid, source: E) -> Self {
        Self::Load { cid: Box::new(cid), source }
    }

    pub(super) fn decode(cid: Cid, source: DecodeError) -> Self {
        Self::Decode { cid: Box::new(cid), source }
    }
}
