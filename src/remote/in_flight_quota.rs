//! The disk quota for content in transit: each transfer reserves its length before a client is answered.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cid::Cid;
use tokio::sync::Notify;

use super::{RemoteError, RemoteErrorKind, Result};

/// The part of the quota that the transfers from below one root may take while others need it.
const SHARE: u64 = 4;

/// A transfer that is slower than this (bytes a second) ends when another one needs its space.
const SLOW: u64 = 256 * 1024;

/// Over how long the speed of a transfer is measured, at the least.
const WINDOW: Duration = Duration::from_secs(5);

/// The quota that all transfers share.
pub(super) struct InFlightQuota {
    most: u64,
    transfers: Mutex<Vec<Arc<Transfer>>>,
}

/// The reservation of one transfer, until it is dropped.
pub(super) struct Share {
    quota: Arc<InFlightQuota>,
    transfer: Arc<Transfer>,
}

struct Transfer {
    root: Cid,
    size: u64,
    came: AtomicU64,
    /// When its speed was measured, and how many bytes had come then: the last time, and the time before.
    marks: Mutex<[(Instant, u64); 2]>,
    is_ended: AtomicBool,
    ended: Notify,
}

impl Transfer {
    fn note(&self, came: u64, now: Instant) {
        self.came.store(came, Ordering::Relaxed);
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(marks[1].0) >= WINDOW {
            *marks = [marks[1], (now, came)];
        }
    }

    /// How many bytes a second came of late.
    fn speed(&self, now: Instant) -> u64 {
        let [(since, before), _] = *self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let came = self.came.load(Ordering::Relaxed).saturating_sub(before);
        let seconds = now.duration_since(since).as_secs_f64().max(0.001);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a speed is a measure"
        )]
        let speed = (came as f64 / seconds) as u64;
        speed
    }

    /// Returns whether there was time to measure its speed.
    fn is_measured(&self, now: Instant) -> bool {
        let [(since, _), _] = *self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        now.duration_since(since) >= WINDOW
    }
}

impl InFlightQuota {
    /// Makes a quota of so many bytes.
    pub(super) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, transfers: Mutex::default() })
    }

    /// Reserves the space for a transfer of that length from below a root. If there is too little, transfers end
    /// that take more than their root's part, or are slow; the slowest of them first.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Full`] when it exceeds the quota, [`RemoteErrorKind::Busy`] when there is no space now.
    pub(super) fn share(self: &Arc<Self>, root: Cid, size: u64) -> Result<Share> {
        self.share_at(root, size, Instant::now())
    }

    fn share_at(self: &Arc<Self>, root: Cid, size: u64, now: Instant) -> Result<Share> {
        if size > self.most {
            let what = format!(
                "content of {size} bytes is too large for the cache: at most {} bytes fit",
                self.most
            );
            return Err(RemoteError::new(RemoteErrorKind::Full, what));
        }
        let mut transfers = self.transfers();
        let of = |transfers: &[Arc<Transfer>], root: &Cid| -> u64 {
            transfers.iter().filter(|it| it.root == *root).map(|it| it.size).sum()
        };
        let mut taken: u64 = transfers.iter().map(|it| it.size).sum();
        let part = self.most / SHARE;
        let own = of(&transfers, &root);
        if own > 0 && own + size > part && taken + size > self.most / 2 {
            return Err(busy(
                "too many bytes are being fetched from below this root; try again later",
            ));
        }
        let mut going = Vec::new();
        while taken + size > self.most {
            let may_go = |it: &&Arc<Transfer>| {
                let is_large = it.root != root && of(&transfers, &it.root) > part;
                is_large || (it.is_measured(now) && it.speed(now) < SLOW)
            };
            let slowest = transfers.iter().filter(may_go).min_by_key(|it| it.speed(now)).cloned();
            let Some(slowest) = slowest else {
                transfers.extend(going);
                return Err(busy("too many bytes are being fetched; try again later"));
            };
            transfers.retain(|it| !Arc::ptr_eq(it, &slowest));
            taken -= slowest.size;
            going.push(slowest);
        }
        for transfer in going {
            transfer.is_ended.store(true, Ordering::Release);
            transfer.ended.notify_one();
        }
        let transfer = Arc::new(Transfer {
            root,
            size,
            came: AtomicU64::new(0),
            marks: Mutex::new([(now, 0); 2]),
            is_ended: AtomicBool::new(false),
            ended: Notify::new(),
        });
        transfers.push(Arc::clone(&transfer));
        Ok(Share { quota: Arc::clone(self), transfer })
    }

    fn transfers(&self) -> MutexGuard<'_, Vec<Arc<Transfer>>> {
        self.transfers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy(what: &str) -> RemoteError {
    RemoteError::new(RemoteErrorKind::Busy, what)
}

impl Share {
    /// Notes that so many bytes have come in all.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Invalid`] when that is more than was reserved.
    pub(super) fn note(&self, came: u64) -> Result<()> {
        if came > self.transfer.size {
            let what = format!("more than its {} bytes were sent", self.transfer.size);
            return Err(RemoteError::new(RemoteErrorKind::Invalid, what));
        }
        self.transfer.note(came, Instant::now());
        Ok(())
    }

    /// Returns the future that ends when another transfer needs the space.
    pub(super) fn ended(&self) -> impl Future<Output = RemoteError> + Send + use<> {
        let transfer = Arc::clone(&self.transfer);
        async move {
            while !transfer.is_ended.load(Ordering::Acquire) {
                transfer.ended.notified().await;
            }
            busy("too slow: another transfer needed the space")
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.quota.transfers().retain(|it| !Arc::ptr_eq(it, &self.transfer));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::ipld::raw_cid;

    fn kind(share: Result<Share>) -> RemoteErrorKind {
        share.err().unwrap().kind
    }

    #[test]
    fn a_transfer_over_its_share_ends_when_another_root_needs_the_space() {
        let [one, other] = [1, 2].map(|number| raw_cid([number; 32]));
        let quota = InFlightQuota::new(100);
        assert_eq!(kind(quota.share(one, 101)), RemoteErrorKind::Full);
        let large = quota.share(one, 100).unwrap();
        assert_eq!(kind(quota.share(one, 1)), RemoteErrorKind::Busy);
        assert!(large.ended().now_or_never().is_none());
        let small = quota.share(other, 10).unwrap();
        let ended = large.ended().now_or_never().unwrap();
        assert_eq!(ended.kind, RemoteErrorKind::Busy);
        // Its space is free at once.
        let more = quota.share(other, 15).unwrap();
        drop((large, small, more));
        quota.share(one, 100).unwrap();
        assert!(quota.transfers().is_empty());
    }

    #[test]
    fn the_slowest_transfer_ends_and_fast_ones_do_not() {
        let roots = [1, 2, 3, 4, 5].map(|number| raw_cid([number; 32]));
        let size = 1 << 30;
        let (quota, begun) = (InFlightQuota::new(4 * size), Instant::now());
        let shares: Vec<_> =
            roots[..4].iter().map(|root| quota.share_at(*root, size, begun).unwrap()).collect();
        let note = |share: &Share, came, seconds| {
            share.transfer.note(came, begun + Duration::from_secs(seconds));
        };
        assert_eq!(kind(quota.share_at(roots[4], 1, begun)), RemoteErrorKind::Busy);
        // One was fast at first.
        for (share, came) in shares.iter().zip([900, 900, 500, 600]) {
            note(share, came << 20, 6);
        }
        for (share, came) in shares.iter().zip([901, 950, 510, 610]) {
            note(share, came << 20, 12);
        }
        let now = begun + Duration::from_secs(18);
        quota.share_at(roots[4], 1, now).unwrap();
        let is_ended = |share: &Share| share.ended().now_or_never().is_some();
        assert_eq!(shares.iter().map(is_ended).collect::<Vec<_>>(), [true, false, false, false]);
    }
}
