//! The chunk of an upload that is not whole, and the window of those that are.

use bytes::BytesMut;

use super::buffer_pool::{BufferPool, Loan, UNIT};
use crate::ipld::Block;
use crate::ipld::file::CHUNK_SIZE;

/// The chunk that is not whole.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) bytes: BytesMut,
    pub(super) loan: Option<Loan>,
    /// How many of its bytes were hashed.
    pub(super) hashed: usize,
    /// Its sha-256 and length, when it is on the node and not here.
    pub(super) parked: Option<([u8; 32], usize)>,
}

/// What goes to the node next.
#[derive(Default)]
pub(super) struct Window {
    pub(super) blocks: Vec<Block>,
    pub(super) leaves: usize,
    pub(super) loans: Vec<Loan>,
}

impl Chunk {
    /// How much there is of the chunk, here or on the node.
    pub(super) fn length(&self) -> usize {
        self.parked.map_or(self.bytes.len(), |(_, length)| length)
    }

    /// Takes memory that was lent.
    pub(super) fn lend(&mut self, loan: Loan, pool: &BufferPool) {
        match &mut self.loan {
            Some(known) => known.merge(loan),
            none => *none = Some(loan),
        }
        if self.missing(CHUNK_SIZE) == 0 {
            let mut buffer = pool.buffer();
            buffer.extend_from_slice(&self.bytes);
            self.bytes = buffer;
        }
    }

    /// How much memory is still to be lent for that many more bytes. It is lent in doubling steps, so that
    /// many clients that send little take little.
    pub(super) fn missing(&self, more: usize) -> usize {
        let target = (self.length() + more).next_multiple_of(UNIT).next_power_of_two();
        let lent = self.loan.as_ref().map_or(0, |loan| loan.num_permits() * UNIT);
        target.min(CHUNK_SIZE).saturating_sub(lent)
    }
}
