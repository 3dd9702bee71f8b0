//! What names were found to lead to, kept for as long as their owners say, and beyond that while
//! nobody can be asked.

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

/// How many names are kept.
const NAMES: usize = 1000;

/// How long it is kept that a name leads nowhere, or cannot be looked up.
const NEGATIVE: Duration = Duration::from_secs(5);

/// How long somebody waits for a fresh answer who could have an old one (RFC 8767, 5).
const TIMEOUT: Duration = Duration::from_millis(1800);

/// The answers, and the look-ups under way.
pub(super) struct NameCache {
    kept: Cache<Target, Arc<CachedName>>,
    flights: Mutex<HashMap<Target, Flight>>,
    stale_for: Duration,
    /// What outlasts the process.
    persistent: Option<PersistentCache>,
}

/// A look-up that any number of callers wait for.
type Flight = Shared<BoxFuture<'static, Result<Answer>>>;

/// What is kept of one name.
struct CachedName {
    outcome: Result<Answer>,
    /// Until when that is answered without asking again.
    until: Instant,
    /// What was last found, if it may still stand in for what cannot be asked.
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
        Self { kept: Cache::new(NAMES), flights: Mutex::default(), stale_for, persistent: None }
    }

    /// A new one, which remembers what another process has found as well.
    pub(super) fn with_persistent_cache(&self, persistent: PersistentCache) -> Self {
        Self { persistent: Some(persistent), ..Self::new(self.stale_for) }
    }

    /// Tells whether a name would have to be looked up, and never led anywhere, as far as that is remembered.
    pub(super) async fn is_new(&self, name: &Target) -> bool {
        let is_known = self.fresh(name).is_some() || self.flights().contains_key(name);
        !is_known && !self.was_found(name).await
    }

    /// Answers from memory, or by a look-up that `look_up` makes: one for all who ask at the same time.
    /// It goes on when nobody waits for it any more.
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
        self.recall(name).await;
        let old = self.kept.get(name).and_then(|kept| self.standing_in(&kept));
        let flight = match self.join(name, look_up) {
            Ok(flight) => flight,
            Err(outcome) => return *outcome,
        };
        let Some(old) = old else { return flight.await };
        timeout(TIMEOUT, flight).await.unwrap_or_else(|_| Ok(old.answer()))
    }

    /// Returns what was last found of a name, also by an earlier process, if it may still serve.
    pub(super) async fn recalled(&self, name: &Target) -> Option<Answer> {
        self.recall(name).await;
        self.last(name)
    }

    /// Returns what this process last found of a name, if it may still serve.
    pub(super) fn last(&self, name: &Target) -> Option<Answer> {
        let good = self.standing_in(&*self.kept.get(name)?)?;
        let is_due = good.due <= Instant::now();
        Some(Answer { stale_since: is_due.then_some(good.due_time), ..good.answer() })
    }

    /// Tells whether a name was ever seen to lead anywhere, as far as that is remembered.
    pub(super) async fn was_found(&self, name: &Target) -> bool {
        if self.kept.get(name).is_some_and(|kept| kept.was_found) {
            return true;
        }
        match &self.persistent {
            Some(persistent) => persistent.knows(name).await,
            None => false,
        }
    }

    /// Takes up what an earlier process has found, if this one knows nothing of the name.
    async fn recall(&self, name: &Target) {
        let Some(persistent) = self.persistent.as_ref().filter(|_| self.kept.get(name).is_none())
        else {
            return;
        };
        let Some((resolved, due_time)) = persistent.recall(name).await else { return };
        let age = Timestamp::now().duration_since(due_time);
        let now = Instant::now();
        // What it was found for is over, whatever the clock said then.
        let Some(due) = now.checked_sub(age.try_into().unwrap_or_default()) else { return };
        let good = Good { resolved: Arc::new(resolved), due, due_time };
        if due.elapsed() < self.stale_for && self.kept.get(name).is_none() {
            let kept = CachedName {
                outcome: Ok(good.answer()),
                until: now,
                good: Some(good),
                was_found: true,
            };
            self.kept.insert(name.clone(), Arc::new(kept));
        }
    }

    fn fresh(&self, name: &Target) -> Option<Result<Answer>> {
        let kept = self.kept.get(name)?;
        (Instant::now() < kept.until).then(|| kept.outcome.clone())
    }

    /// Returns what was last found, if its time is not over.
    fn standing_in(&self, kept: &CachedName) -> Option<Good> {
        kept.good.clone().filter(|good| good.due.elapsed() < self.stale_for)
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
        // It is kept before the flight is taken off the list.
        if let Some(outcome) = self.fresh(name) {
            return Err(Box::new(outcome));
        }
        let (landed, landing) = oneshot::channel();
        let flight = async move {
            landing.await.unwrap_or_else(|error| {
                let context = "the look-up broke off";
                Err(DnslinkError::wrap(DnslinkErrorKind::Unavailable, context, error))
            })
        };
        let flight = flight.boxed().shared();
        flights.insert(name.clone(), flight.clone());
        // A task that cannot run is dropped at once, and takes itself off the list.
        drop(flights);
        let listed = Listed { memory: self.clone(), name: name.clone() };
        let look_up = look_up();
        tokio::spawn(async move {
            let found = look_up.await;
            let outcome = listed.memory.keep(&listed.name, found);
            let (memory, name) = (listed.memory.clone(), listed.name.clone());
            drop(listed);
            // Whoever asked may have gone away.
            let _ = landed.send(outcome);
            memory.note(&name).await;
        });
        Ok(flight)
    }

    /// Keeps what a look-up has found, and returns what is to be answered.
    fn keep(&self, name: &Target, found: Result<Resolved>) -> Result<Answer> {
        let now = Instant::now();
        let before = self.kept.get(name);
        let was_found = before.as_ref().is_some_and(|kept| kept.was_found);
        let kept = match found {
            Ok(resolved) => {
                let (ttl, resolved) = (resolved.ttl, Arc::new(resolved));
                let due_time = Timestamp::now().saturating_add(ttl).unwrap_or(Timestamp::MAX);
                let good = Good { resolved: resolved.clone(), due: now + ttl, due_time };
                let outcome = Ok(Answer { resolved, stale_since: None });
                CachedName { outcome, until: now + ttl, good: Some(good), was_found: true }
            }
            Err(error) if error.is_retryable() => {
                let good = before.and_then(|kept| self.standing_in(&kept));
                let outcome = good.as_ref().map(Good::answer).ok_or(error);
                CachedName { outcome, until: now + NEGATIVE, good, was_found }
            }
            Err(error) => {
                CachedName { outcome: Err(error), until: now + NEGATIVE, good: None, was_found }
            }
        };
        let outcome = kept.outcome.clone();
        self.kept.insert(name.clone(), Arc::new(kept));
        outcome
    }

    /// Notes for later processes what was found of a name.
    async fn note(&self, name: &Target) {
        let (Some(persistent), Some(kept)) = (&self.persistent, self.kept.get(name)) else {
            return;
        };
        match (&kept.outcome, &kept.good) {
            (Ok(answer), Some(good)) if answer.stale_since.is_none() => {
                persistent.note(name, &good.resolved, good.due_time).await;
            }
            (Err(error), None) if !error.is_retryable() => persistent.forget(name).await,
            _ => {}
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Target, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a look-up off the list when it has ended, however it did.
struct Listed {
    memory: Arc<NameCache>,
    name: Target,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.memory.flights().remove(&self.name);
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

    async fn ask(memory: &Arc<NameCache>, outcome: Result<Resolved>) -> Result<Answer> {
        memory.answer(&name(), || async move { outcome }).await
    }

    fn path(answer: Result<Answer>) -> String {
        answer.unwrap().resolved.path.concat()
    }

    #[tokio::test]
    async fn an_answer_is_kept_until_it_is_due() {
        let memory = Arc::new(NameCache::new(DAY));
        assert_eq!(path(ask(&memory, Ok(found("a", DAY))).await), "a");
        assert_eq!(path(ask(&memory, Ok(found("b", DAY))).await), "a");
        let memory = Arc::new(NameCache::new(DAY));
        assert_eq!(path(ask(&memory, Ok(found("a", Duration::ZERO))).await), "a");
        assert_eq!(path(ask(&memory, Ok(found("b", DAY))).await), "b");
    }

    #[tokio::test]
    async fn that_there_is_nothing_is_kept_and_replaces_what_there_was() {
        let memory = Arc::new(NameCache::new(DAY));
        ask(&memory, Ok(found("a", Duration::ZERO))).await.unwrap();
        for outcome in [Err(failed(DnslinkErrorKind::NotFound)), Ok(found("b", DAY))] {
            let error = ask(&memory, outcome).await.unwrap_err();
            assert_eq!(error.kind, DnslinkErrorKind::NotFound);
        }
        assert!(memory.kept.get(&name()).unwrap().good.is_none());
    }

    #[tokio::test]
    async fn what_was_found_stands_in_while_nobody_answers_and_says_since_when() {
        let memory = Arc::new(NameCache::new(DAY));
        let fresh = ask(&memory, Ok(found("a", Duration::ZERO))).await.unwrap();
        assert_eq!(fresh.stale_since, None);
        let before = Timestamp::now();
        let stale = ask(&memory, Err(failed(DnslinkErrorKind::Unavailable))).await.unwrap();
        assert_eq!(stale.resolved.path, ["a"]);
        assert!(stale.stale_since.is_some_and(|since| since <= before));
    }

    #[tokio::test]
    async fn what_an_earlier_process_found_stands_in_no_longer_than_it_may() {
        let folder = tempfile::TempDir::new().unwrap();
        let memory = |stale_for| {
            Arc::new(
                NameCache::new(stale_for)
                    .with_persistent_cache(PersistentCache::open(folder.path()).unwrap()),
            )
        };
        let down = || Err(failed(DnslinkErrorKind::Unavailable));
        ask(&memory(DAY), Ok(found("a", Duration::ZERO))).await.unwrap();
        // It is written after the answer.
        while memory(DAY).persistent.as_ref().unwrap().recall(&name()).await.is_none() {
            tokio::task::yield_now().await;
        }
        let stale = ask(&memory(DAY), down()).await.unwrap();
        assert_eq!(stale.resolved.path, ["a"]);
        assert!(stale.stale_since.is_some());
        let error = ask(&memory(Duration::ZERO), down()).await.unwrap_err();
        assert_eq!(error.kind, DnslinkErrorKind::Unavailable);
        let gone = memory(DAY);
        ask(&gone, Err(failed(DnslinkErrorKind::NotFound))).await.unwrap_err();
        while gone.persistent.as_ref().unwrap().recall(&name()).await.is_some() {
            tokio::task::yield_now().await;
        }
        assert!(ask(&memory(DAY), down()).await.is_err(), "its owner has taken it away");
    }

    #[tokio::test]
    async fn nothing_stands_in_longer_than_it_may() {
        let memory = Arc::new(NameCache::new(Duration::ZERO));
        ask(&memory, Ok(found("a", Duration::ZERO))).await.unwrap();
        let error = ask(&memory, Err(failed(DnslinkErrorKind::Unavailable))).await.unwrap_err();
        assert_eq!(error.kind, DnslinkErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn one_look_up_serves_all_and_outlives_who_asked_first() {
        let memory = Arc::new(NameCache::new(DAY));
        let (count, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = || {
            let (memory, count, gate) = (memory.clone(), count.clone(), gate.clone());
            tokio::spawn(async move {
                let look_up = || async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    gate.notified().await;
                    Ok(found("a", DAY))
                };
                memory.answer(&name(), look_up).await
            })
        };
        let first = ask();
        while count.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let second = ask();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        gate.notify_one();
        assert_eq!(path(second.await.unwrap()), "a");
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert!(memory.flights().is_empty());
    }

    #[tokio::test]
    async fn no_more_names_are_kept_than_there_is_room_for() {
        let memory = Arc::new(NameCache::new(DAY));
        for number in 0..3 * NAMES {
            let name = Target::Domain(format!("n{number}.example").parse().unwrap());
            memory.answer(&name, || async { Ok(found("a", DAY)) }).await.unwrap();
        }
        assert!(memory.kept.len() <= NAMES);
    }

    #[tokio::test]
    async fn a_look_up_that_panics_is_told_and_tried_again() {
        let memory = Arc::new(NameCache::new(DAY));
        let broken = memory.answer(&name(), || async { panic!("it is meant") }).await;
        assert_eq!(broken.unwrap_err().kind, DnslinkErrorKind::Unavailable);
        assert_eq!(path(ask(&memory, Ok(found("a", DAY))).await), "a");
    }

    #[tokio::test]
    async fn whoever_could_have_an_old_answer_does_not_wait_long_for_a_new_one() {
        let memory = Arc::new(NameCache::new(DAY));
        ask(&memory, Ok(found("a", Duration::ZERO))).await.unwrap();
        let stale = memory.answer(&name(), std::future::pending).await.unwrap();
        assert!(stale.stale_since.is_some());
    }
}
