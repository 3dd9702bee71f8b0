//! Content addressing: which CID bytes have, and which blocks a file or a directory is made of.
//!
//! For all code that handles blocks: the storage drivers, the tree they share, remote reads, the
//! gateway, and `roadstead cid`. Everything follows the profile `unixfs-v1-2025` (CIDv1, sha2-256, raw
//! leaves of 1 MiB, balanced files of 1,024 links, directories sharded above 256 KiB), so the same
//! content has the same CID here, in Kubo and in a year. What other peers send may be of other profiles:
//! a [`CarReader`] takes archives apart, and a [`Traversal`] finds a path, a file or a directory in blocks
//! that come one by one, and proves what is not there. This room never reads or writes anything
//! itself: blocks are handed in and out, and a [`Load`] supplies those that a directory needs. It knows
//! nothing of registries.

mod block;
mod car;
mod dag_pb;
mod directory;
mod entry;
mod error;
pub mod file;
mod hamt;
mod load;
mod murmur;
mod node;
mod pin_node;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod seen;
mod sha256;
pub mod traversal;
mod unixfs;
mod wire;

pub use cid::Cid;

pub use block::{Block, MAX_BLOCK_SIZE, RAW, digest_of, hash_name, raw_cid};
pub use car::{CarEvent, CarReader, MAX_CAR_HEADER, MAX_CAR_ROOTS, car_frame, car_header, no_root};
pub use directory::Directory;
pub use entry::Entry;
pub use error::{BlockError, CarError, DecodeError, Error, RangeError, TraversalError};
pub use load::Load;
pub use node::{Node, Part, describe, links, symlink};
pub use pin_node::{PIN_NODE_LINKS, pin_node};
pub use seen::Seen;
pub use traversal::{ByteRange, Scope, Step, Target, Traversal};
