//! The memory that all uploads share: what has arrived and is not on the node yet.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::super::{Result, StorageError, StorageErrorKind};
use crate::ipld::file::CHUNK_SIZE;

/// How much is lent at a time.
pub(super) const UNIT: usize = 64 * 1024;

/// How many chunks there is memory for.
const CHUNKS: usize = 30;

/// The same in what is lent.
const UNITS: usize = CHUNKS * CHUNK_SIZE / UNIT;

/// What is lent to one upload for some bytes. Dropping it gives it back.
pub(super) type Loan = OwnedSemaphorePermit;

/// An owner of loans that can do without them.
#[async_trait]
pub(super) trait Borrower: Send + Sync {
    /// How many bytes it could give back now; none while it is busy.
    fn idle_bytes(&self) -> usize;

    /// Puts what it holds on the node and gives its loans back; does nothing while it is busy.
    async fn give_back(&self);
}

/// The memory of all uploads of this process.
pub(super) struct BufferPool {
    units: Arc<Semaphore>,
    /// Unused memory for chunks. To allocate it anew each time would leave holes.
    spare: Mutex<Vec<BytesMut>>,
    borrowers: Mutex<Vec<Weak<dyn Borrower>>>,
}

impl BufferPool {
    pub(super) fn new() -> Arc<Self> {
        let units = Arc::new(Semaphore::new(UNITS));
        Arc::new(Self { units, spare: Mutex::default(), borrowers: Mutex::default() })
    }

    /// Registers an owner whose loans can be called in.
    pub(super) fn join(&self, borrower: Weak<dyn Borrower>) {
        let mut borrowers = self.borrowers();
        borrowers.retain(|known| known.strong_count() > 0);
        borrowers.push(borrower);
    }

    /// Lends for that many bytes, if there is so much.
    pub(super) fn try_lend(&self, bytes: usize) -> Result<Option<Loan>> {
        match Arc::clone(&self.units).try_acquire_many_owned(units(bytes)) {
            Ok(loan) => Ok(Some(loan)),
            Err(TryAcquireError::NoPermits) => Ok(None),
            Err(TryAcquireError::Closed) => Err(closed()),
        }
    }

    /// Waits for that many bytes, in order. An owner of a loan must not wait here for ever.
    pub(super) async fn lend(&self, bytes: usize) -> Result<Loan> {
        Arc::clone(&self.units).acquire_many_owned(units(bytes)).await.map_err(|_| closed())
    }

    /// Has the idle borrower who holds the most give it back.
    pub(super) async fn call_in(&self) {
        let borrowers: Vec<_> = self.borrowers().iter().filter_map(Weak::upgrade).collect();
        let fullest = borrowers.into_iter().max_by_key(|borrower| borrower.idle_bytes());
        if let Some(fullest) = fullest.filter(|borrower| borrower.idle_bytes() > 0) {
            fullest.give_back().await;
        }
    }

    /// Returns memory for a whole chunk, which has to be lent before.
    pub(super) fn buffer(&self) -> BytesMut {
        self.spare().pop().unwrap_or_else(|| BytesMut::with_capacity(CHUNK_SIZE))
    }

    /// Takes a chunk back whose bytes are of no more use, unless another owner has it still.
    pub(super) fn reuse(&self, chunk: Bytes) {
        let Ok(mut buffer) = chunk.try_into_mut() else { return };
        buffer.clear();
        let mut spare = self.spare();
        if buffer.capacity() >= CHUNK_SIZE && spare.len() < CHUNKS {
            spare.push(buffer);
        }
    }

    /// Gives the memory back to the system, if none is borrowed.
    pub(super) fn rest(&self) {
        if self.units.available_permits() == UNITS {
            self.spare().clear();
        }
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<BytesMut>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn borrowers(&self) -> std::sync::MutexGuard<'_, Vec<Weak<dyn Borrower>>> {
        self.borrowers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).expect("a loan is for a chunk at most")
}

fn closed() -> StorageError {
    StorageError::new(StorageErrorKind::Unavailable, "the storage is closing")
}
