//! The pulls that a process has noted and not written yet.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use tokio::sync::Notify;

use crate::oci::{CanonicalDigest, RepositoryName};

/// For how long a client's further pulls of a manifest do not count.
const COUNTED_FOR: Duration = Duration::from_hours(1);

/// How many clients and manifests are remembered for that; with more of them a pull may count twice.
const REMEMBERED: usize = 32_768;

/// How many manifests wait to be written at most: what is pulled beside them is not noted.
const MOST: usize = 32_768;

/// With how many the next writing begins at once.
const MANY: usize = MOST / 2;

/// Pulls of a manifest that are not written yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) count: u64,
    pub(super) last: Instant,
}

type Waiting = HashMap<RepositoryName, HashMap<CanonicalDigest, Pending>>;

/// The pulls of this process that are not written yet.
pub(in super::super) struct Pulls {
    waiting: Mutex<(usize, Waiting)>,
    /// When a pull of a client counted, by a hash of client and manifest.
    counted: Cache<u64, Instant>,
    hasher: RandomState,
    pub(super) many: Notify,
    /// How many could not be noted.
    lost: AtomicU64,
    /// One task writes at a time.
    pub(super) writing: tokio::sync::Mutex<()>,
}

impl Default for Pulls {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            counted: Cache::new(REMEMBERED),
            hasher: RandomState::new(),
            many: Notify::new(),
            lost: AtomicU64::new(0),
            writing: tokio::sync::Mutex::default(),
        }
    }
}

impl Pulls {
    /// Notes that a manifest was pulled at that time: for a client, of which one pull an hour counts, or without one for a
    /// look at it, which only says that it is used.
    pub(super) fn note(
        &self,
        repository: &RepositoryName,
        manifest: &CanonicalDigest,
        client: Option<IpAddr>,
        now: Instant,
    ) {
        let count = client.map_or(0, |client| {
            u64::from(self.counts(self.hasher.hash_one((client, repository, manifest)), now))
        });
        self.add(repository, *manifest, Pending { count, last: now });
    }

    /// Tells whether a pull counts, and remembers it if so.
    fn counts(&self, key: u64, now: Instant) -> bool {
        let before = self.counted.get(&key);
        if before.is_some_and(|before| now.saturating_duration_since(before) < COUNTED_FOR) {
            return false;
        }
        self.counted.insert(key, now);
        true
    }

    /// Adds to what waits for a manifest.
    pub(super) fn add(&self, repository: &RepositoryName, manifest: CanonicalDigest, new: Pending) {
        let waiting = &mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (size, repositories) = (&mut waiting.0, &mut waiting.1);
        let pending = repositories.get_mut(repository).and_then(|it| it.get_mut(&manifest));
        if let Some(pending) = pending {
            pending.count = pending.count.saturating_add(new.count);
            pending.last = pending.last.max(new.last);
            return;
        }
        if *size >= MOST {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        repositories.entry(repository.clone()).or_default().insert(manifest, new);
        *size += 1;
        if *size == MANY {
            self.many.notify_one();
        }
    }

    /// Takes all that waits, in an order that is the same for all processes.
    pub(super) fn take(&self) -> Vec<(RepositoryName, CanonicalDigest, Pending)> {
        let (_, waiting) =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let mut taken: Vec<_> = (waiting.into_iter())
            .flat_map(|(repository, manifests)| {
                manifests.into_iter().map(move |(digest, it)| (repository.clone(), digest, it))
            })
            .collect();
        taken.sort_unstable_by(|one, other| (&one.0, &one.1.0).cmp(&(&other.0, &other.1.0)));
        taken
    }

    /// Returns how many pulls could not be noted since the last call.
    pub(super) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    fn client(number: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, number).into()
    }

    /// What waits, by repository, with how often it was pulled.
    fn counts(pulls: &Pulls) -> Vec<(String, u64)> {
        pulls.take().into_iter().map(|(name, _, it)| (name.to_string(), it.count)).collect()
    }

    #[test]
    fn a_client_counts_once_an_hour_for_each_manifest() {
        let pulls = Pulls::default();
        let (one, other) = (CanonicalDigest::of(b"one"), CanonicalDigest::of(b"other"));
        let start = Instant::now();
        let after = |minutes| start + Duration::from_mins(minutes);
        for minutes in [0, 1, 59, 60, 61, 119] {
            pulls.note(&name("a"), &one, Some(client(1)), after(minutes));
        }
        pulls.note(&name("b"), &one, Some(client(1)), start);
        pulls.note(&name("a"), &one, Some(client(2)), start);
        assert_eq!(counts(&pulls), [("a".to_owned(), 3), ("b".to_owned(), 1)]);
        // What was written counts no more, also for the next time.
        pulls.note(&name("a"), &one, Some(client(2)), after(59));
        pulls.note(&name("a"), &other, Some(client(2)), after(59));
        let taken = pulls.take();
        let found = |digest| taken.iter().find(|it| it.1 == digest).map(|it| it.2.count);
        assert_eq!((found(one), found(other)), (Some(0), Some(1)));
    }

    #[test]
    fn a_look_does_not_count_and_moves_the_time() {
        let pulls = Pulls::default();
        let digest = CanonicalDigest::of(b"one");
        let start = Instant::now();
        pulls.note(&name("a"), &digest, Some(client(1)), start);
        pulls.note(&name("a"), &digest, None, start + Duration::from_secs(9));
        pulls.note(&name("a"), &digest, None, start);
        let taken = pulls.take();
        assert_eq!(taken.len(), 1);
        let pending = taken[0].2;
        assert_eq!((pending.count, pending.last - start), (1, Duration::from_secs(9)));
        assert!(pulls.take().is_empty());
    }

    #[test]
    fn so_many_wait_and_no_more() {
        let pulls = Pulls::default();
        let now = Instant::now();
        for number in 0..MOST + 10 {
            let digest = CanonicalDigest::of(&number.to_le_bytes());
            pulls.note(&name("a"), &digest, None, now);
        }
        assert_eq!(pulls.lost.load(Ordering::Relaxed), 10);
        assert_eq!(pulls.take().len(), MOST);
        pulls.note(&name("a"), &CanonicalDigest::of(b"one"), None, now);
        assert_eq!(pulls.take().len(), 1);
    }
}
