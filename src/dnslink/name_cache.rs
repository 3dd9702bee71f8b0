//! The results of look-ups, cached for as long as the owners of the names say, and beyond that while
//! no server answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jiff::Timestamp;
use quick_cache::sync::Cache;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Answer, DnslinkError, DnslinkErrorKind, PersistentCache, Resolved, Result, Target};

/// How many names are cached.
const NAMES: usize = 1000;

/// How long a failure is cached: the name leads nowhere, or cannot be looked up.
const NEGATIVE: Duration = Duration::from_secs(5);

/// How long a caller waits for a fresh answer when there is a stale one (RFC 8767, 5).
const TIMEOUT: Duration = Duration::from_millis(1800);

/// The answers, and the look-ups under way.
pub(super) struct NameCache {
    entries: Cache<Target, Arc<CachedName>>,
    flights: Mutex<HashMap<Target, Flight>>,
    stale_for: Duration,
    /// The cache that outlasts the process.
    persistent: Option<PersistentCache>,
}

/// A look-up that any number of callers wait for.
type Flight = Shared<BoxFuture<'static, Result<Answer>>>;

/// The cache entry of one name.
struct CachedName {
    outcome: Result<Answer>,
    /// Until when that is answered without a look-up.
    until: Instant,
    /// The last good answer, if it may still be served stale.
    good: Option<Good>,
    /// Whether it ever led anywhere.
    was_found: bool,
}

#[derive(Clone)]
struct Good {
    resolved: Arc<Resolved>,
    /// When it became due, on both clocks.
    due: Instant,
    due_time: Timestamp,
}

impl Good {
    fn answer(&self) -> Answer {
        Answer { resolved: self.resolved.clone(), stale_since: Some(self.due_time) }
    }
}

impl NameCache {
    pub(super) fn new(stale_for: Duration) -> Self {
        Self { entries: Cache::new(NAMES), flights: Mutex::default(), stale_for, persistent: None }
    }

    /// A new cache, which also has the results of earlier processes.
    pub(super) fn with_persistent_cache(&self, persistent: PersistentCache) -> Self {
        Self { persistent: Some(persistent), ..Self::new(self.stale_for) }
    }

    /// Returns whether a name would have to be looked up, and never led anywhere, as far as that is remembered.
    pub(super) async fn is_new(&self, name: &Target) -> bool {
        let is_known = self.fresh(name).is_some() || self.flights().contains_key(name);
        !is_known && !self.was_found(name).await
    }

    /// Answers from the cache, or by a look-up that `look_up` makes: one for all callers at the same time.
    /// It goes on when no caller waits for it any more.
    pub(super) async fn answer<Look>(
        self: &Arc<Self>,
        name: &Target,
        look_up: impl FnOnce() -> Look,
    ) -> Result<Answer>
    where
        Look: Future<Output = Result<Resolved>> + Send + 'static,
    {
        if let Some(outcome) = self.fresh(name) {
            return outcome;
        }
        self.load(name).await;
        let old = self.entries.get(name).and_then(|cached| self.last_good(&cached));
        let flight = match self.join(name, look_up) {
            Ok(flight) => flight,
            Err(outcome) => return *outcome,
        };
        let Some(old) = old else { return flight.await };
        timeout(TIMEOUT, flight).await.unwrap_or_else(|_| Ok(old.answer()))
    }

    /// Returns the last good answer for a name, also of an earlier process, if it may still serve.
    pub(super) async fn last_known(&self, name: &Target) -> Option<Answer> {
        self.load(name).await;
        self.last(name)
    }

    /// Returns the last good answer of this process for a name, if it may still serve.
    pub(super) fn last(&self, name: &Target) -> Option<Answer> {
        let good = self.last_good(&*self.entries.get(name)?)?;
        let is_due = good.due <= Instant::now();
        Some(Answer { stale_since: is_due.then_some(good.due_time), ..good.answer() })
    }

    /// Returns whether a name was ever seen to lead anywhere, as far as that is remembered.
    pub(super) async fn was_found(&self, name: &Target) -> bool {
        if self.entries.get(name).is_some_and(|cached| cached.was_found) {
            return true;
        }
        match &self.persistent {
            Some(persistent) => persistent.contains(name).await,
            None => false,
        }
    }

    /// Loads the answer of an earlier process, if this one knows nothing of the name.
    async fn load(&self, name: &Target) {
        let Some(persistent) =
            self.persistent.as_ref().filter(|_| self.entries.get(name).is_none())
        else {
            return;
        };
        let Some((resolved, due_time)) = persistent.get(name).await else { return };
        let age = Timestamp::now().duration_since(due_time);
        let now = Instant::now();
        // Its TTL is over, whatever the clock said then.
        let Some(due) = now.checked_sub(age.try_into().unwrap_or_default()) else { return };
        let good = Good { resolved: Arc::new(resolved), due, due_time };
        if due.elapsed() < self.stale_for && self.entries.get(name).is_none() {
            let cached = CachedName {
                outcome: Ok(good.answer()),
                until: now,
                good: Some(good),
                was_found: true,
            };
            self.entries.insert(name.clone(), Arc::new(cached));
        }
    }

    fn fresh(&self, name: &Target) -> Option<Result<Answer>> {
        let cached = self.entries.get(name)?;
        (Instant::now() < cached.until).then(|| cached.outcome.clone())
    }

    /// Returns the last good answer, if it may still be served stale.
    fn last_good(&self, cached: &CachedName) -> Option<Good> {
        cached.good.clone().filter(|good| good.due.elapsed() < self.stale_for)
    }

    /// Joins the look-up of that name, or starts one; or returns what one has just found.
    fn join<Look>(
        self: &Arc<Self>,
        name: &Target,
        look_up: impl FnOnce() -> Look,
    ) -> std::result::Result<Flight, Box<Result<Answer>>>
    where
        Look: Future<Output = Result<Resolved>> + Send + 'static,
    {
        let mut flights = self.flights();
        if let Some(flight) = flights.get(name) {
            return Ok(flight.clone());
        }
        // It is cached before the flight is removed from the list.
        if let Some(outcome) = self.fresh(name) {
            return Err(Box::new(outcome));
        }
        let (landed, landing) = oneshot::channel();
        let flight = async move {
            landing.await.unwrap_or_else(|error| {
                let context = "the look-up was interrupted";
                Err(DnslinkError::wrap(DnslinkErrorKind::Unavailable, context, error))
            })
        };
        let flight = flight.boxed().shared();
        flights.insert(name.clone(), flight.clone());
        // A task that cannot run is dropped at once, and removes itself from the list.
        drop(flights);
        let listed = Listed { cache: self.clone(), name: name.clone() };
        let look_up = look_up();
        tokio::spawn(async move {
            let found = look_up.await;
            let outcome = listed.cache.store(&listed.name, found);
            let (cache, name) = (listed.cache.clone(), listed.name.clone());
            drop(listed);
            // The callers may have gone away.
            let _ = landed.send(outcome);
            cache.persist(&name).await;
        });
        Ok(flight)
    }

    /// Caches the result of a look-up, and returns the answer.
    fn store(&self, name: &Target, found: Result<Resolved>) -> Result<Answer> {
        let now = Instant::now();
        let before = self.entries.get(name);
        let was_found = before.as_ref().is_some_and(|cached| cached.was_found);
        let cached = match found {
            Ok(resolved) => {
                let (ttl, resolved) = (resolved.ttl, Arc::new(resolved));
                let due_time = Timestamp::now().saturating_add(ttl).unwrap_or(Timestamp::MAX);
                let good = Good { resolved: resolved.clone(), due: now + ttl, due_time };
                let outcome = Ok(Answer { resolved, stale_since: None });
                CachedName { outcome, until: now + ttl, good: Some(good), was_found: true }
            }
            Err(error) if error.is_retryable() => {
                let good = before.and_then(|cached| self.last_good(&cached));
                let outcome = good.as_ref().map(Good::answer).ok_or(error);
                CachedName { outcome, until: now + NEGATIVE, good, was_found }
            }
            Err(error) => {
                CachedName { outcome: Err(error), until: now + NEGATIVE, good: None, was_found }
            }
        };
        let outcome = cached.outcome.clone();
        self.entries.insert(name.clone(), Arc::new(cached));
        outcome
    }

    /// Stores the result of a name for later processes.
    async fn persist(&self, name: &Target) {
        let (Some(persistent), Some(cached)) = (&self.persistent, self.entries.get(name)) else {
            return;
        };
        match (&cached.outcome, &cached.good) {
            (Ok(answer), Some(good)) if answer.stale_since.is_none() => {
                persistent.store(name, &good.resolved, good.due_time).await;
            }
            (Err(error), None) if !error.is_retryable() => persistent.mark_gone(name).await,
            _ => {}
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Target, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a look-up from the list when it has ended, however it did.
struct Listed {
    cache: Arc<NameCache>,
    name: Target,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.cache.flights().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn name() -> Target {
        Target::Domain("example.com".parse().unwrap())
    }

    fn found(path: &str, ttl: Duration) -> Resolved {
        let root = "bafkqaaa".parse().unwrap();
        Resolved { root, path: vec![path.to_owned()], hints: Vec::new(), ttl }
    }

    fn failed(kind: DnslinkErrorKind) -> DnslinkError {
        DnslinkError::new(kind, "example.com")
    }

    async fn look_up(cache: &Arc<NameCache>, outcome: Result<Resolved>) -> Result<Answer> {
        cache.answer(&name(), || async move { outcome }).await
    }

    fn path(answer: Result<Answer>) -> String {
        answer.unwrap().resolved.path.concat()
    }

    #[tokio::test]
    async fn an_answer_is_cached_until_it_is_due() {
        let cache = Arc::new(NameCache::new(DAY));
        assert_eq!(path(look_up(&cache, Ok(found("a", DAY))).await), "a");
        assert_eq!(path(look_up(&cache, Ok(found("b", DAY))).await), "a");
        let cache = Arc::new(NameCache::new(DAY));
        assert_eq!(path(look_up(&cache, Ok(found("a", Duration::ZERO))).await), "a");
        assert_eq!(path(look_up(&cache, Ok(found("b", DAY))).await), "b");
    }

    #[tokio::test]
    async fn a_negative_answer_is_cached_and_replaces_an_earlier_one() {
        let cache = Arc::new(NameCache::new(DAY));
        look_up(&cache, Ok(found("a", Duration::ZERO))).await.unwrap();
        for outcome in [Err(failed(DnslinkErrorKind::NotFound)), Ok(found("b", DAY))] {
            let error = look_up(&cache, outcome).await.unwrap_err();
            assert_eq!(error.kind, DnslinkErrorKind::NotFound);
        }
        assert!(cache.entries.get(&name()).unwrap().good.is_none());
    }

    #[tokio::test]
    async fn a_stale_answer_serves_while_no_server_answers_and_says_since_when() {
        let cache = Arc::new(NameCache::new(DAY));
        let fresh = look_up(&cache, Ok(found("a", Duration::ZERO))).await.unwrap();
        assert_eq!(fresh.stale_since, None);
        let before = Timestamp::now();
        let stale = look_up(&cache, Err(failed(DnslinkErrorKind::Unavailable))).await.unwrap();
        assert_eq!(stale.resolved.path, ["a"]);
        assert!(stale.stale_since.is_some_and(|since| since <= before));
    }

    #[tokio::test]
    async fn what_an_earlier_process_found_stands_in_no_longer_than_it_may() {
        let folder = tempfile::TempDir::new().unwrap();
        let cache = |stale_for| {
            Arc::new(
                NameCache::new(stale_for)
                    .with_persistent_cache(PersistentCache::open(folder.path()).unwrap()),
            )
        };
        let down = || Err(failed(DnslinkErrorKind::Unavailable));
        look_up(&cache(DAY), Ok(found("a", Duration::ZERO))).await.unwrap();
        // It is written after the answer.
        while cache(DAY).persistent.as_ref().unwrap().get(&name()).await.is_none() {
            tokio::task::yield_now().await;
        }
        let stale = look_up(&cache(DAY), down()).await.unwrap();
        assert_eq!(stale.resolved.path, ["a"]);
        assert!(stale.stale_since.is_some());
        let error = look_up(&cache(Duration::ZERO), down()).await.unwrap_err();
        assert_eq!(error.kind, DnslinkErrorKind::Unavailable);
        let gone = cache(DAY);
        look_up(&gone, Err(failed(DnslinkErrorKind::NotFound))).await.unwrap_err();
        while gone.persistent.as_ref().unwrap().get(&name()).await.is_some() {
            tokio::task::yield_now().await;
        }
        assert!(look_up(&cache(DAY), down()).await.is_err(), "its owner has taken it away");
    }

    #[tokio::test]
    async fn nothing_stands_in_longer_than_it_may() {
        let cache = Arc::new(NameCache::new(Duration::ZERO));
        look_up(&cache, Ok(found("a", Duration::ZERO))).await.unwrap();
        let error = look_up(&cache, Err(failed(DnslinkErrorKind::Unavailable))).await.unwrap_err();
        assert_eq!(error.kind, DnslinkErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn one_look_up_serves_all_callers_and_outlives_the_first() {
        let cache = Arc::new(NameCache::new(DAY));
        let (count, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let begin = || {
            let (cache, count, gate) = (cache.clone(), count.clone(), gate.clone());
            tokio::spawn(async move {
                let look_up = || async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    gate.notified().await;
                    Ok(found("a", DAY))
                };
                cache.answer(&name(), look_up).await
            })
        };
        let first = begin();
        while count.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let second = begin();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        gate.notify_one();
        assert_eq!(path(second.await.unwrap()), "a");
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert!(cache.flights().is_empty());
    }

    #[tokio::test]
    async fn the_number_of_cached_names_is_bounded() {
        let cache = Arc::new(NameCache::new(DAY));
        for number in 0..3 * NAMES {
            let name = Target::Domain(format!("n{number}.example").parse().unwrap());
            cache.answer(&name, || async { Ok(found("a", DAY)) }).await.unwrap();
        }
        assert!(cache.entries.len() <= NAMES);
    }

    #[tokio::test]
    async fn a_look_up_that_panics_is_reported_and_retried() {
        let cache = Arc::new(NameCache::new(DAY));
        let broken = cache.answer(&name(), || async { panic!("it is meant") }).await;
        assert_eq!(broken.unwrap_err().kind, DnslinkErrorKind::Unavailable);
        assert_eq!(path(look_up(&cache, Ok(found("a", DAY))).await), "a");
    }

    #[tokio::test]
    async fn a_caller_with_a_stale_answer_does_not_wait_long_for_a_new_one() {
        let cache = Arc::new(NameCache::new(DAY));
        look_up(&cache, Ok(found("a", Duration::ZERO))).await.unwrap();
        let stale = cache.answer(&name(), std::future::pending).await.unwrap();
        assert!(stale.stale_since.is_some());
    }
}
