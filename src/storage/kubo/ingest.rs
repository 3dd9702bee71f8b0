//! Taking content in: chunks of 1 MiB are hashed while the next one comes, and go to the node in
//! windows while the next one fills.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;

use super::super::{Finished, Ingest, Result};
use super::buffer_pool::Borrower;
use super::checkpoint::Checkpoint;
use super::store::Store;
use super::upload_window::UploadWindow;
use crate::oci::{Algorithm, Digest};

/// Content on its way to the node.
pub(super) struct KuboIngest(Arc<Shared>);

/// An ingest as the pool knows it.
struct Shared {
    window: Mutex<UploadWindow>,
    offset: AtomicU64,
    /// How many bytes are in memory.
    buffered: AtomicUsize,
}

impl KuboIngest {
    /// Goes on with an upload, or begins one.
    pub(super) fn new(store: &Arc<Store>, id: &str, checkpoint: Checkpoint) -> Self {
        let offset = AtomicU64::new(checkpoint.hasher.length());
        let window = Mutex::new(UploadWindow::new(store, id, checkpoint));
        let shared = Arc::new(Shared { window, offset, buffered: AtomicUsize::new(0) });
        let known: Weak<Shared> = Arc::downgrade(&shared);
        store.pool.join(known);
        Self(shared)
    }
}

#[async_trait]
impl Ingest for KuboIngest {
    async fn append(&mut self, bytes: Bytes) -> Result<()> {
        let Shared { window, offset, buffered } = self.0.as_ref();
        let mut window = window.lock().await;
        window.expect_sound()?;
        let appended = window.append(&bytes, offset).await;
        buffered.store(window.bytes(), Ordering::Relaxed);
        window.is_broken |= appended.is_err();
        appended
    }

    fn offset(&self) -> u64 {
        self.0.offset.load(Ordering::Relaxed)
    }

    async fn checkpoint(&mut self) -> Result<Vec<u8>> {
        let mut window = self.0.window.lock().await;
        window.expect_sound()?;
        let checkpoint = window.checkpoint().await;
        window.is_broken |= checkpoint.is_err();
        checkpoint
    }

    async fn prepare(&mut self, expected: &Digest) -> Result<()> {
        if expected.algorithm() == Algorithm::Sha256 {
            return Ok(());
        }
        let mut window = self.0.window.lock().await;
        window.expect_sound()?;
        let prepared = window.prepare(expected).await;
        window.is_broken |= prepared.is_err();
        prepared
    }

    async fn finish(self: Box<Self>, expected: &Digest) -> Result<Finished> {
        let mut window = self.0.window.lock().await;
        window.expect_sound()?;
        window.finish(expected).await
    }
}

#[async_trait]
impl Borrower for Shared {
    fn idle_bytes(&self) -> usize {
        if self.window.try_lock().is_ok() { self.buffered.load(Ordering::Relaxed) } else { 0 }
    }

    async fn give_back(&self) {
        let Ok(mut window) = self.window.try_lock() else { return };
        if window.is_broken {
            return;
        }
        if let Err(error) = window.park().await {
            tracing::info!(upload = window.id(), %error, "failed to save a part of an upload");
            window.is_broken = true;
        }
        self.buffered.store(window.bytes(), Ordering::Relaxed);
    }
}
