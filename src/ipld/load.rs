//! Where blocks come from.

use bytes::Bytes;
use cid::Cid;

/// A source of blocks.
pub trait Load {
    /// Why a block could not be supplied.
    type Error;

    /// The bytes of a block. They are trusted to hash to the CID: a source that is not the caller's own
    /// passes them through [`Block::verify`](super::Block::verify) first.
    ///
    /// # Errors
    /// When the block is absent or cannot be read; the operation on the directory then fails and may
    /// be repeated.
    fn load(&mut self, cid: &Cid) -> Result<Bytes, Self::Error>;
}

impl<F, E> Load for F
where
    F: FnMut(&Cid) -> Result<Bytes, E>,
{
    type Error = E;

    fn load(&mut self, cid: &Cid) -> Result<Bytes, E> {
        self(cid)
    }
}
