//! The memory of manifests that clients send, or are sent: bounded, of all together and of each client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Metrics;
use super::error::ApiError;

/// How much of each is free: nearly all manifests have less, and a connection has buffers as large.
pub(super) const FREE: usize = 64 * 1024;

/// In what memory is counted.
const UNIT: usize = 1024;

/// How long a request for a large manifest, or with one, waits for others in all.
const WAIT: Duration = Duration::from_secs(5);

/// Which part of the memory one client may have.
const SHARE: usize = 4;

/// What all manifests may take.
pub struct ManifestMemory {
    all: Arc<Semaphore>,
    /// How many units one client may have.
    share: usize,
    clients: Clients,
    metrics: Metrics,
}

type Clients = Arc<Mutex<HashMap<IpAddr, Weak<Client>>>>;

/// One that has manifests in memory.
struct Client {
    address: IpAddr,
    share: Arc<Semaphore>,
    clients: Clients,
}

/// What one manifest takes, until this is dropped.
pub(super) struct Loan {
    client: Arc<Client>,
    /// Of the client's share, and of all.
    permits: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl ManifestMemory {
    /// Lends at most so many bytes; a client has a quarter of them, but always enough for the largest manifest.
    #[must_use]
    pub fn new(bytes: usize, largest: usize, metrics: Metrics) -> Self {
        let units = (bytes / UNIT).min(Semaphore::MAX_PERMITS);
        let share = (units / SHARE).max(largest.div_ceil(UNIT)).min(units);
        Self { all: Arc::new(Semaphore::new(units)), share, clients: Clients::default(), metrics }
    }

    /// Begins with a manifest of a client of which nothing is in memory.
    pub(super) fn begin(&self, address: IpAddr) -> Loan {
        let mut clients = lock(&self.clients);
        let known = clients.get(&address).and_then(Weak::upgrade);
        let client = known.unwrap_or_else(|| {
            let share = Arc::new(Semaphore::new(self.share));
            let client = Arc::new(Client { address, share, clients: Arc::clone(&self.clients) });
            clients.insert(address, Arc::downgrade(&client));
            client
        });
        Loan { client, permits: None }
    }

    /// Raises a loan to that of a manifest of which so many bytes have arrived, and so many are announced; waits until
    /// other manifests end. It reserves the whole at once: manifests that each had a part would wait for each other.
    pub(super) async fn raise(
        &self,
        loan: &mut Loan,
        bytes: usize,
        announced: usize,
    ) -> Result<(), ApiError> {
        let more = loan.missing(if bytes > FREE { bytes.max(announced) } else { bytes });
        if more == 0 {
            return Ok(());
        }
        let deadline = Instant::now() + WAIT;
        let own = Arc::clone(&loan.client.share).acquire_many_owned(more);
        let Ok(Ok(own)) = timeout_at(deadline, own).await else {
            return Err(self.refuse_client(more));
        };
        let all = Arc::clone(&self.all).acquire_many_owned(more);
        let Ok(Ok(all)) = timeout_at(deadline, all).await else { return Err(self.refuse()) };
        loan.add(own, all);
        Ok(())
    }

    /// Raises a loan to that of a manifest which is in memory already, if that is free at once.
    pub(super) fn try_raise(&self, loan: &mut Loan, bytes: usize) -> bool {
        let more = loan.missing(bytes);
        if more == 0 {
            return true;
        }
        let own = Arc::clone(&loan.client.share).try_acquire_many_owned(more);
        let all = Arc::clone(&self.all).try_acquire_many_owned(more);
        let (Ok(own), Ok(all)) = (own, all) else { return false };
        loan.add(own, all);
        true
    }

    fn refuse(&self) -> ApiError {
        self.metrics.refused("manifest_memory");
        let message = "too many large manifests are being sent or received: try again later";
        ApiError::unavailable(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// Refuses a client for want of so many units of its share, or of all.
    fn refuse_client(&self, more: u32) -> ApiError {
        if self.all.available_permits() < more as usize {
            return self.refuse();
        }
        self.metrics.refused("manifest_memory_per_client");
        let message = "this client sends or receives too many large manifests: try again later";
        ApiError::too_many(message, 5)
    }
}

impl Loan {
    /// Tells whether it takes anything of what is bounded.
    pub(super) fn counts(&self) -> bool {
        self.permits.is_some()
    }

    /// How many units it lacks for so many bytes.
    fn missing(&self, bytes: usize) -> u32 {
        let units = bytes.saturating_sub(FREE).div_ceil(UNIT);
        let has = self.permits.as_ref().map_or(0, |(own, _)| own.num_permits());
        u32::try_from(units.saturating_sub(has)).unwrap_or(u32::MAX)
    }

    /// Gives back what a manifest of so many bytes does not need.
    pub(super) fn lower(&mut self, bytes: usize) {
        let units = bytes.saturating_sub(FREE).div_ceil(UNIT);
        if let Some((own, all)) = &mut self.permits {
            let more = own.num_permits().saturating_sub(units);
            drop((own.split(more), all.split(more)));
        }
    }

    fn add(&mut self, own: OwnedSemaphorePermit, all: OwnedSemaphorePermit) {
        match &mut self.permits {
            Some((own_before, all_before)) => {
                own_before.merge(own);
                all_before.merge(all);
            }
            none => *none = Some((own, all)),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut clients = lock(&self.clients);
        // Another request of the same client may have come in between.
        if clients.get(&self.address).is_some_and(|client| client.strong_count() == 0) {
            clients.remove(&self.address);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// Lends what is free at once.
    fn lend(memory: &ManifestMemory, address: IpAddr, bytes: usize) -> Option<Loan> {
        let mut loan = memory.begin(address);
        memory.try_raise(&mut loan, bytes).then_some(loan)
    }

    #[tokio::test]
    async fn one_client_has_a_quarter_and_gives_it_back() {
        let (kib, mib) = (1024, 1024 * 1024);
        let memory = ManifestMemory::new(16 * mib, 2 * mib, Metrics::new());
        let [anna, bob] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let full = 2 * mib + FREE;
        let mut loans: Vec<Loan> = (0..2).map(|_| lend(&memory, anna, full).unwrap()).collect();
        assert!(lend(&memory, anna, FREE + 1).is_none());
        assert!(!lend(&memory, anna, FREE).unwrap().counts(), "small ones are free");
        let mut more = memory.begin(anna);
        assert!(memory.raise(&mut more, FREE, full).await.is_ok());
        let waits =
            timeout(Duration::from_millis(20), memory.raise(&mut more, FREE + kib, 0)).await;
        assert!(waits.is_err());
        let mut other = memory.begin(bob);
        memory.raise(&mut other, FREE + 1, full).await.unwrap();
        memory.raise(&mut other, full + mib, 0).await.unwrap();
        assert!(other.counts());
        other.lower(FREE + kib);
        assert_eq!(memory.all.available_permits(), (16 - 4) * 1024 - 1);
        other.lower(full);
        assert_eq!(memory.all.available_permits(), (16 - 4) * 1024 - 1, "it has less already");
        loans.pop();
        memory.raise(&mut more, FREE + kib, 0).await.unwrap();
        drop((loans, more, other));
        assert!(lock(&memory.clients).is_empty());
        assert_eq!(memory.all.available_permits(), 16 * 1024);
        // There is always memory for the largest.
        let small = ManifestMemory::new(2 * mib, 2 * mib, Metrics::new());
        assert!(lend(&small, anna, 2 * mib).is_some());
    }
}
