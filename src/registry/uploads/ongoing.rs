//! The requests of this process that go on with uploads: one at a time for each upload, and the newer
//! ends the older.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::{Instant, sleep};

/// How often the end of all requests is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// Every request that goes on with an upload, by the upload's name.
#[derive(Default)]
pub(in crate::registry) struct Ongoing(Mutex<HashMap<String, Arc<Slot>>>);

/// The requests of one upload.
#[derive(Default)]
struct Slot {
    /// Locked by the request that is about to go on with the upload.
    entry: Arc<tokio::sync::Mutex<()>>,
    current: Mutex<Option<Arc<Request>>>,
}

/// A request that goes on with an upload.
pub(super) struct Request {
    /// Where the upload stood when it began.
    base: u64,
    /// Its offset with what has arrived since.
    received: AtomicU64,
    ending: watch::Sender<Option<Ending>>,
    is_over: watch::Sender<bool>,
}

/// How a request ends that goes on with an upload no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// What it has received stays.
    Saved,
    /// The upload is as it was before.
    Dropped,
}

/// What a newer request finds.
pub(super) enum Way {
    /// The older request has to end like this.
    Ends(Ending),
    /// The newer request belongs elsewhere; the upload is at this offset.
    Misplaced(u64),
}

/// The right of one request to be the next that goes on with an upload.
pub(super) struct Entry {
    ongoing: Arc<Ongoing>,
    id: String,
    slot: Arc<Slot>,
    /// None while an older request is about to go on.
    guard: Option<OwnedMutexGuard<()>>,
}

/// A request that goes on with an upload as long as this lives.
pub(super) struct Going {
    ongoing: Arc<Ongoing>,
    id: String,
    slot: Arc<Slot>,
    pub(super) request: Arc<Request>,
}

impl Ongoing {
    /// Waits until no other request is about to go on with the upload.
    pub(super) async fn enter(self: &Arc<Self>, id: &str) -> Entry {
        let slot = Arc::clone(lock(&self.0).entry(id.to_owned()).or_default());
        let lock = Arc::clone(&slot.entry);
        let mut entry = Entry { ongoing: Arc::clone(self), id: id.to_owned(), slot, guard: None };
        entry.guard = Some(lock.lock_owned().await);
        entry
    }

    /// Returns the request that goes on with the upload.
    pub(super) fn current(&self, id: &str) -> Option<Arc<Request>> {
        lock(&self.0).get(id).and_then(|slot| lock(&slot.current).clone())
    }

    /// Has every request save what it has received, and waits until all have ended, at most so long.
    /// Returns whether they have.
    pub(super) async fn end_all(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        loop {
            let current: Vec<_> =
                lock(&self.0).values().filter_map(|slot| lock(&slot.current).clone()).collect();
            if current.is_empty() {
                return true;
            }
            if begun.elapsed() > limit {
                return false;
            }
            for request in current {
                request.end(Ending::Saved);
            }
            sleep(LOOK).await;
        }
    }

    /// Forgets an upload with which no request goes on. `slot` is the caller's.
    fn clean_up(&self, id: &str, slot: &Arc<Slot>) {
        let mut known = lock(&self.0);
        // The caller's and the one in the map: no other task has it, or can get it meanwhile.
        if Arc::strong_count(slot) <= 2
            && lock(&slot.current).is_none()
            && known.get(id).is_some_and(|known| Arc::ptr_eq(known, slot))
        {
            known.remove(id);
        }
    }
}

impl Entry {
    /// Returns the request that has to end before this one begins.
    pub(super) fn older(&self) -> Option<Arc<Request>> {
        lock(&self.slot.current).clone()
    }

    /// Begins the request, on an upload at that offset.
    pub(super) fn begin(&self, base: u64) -> Going {
        let request = Arc::new(Request {
            base,
            received: AtomicU64::new(base),
            ending: watch::Sender::new(None),
            is_over: watch::Sender::new(false),
        });
        *lock(&self.slot.current) = Some(Arc::clone(&request));
        let (ongoing, slot) = (Arc::clone(&self.ongoing), Arc::clone(&self.slot));
        Going { ongoing, id: self.id.clone(), slot, request }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.guard = None;
        self.ongoing.clean_up(&self.id, &self.slot);
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        {
            let mut current = lock(&self.slot.current);
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &self.request)) {
                *current = None;
            }
        }
        self.request.is_over.send_replace(true);
        self.ongoing.clean_up(&self.id, &self.slot);
    }
}

impl Request {
    /// Returns how this request has to end for a newer one that continues at `offset`, where that is
    /// known. One that continues where this one began sends the same bytes again.
    pub(super) fn way(&self, offset: Option<u64>) -> Way {
        let received = self.received();
        match offset {
            None => Way::Ends(Ending::Saved),
            Some(offset) if offset == self.base => Way::Ends(Ending::Dropped),
            Some(offset) if offset > self.base && offset <= received => Way::Ends(Ending::Saved),
            Some(_) => Way::Misplaced(received),
        }
    }

    /// Has the request end; the first that says how counts.
    pub(super) fn end(&self, ending: Ending) {
        self.ending.send_if_modified(|sent| {
            let is_first = sent.is_none();
            sent.get_or_insert(ending);
            is_first
        });
    }

    /// Waits until the request has to end.
    pub(super) async fn ending(self: Arc<Self>) -> Ending {
        let mut ending = self.ending.subscribe();
        let sent = ending.wait_for(Option::is_some).await.ok().and_then(|sent| *sent);
        sent.expect("the sender lives in `self`, and a value was sent")
    }

    /// Waits until the request has ended.
    pub(super) async fn over(&self) {
        // The sender is here, so there is no error.
        let _ = self.is_over.subscribe().wait_for(|is_over| *is_over).await;
    }

    /// Returns whether the request has ended.
    pub(super) fn is_over(&self) -> bool {
        *self.is_over.borrow()
    }

    /// Notes how much has arrived.
    pub(super) fn note(&self, received: u64) {
        self.received.store(received, Ordering::Relaxed);
    }

    /// The offset of the upload with what has arrived.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_over_is_forgotten() {
        let ongoing = Arc::new(Ongoing::default());
        let entry = ongoing.enter("upload").await;
        let going = entry.begin(5);
        drop(entry);
        going.request.note(9);
        assert_eq!(ongoing.current("upload").unwrap().received(), 9);
        assert!(ongoing.current("other").is_none());
        drop(going);
        assert!(lock(&ongoing.0).is_empty());
        drop(ongoing.enter("upload").await);
        assert!(lock(&ongoing.0).is_empty());
    }

    #[tokio::test]
    async fn a_newer_request_ends_the_older_where_it_can_go_on() {
        let ongoing = Arc::new(Ongoing::default());
        let going = ongoing.enter("upload").await.begin(5);
        going.request.note(9);
        for (offset, expected) in [
            (None, Some(Ending::Saved)),
            (Some(5), Some(Ending::Dropped)),
            (Some(6), Some(Ending::Saved)),
            (Some(9), Some(Ending::Saved)),
            (Some(0), None),
            (Some(10), None),
        ] {
            let found = match going.request.way(offset) {
                Way::Ends(ending) => Some(ending),
                Way::Misplaced(stands_at) => {
                    assert_eq!(stands_at, 9);
                    None
                }
            };
            assert_eq!(found, expected, "{offset:?}");
        }
        going.request.end(Ending::Dropped);
        going.request.end(Ending::Saved);
        assert_eq!(Arc::clone(&going.request).ending().await, Ending::Dropped);
        let request = Arc::clone(&going.request);
        drop(going);
        request.over().await;
    }
}
