//! Taking content in: chunks of 1 MiB are hashed while the next one comes, and go to the node in
//! windows while the next one fills.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;

use super::super::{Finished, Ingest, Result};
use super::arrival::Arrival;
use super::budget::Borrower;
use super::checkpoint::Checkpoint;
use super::store::Store;
use crate::oci::Digest;

/// Content on its way to the node.
pub(super) struct KuboIngest(Arc<Shared>);

/// An ingest as the budget knows it.
struct Shared {
    arrival: Mutex<Arrival>,
    offset: AtomicU64,
    /// How many bytes are in memory.
    held: AtomicUsize,
}

impl KuboIngest {
    /// Goes on with an upload, or begins one.
    pub(super) fn new(store: &Arc<Store>, id: &str, checkpoint: Checkpoint) -> Self {
        let offset = AtomicU64::new(checkpoint.hasher.length());
        let arrival = Mutex::new(Arrival::new(store, id, checkpoint));
        let shared = Arc::new(Shared { arrival, offset, held: AtomicUsize::new(0) });
        let known: Weak<Shared> = Arc::downgrade(&shared);
        store.budget.join(known);
        Self(shared)
    }
}

#[async_trait]
impl Ingest for KuboIngest {
    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        let Shared { arrival, offset, held } = self.0.as_ref();
        let mut arrival = arrival.lock().await;
        arrival.expect_sound()?;
        let appended = arrival.append(&bytes, offset).await;
        held.store(arrival.bytes(), Ordering::Relaxed);
        arrival.is_broken |= appended.is_err();
        appended
    }

    fn offset(&self) -> u64 {
        self.0.offset.load(Ordering::Relaxed)
    }

    async fn checkpoint(&mut self) -> Result<Vec<u8>> {
        let mut arrival = self.0.arrival.lock().await;
        arrival.expect_sound()?;
        let checkpoint = arrival.checkpoint().await;
        arrival.is_broken |= checkpoint.is_err();
        checkpoint
    }

    async fn finish(self: Box<Self>, expected: &Digest) -> Result<Finished> {
        let mut arrival = self.0.arrival.lock().await;
        arrival.expect_sound()?;
        arrival.finish(expected).await
    }
}

#[async_trait]
impl Borrower for Shared {
    fn idle_bytes(&self) -> usize {
        if self.arrival.try_lock().is_ok() { self.held.load(Ordering::Relaxed) } else { 0 }
    }

    async fn give_back(&self) {
        let Ok(mut arrival) = self.arrival.try_lock() else { return };
        if arrival.is_broken {
            return;
        }
        if let Err(error) = arrival.park().await {
            tracing::info!(upload = arrival.id(), %error, "could not put aside what has arrived");
            arrival.is_broken = true;
        }
        self.held.store(arrival.bytes(), Ordering::Relaxed);
    }
}
