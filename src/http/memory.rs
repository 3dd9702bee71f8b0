//! The memory of manifests that clients send, or are sent: bounded, of all together.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::ApiError;

/// How much of each is free: nearly all manifests have less, and a connection has buffers as large.
const FREE: usize = 64 * 1024;

/// In what memory is counted.
const UNIT: usize = 1024;

/// How long a request that sends a manifest waits for others.
const WAIT: Duration = Duration::from_secs(5);

/// What all manifests may take.
pub struct ManifestMemory(Arc<Semaphore>);

/// What one of them takes, until this is dropped.
#[derive(Default)]
pub(super) struct Loan(Option<OwnedSemaphorePermit>);

impl ManifestMemory {
    /// Lends at most so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS))))
    }

    /// Raises a loan to that of a manifest of so many bytes; waits for others to end.
    pub(super) async fn raise(&self, loan: &mut Loan, bytes: usize) -> Result<(), ApiError> {
        let more = loan.missing(bytes);
        if more == 0 {
            return Ok(());
        }
        match timeout(WAIT, Arc::clone(&self.0).acquire_many_owned(more)).await {
            Ok(Ok(permit)) => {
                loan.add(permit);
                Ok(())
            }
            _ => Err(busy()),
        }
    }

    /// Lends what a manifest takes that is in memory already.
    pub(super) fn lend(&self, bytes: usize) -> Result<Loan, ApiError> {
        let mut loan = Loan::default();
        let more = loan.missing(bytes);
        if more > 0 {
            loan.add(Arc::clone(&self.0).try_acquire_many_owned(more).map_err(|_| busy())?);
        }
        Ok(loan)
    }
}

impl Loan {
    /// How many units it lacks for so many bytes.
    fn missing(&self, bytes: usize) -> u32 {
        let units = bytes.saturating_sub(FREE).div_ceil(UNIT);
        let has = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(units.saturating_sub(has)).unwrap_or(u32::MAX)
    }

    fn add(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.0 {
            Some(own) => own.merge(permit),
            none => *none = Some(permit),
        }
    }
}

fn busy() -> ApiError {
    let message = "large manifests are being sent or received: try again later";
    ApiError::unavailable(StatusCode::SERVICE_UNAVAILABLE, message)
}

/// The body of a manifest that takes its loan until the last of it is sent.
pub(super) fn body(
    bytes: Bytes,
    loan: Loan,
) -> SizedStream<impl stream::Stream<Item = Result<Bytes, std::convert::Infallible>>> {
    let length = bytes.len() as u64;
    let pieces = stream::unfold((bytes, loan), |(mut bytes, loan)| async move {
        if bytes.is_empty() {
            return None;
        }
        let piece = bytes.split_to(bytes.len().min(FREE));
        Some((Ok(piece), (bytes, loan)))
    });
    SizedStream::new(length, pieces)
}
