//! What can be wrong with a block, with an edit of a directory, and with what peers send.

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
    #[error("cannot load block {cid}")]
    Load {
        /// The requested block.
        cid: Box<Cid>,
        /// What the loader said.
        source: E,
    },
    /// A block that is part of the directory could not be understood.
    #[error("cannot read block {cid}")]
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
    #[error("cannot add a directory entry: its name is empty")]
    EmptyName,
    /// An entry's CID is shorter than any sha2-256 CID, as only inlined content has it.
    #[error("cannot link `{name}`: {cid} holds its content inline")]
    InlineCid {
        /// The name of the entry.
        name: String,
        /// The CID of the entry.
        cid: Cid,
    },
    /// Two names have the same 64-bit hash, so that no HAMT can hold both.
    #[error("cannot add `{name}`: another name in the sharded directory has the same hash")]
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

/// Why bytes are no CAR that is read here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CarError {
    /// It is of another version than 1.
    #[error("a CAR of version {0} is not supported")]
    Version(u64),
    /// The header is malformed.
    #[error("malformed header of a CAR: {0}")]
    Header(&'static str),
    /// A length before the header or a block is malformed.
    #[error("malformed CAR: a length {0}")]
    Length(&'static str),
    /// The header or a block exceeds the bound.
    #[error("a part of a CAR has {length} bytes, more than {limit}")]
    TooLong {
        /// How long it claims to be.
        length: u64,
        /// How long it may be.
        limit: usize,
    },
    /// A block does not begin with a CID.
    #[error("malformed CAR: a block has no CID")]
    Cid,
    /// A block is of another codec than raw and dag-pb, or named by another hash than sha2-256.
    #[error("block {0} in a CAR is of a kind that is not supported")]
    Unsupported(Box<Cid>),
    /// A block is not what its CID says.
    #[error("invalid block in a CAR")]
    Block(#[source] Box<BlockError>),
    /// The bytes ended within the header or a block.
    #[error("a CAR ends within a block or its header")]
    Truncated,
}

/// Why a [`Traversal`](super::Traversal) cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TraversalError {
    /// Another block than the expected one was supplied. The traversal may go on with the right one.
    #[error("block {supplied} is not the one that comes next")]
    Unwanted {
        /// What was supplied.
        supplied: Box<Cid>,
    },
    /// A link leads to a block of another codec than raw and dag-pb, or of another hash than sha2-256.
    #[error("block {0} is of a kind that is not supported")]
    Unsupported(Box<Cid>),
    /// A block could not be understood.
    #[error("cannot read block {cid}")]
    Decode {
        /// The block.
        cid: Box<Cid>,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A part of a file is something else.
    #[error("block {0} is part of a file, and none itself")]
    NotAFile(Box<Cid>),
    /// A part of a file is not as long as the block that links to it says.
    #[error("block {cid} holds {actual} bytes of a file, not {claimed}")]
    Length {
        /// The part.
        cid: Box<Cid>,
        /// How long the block that links to it says it is.
        claimed: u64,
        /// How long it is.
        actual: u64,
    },
    /// A bound is exceeded.
    #[error("more than {limit} {what}")]
    Excess {
        /// Of what there is too much.
        what: &'static str,
        /// How much there may be.
        limit: u64,
    },
}

impl TraversalError {
    pub(super) fn decode(cid: Cid, source: DecodeError) -> Self {
        Self::Decode { cid: Box::new(cid), source }
    }
}

/// The text is not a range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a range of bytes is `<from>:<to>` or `<from>:*`, and does not end before it begins")]
pub struct RangeError;
