//! How much all pulls together request from the node at a time.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::Semaphore;

/// How many pulls have a stream.
const STREAMS: usize = 16;

/// How many leaves a reader that has none requests from the node at a time.
const REQUESTS: usize = 32;

/// What all pulls share.
pub(super) struct Pulls {
    pub(super) under_way: AtomicU64,
    pub(super) streams: Arc<Semaphore>,
    pub(super) requests: Semaphore,
}

impl Pulls {
    pub(super) fn new() -> Arc<Self> {
        let (under_way, requests) = (AtomicU64::new(0), Semaphore::new(REQUESTS));
        Arc::new(Self { under_way, streams: Arc::new(Semaphore::new(STREAMS)), requests })
    }
}
