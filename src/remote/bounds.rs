//! How much foreign content is read at once: in all, and from below one root.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use cid::Cid;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{RemoteError, RemoteErrorKind, Result};

/// How long a read waits for a permit.
const WAIT: Duration = Duration::from_secs(5);

/// How long a block waits for memory: longer, so that a running transfer does not break off.
const WAIT_FOR_MEMORY: Duration = Duration::from_secs(30);

/// The part of the memory that the reads below one root may take.
const SHARE: u32 = 4;

/// How many single blocks are read at once for each read that there may be: ranges read a few blocks ahead.
const BLOCKS: usize = 4;

/// How many bytes the entries of directories may have that are being listed, in all and below one root.
const NAMES: usize = 64 << 20;
const NAMES_PER_ROOT: usize = 32 << 20;

/// The steps in which memory is taken for them.
const NAMES_STEP: usize = 256 * 1024;

/// The unit in which memory is counted.
const UNIT: usize = 1024;

/// The most that is read at once.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// How many reads of links, manifests and the like, and how many transfers beside them.
    pub reads: usize,
    /// The same, below one root.
    pub reads_per_root: usize,
    /// How many bytes the blocks have that are being received.
    pub bytes: u64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self { reads: 64, reads_per_root: 8, bytes: 64 << 20 }
    }
}

/// The bounds of all reads of the process.
pub struct Bounds {
    limits: ReadLimits,
    all: Permits,
    roots: Mutex<HashMap<Cid, Weak<RootPermits>>>,
    refused: AtomicU64,
    /// How long a read waits, and a block.
    waits: [Duration; 2],
}

/// Permits for reads of each kind.
struct Permits {
    small: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    lists: Arc<Semaphore>,
    blocks: Arc<Semaphore>,
    /// In units.
    memory: Arc<Semaphore>,
    most_memory: u32,
    /// The same, for entries of directories.
    names: Arc<Semaphore>,
    /// One permit, for the listing that waits longest when there is no memory for all.
    first: Arc<Semaphore>,
}

struct RootPermits {
    bounds: Arc<Bounds>,
    own: Permits,
}

/// The bounds of the reads below one root; by default there are none.
#[derive(Clone, Default)]
pub struct RootBounds(Option<Arc<RootPermits>>);

impl fmt::Debug for RootBounds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RootBounds").finish_non_exhaustive()
    }
}

/// The purpose of a read: how long it may take and what it needs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// Reads a few blocks.
    Small,
    /// Reads content, for as long as that takes.
    Transfer,
    /// Lists a directory.
    List,
    /// Reads one block of content.
    Block,
}

/// The memory that a listing has taken for entries, until it is dropped.
pub(super) struct Listing {
    bounds: RootBounds,
    taken: Vec<OwnedSemaphorePermit>,
    size: usize,
}

/// The permit of a read, until it is dropped.
pub(super) struct Permit {
    _taken: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
    size: usize,
}

impl Permits {
    fn new(reads: usize, memory: u32, names: usize) -> Self {
        let semaphore = |count| Arc::new(Semaphore::new(count));
        Self {
            small: semaphore(reads),
            transfers: semaphore(reads),
            lists: semaphore(reads),
            blocks: semaphore(reads * BLOCKS),
            memory: semaphore(memory as usize),
            most_memory: memory,
            names: semaphore(names / UNIT),
            first: semaphore(1),
        }
    }

    fn of(&self, purpose: Purpose) -> Arc<Semaphore> {
        Arc::clone(match purpose {
            Purpose::Small => &self.small,
            Purpose::Transfer => &self.transfers,
            Purpose::List => &self.lists,
            Purpose::Block => &self.blocks,
        })
    }
}

impl Bounds {
    /// Bounds all reads of the process by these.
    #[must_use]
    pub fn new(limits: ReadLimits) -> Arc<Self> {
        Self::with(limits, [WAIT, WAIT_FOR_MEMORY])
    }

    fn with(limits: ReadLimits, waits: [Duration; 2]) -> Arc<Self> {
        let units = units(usize::try_from(limits.bytes).unwrap_or(usize::MAX));
        Arc::new(Self {
            limits,
            all: Permits::new(limits.reads.max(1), units, NAMES),
            roots: Mutex::default(),
            refused: AtomicU64::new(0),
            waits,
        })
    }

    /// Returns the bounds of the reads below a root.
    pub fn root(self: &Arc<Self>, root: Cid) -> RootBounds {
        let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permits) = roots.get(&root).and_then(Weak::upgrade) {
            return RootBounds(Some(permits));
        }
        roots.retain(|_, permits| permits.strong_count() > 0);
        let reads = self.limits.reads_per_root.clamp(1, self.limits.reads.max(1));
        let memory = (self.all.most_memory / SHARE).max(1);
        let own = Permits::new(reads, memory, NAMES_PER_ROOT);
        let permits = Arc::new(RootPermits { bounds: Arc::clone(self), own });
        roots.insert(root, Arc::downgrade(&permits));
        RootBounds(Some(permits))
    }

    /// Returns how many reads are under way.
    #[must_use]
    pub fn reading(&self) -> u64 {
        let permits = &self.all;
        let reads = self.limits.reads.max(1);
        let taken = |semaphore: &Semaphore, all: usize| all - semaphore.available_permits();
        let reading =
            [&permits.small, &permits.transfers, &permits.lists].map(|it| taken(it, reads));
        (reading.iter().sum::<usize>() + taken(&permits.blocks, reads * BLOCKS)) as u64
    }

    /// Returns how many reads were refused because there were too many.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl RootBounds {
    /// Acquires a permit for a read.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Busy`] when none gets free.
    pub(super) async fn begin(&self, purpose: Purpose) -> Result<Permit> {
        let Some(permits) = &self.0 else { return Ok(Permit { _taken: None, size: 0 }) };
        let acquiring = async {
            // A read that waits for its own root holds no permit of all reads.
            let own = permits.own.of(purpose).acquire_owned().await?;
            Ok((own, permits.bounds.all.of(purpose).acquire_owned().await?))
        };
        // A range is under way when its blocks are requested.
        let is_part = matches!(purpose, Purpose::Block);
        let taken = self.wait(permits.bounds.waits[usize::from(is_part)], acquiring).await?;
        Ok(Permit { _taken: Some(taken), size: 0 })
    }

    /// Takes the memory for a block of at most that size.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Busy`] when there is none.
    pub(super) async fn memory(&self, size: usize) -> Result<Permit> {
        let Some(permits) = &self.0 else { return Ok(Permit { _taken: None, size }) };
        let (own, all) = (&permits.own, &permits.bounds.all);
        let acquiring = async {
            let requested = units(size).min(own.most_memory);
            let taken = Arc::clone(&own.memory).acquire_many_owned(requested).await?;
            Ok((taken, Arc::clone(&all.memory).acquire_many_owned(requested).await?))
        };
        let taken = self.wait(permits.bounds.waits[1], acquiring).await?;
        Ok(Permit { _taken: Some(taken), size })
    }

    /// Begins a listing, which has no memory yet.
    pub(super) fn list(&self) -> Listing {
        Listing { bounds: self.clone(), taken: Vec::new(), size: 0 }
    }

    async fn wait<T>(
        &self,
        limit: Duration,
        acquiring: impl Future<Output = std::result::Result<T, AcquireError>>,
    ) -> Result<T> {
        if let Ok(Ok(taken)) = timeout(limit, acquiring).await {
            return Ok(taken);
        }
        if let Some(permits) = &self.0 {
            permits.bounds.refused.fetch_add(1, Ordering::Relaxed);
        }
        let what = "too many reads of other registries' content at once; try again later";
        Err(RemoteError::new(RemoteErrorKind::Busy, what))
    }
}

impl Listing {
    /// Takes memory until there is enough for entries that have so many bytes.
    ///
    /// Listings that have some and need more may wait for each other: the first of them waits twice as long as the
    /// others, and so gets what these free when they give up.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Busy`] when there is none.
    pub(super) async fn grow(&mut self, needed: usize) -> Result<()> {
        let bounds = self.bounds.clone();
        let Some(root) = &bounds.0 else { return Ok(()) };
        let step = units(NAMES_STEP);
        let waits = root.bounds.waits[0];
        while self.size < needed {
            for permits in [&root.own, &root.bounds.all] {
                let names = Arc::clone(&permits.names);
                let taken = if let Ok(taken) = Arc::clone(&names).try_acquire_many_owned(step) {
                    taken
                } else {
                    // A listing that has no memory blocks no other.
                    let first = permits.first.try_acquire().ok().filter(|_| self.size > 0);
                    let limit = if first.is_some() { waits * 2 } else { waits };
                    bounds.wait(limit, names.acquire_many_owned(step)).await?
                };
                self.taken.push(taken);
            }
            self.size += NAMES_STEP;
        }
        Ok(())
    }
}

impl Permit {
    /// For how large a block it is.
    pub(super) fn size(&self) -> usize {
        self.size
    }
}

fn units(size: usize) -> u32 {
    u32::try_from(size.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, u32::MAX / 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipld::raw_cid;

    #[tokio::test]
    async fn one_root_leaves_permits_to_the_others_and_a_read_that_waits_too_long_is_refused() {
        let limits = ReadLimits { reads: 3, reads_per_root: 2, bytes: 64 * 1024 };
        let bounds = Bounds::with(limits, [Duration::from_millis(20); 2]);
        let [one, other] = [1, 2].map(|number| bounds.root(raw_cid([number; 32])));
        let first = one.begin(Purpose::Transfer).await.unwrap();
        let second = one.begin(Purpose::Transfer).await.unwrap();
        assert_eq!(one.begin(Purpose::Transfer).await.err().unwrap().kind, RemoteErrorKind::Busy);
        // A small read does not wait for transfers.
        one.begin(Purpose::Small).await.unwrap();
        let third = other.begin(Purpose::Transfer).await.unwrap();
        assert!(other.begin(Purpose::Transfer).await.is_err());
        assert_eq!((bounds.reading(), bounds.refused()), (3, 2));
        drop((first, second));
        other.begin(Purpose::Transfer).await.unwrap();
        drop(third);
        assert_eq!(bounds.reading(), 0);

        let quarter = one.memory(16 * 1024).await.unwrap();
        assert!(one.memory(1).await.is_err());
        other.memory(16 * 1024).await.unwrap();
        drop(quarter);
        // A block larger than all of it takes all of it.
        one.memory(1 << 30).await.unwrap();
        drop((one, other));
        bounds.root(raw_cid([3; 32]));
        assert_eq!(bounds.roots.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn of_large_listings_for_which_there_is_no_memory_one_goes_on() {
        const MIB: usize = 1 << 20;

        let bounds = Bounds::with(ReadLimits::default(), [Duration::from_millis(50); 2]);
        // They grow at the same speed.
        let list = |root: u8| {
            let mut listing = bounds.root(raw_cid([root; 32])).list();
            async move {
                for size in 1..=30 {
                    listing.grow(size * MIB).await?;
                    tokio::task::yield_now().await;
                }
                Result::Ok(())
            }
        };
        // Two of one root, which has too little memory for both; and three of three roots, too many for all of it.
        let (one, other) = tokio::join!(list(1), list(1));
        assert!(one.is_ok() || other.is_ok());
        let (one, other, third) = tokio::join!(list(1), list(2), list(3));
        assert!(one.is_ok() || other.is_ok() || third.is_ok());
        // All of it is free again.
        assert!(list(1).await.is_ok());
    }
}
