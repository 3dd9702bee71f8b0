//! What keeps the DNS up to date while a server runs.

use std::mem;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::super::events::{DELETE, PURGE, PUSH, RETENTION, VISIBILITY};
use super::{Outcome, PendingRequests, Publisher, Trigger};
use crate::dnslink::PublishError;
use crate::index::EventWatch;

/// The name of the publisher among the subscribers to events.
const SUBSCRIBER: &str = "publisher";

/// The events after which there may be another root to publish.
const KINDS: &[&str] = &[PUSH, DELETE, RETENTION, PURGE, VISIBILITY];

/// How long events are gathered before the index is queried for them.
const GATHER: Duration = Duration::from_millis(250);

/// How often the index is queried for events that woke nothing.
const EVENTS_LOOK: Duration = Duration::from_secs(30);

/// How long is waited while the index cannot be queried.
const AGAIN: Duration = Duration::from_secs(1);

/// While pushes keep coming, they wait for so many times what a single one waits.
const LONGEST: u32 = 10;

/// How often the publisher looks whether the record is still there, and whether roots may go.
const LOOK: Duration = Duration::from_mins(1);

/// How long another process that publishes is waited for.
const BUSY: Duration = Duration::from_secs(1);

/// How long is waited after a failure, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// How long a provider is left alone at most when it asks for a pause.
const LONGEST_REST: Duration = Duration::from_hours(24);

/// When something is to be done.
struct Due {
    /// The last event that was seen and not handled.
    event: Option<i64>,
    /// When the index is queried for events, if nothing wakes the publisher before.
    events_at: Instant,
    /// Since when something waits, and since when nothing has come to it.
    waits: Option<(Instant, Instant)>,
    /// Before that nothing is tried again, unless an operator requests it meanwhile.
    not_before: Instant,
    /// How long is waited after the next failure.
    pause: Duration,
    /// When it was last looked.
    looked: Instant,
}

impl Publisher {
    /// Has the root published at once, also after a failure. When that is done, the token is
    /// among the [`Publication::answers`](super::Publication::answers).
    pub fn request(&self, trigger: Trigger, token: String) {
        let mut requests = self.pending_requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.add(PendingRequests { trigger, tokens: vec![token] });
        self.requested.notify_one();
    }

    /// Publishes whatever changes, whichever process changed it; never returns. Of all processes the one that publishes
    /// has the lock to do so, which is its lease on the events.
    pub async fn run(&self) {
        let mut events = self.registry.index.watch_events();
        let (debounce, look) = (self.config.debounce, LOOK.min(self.config.keep));
        let mut due = Due::begin(Instant::now());
        let mut open = PendingRequests::default();
        loop {
            let next = due.next(!open.is_nothing(), debounce, look);
            let has_events = self.wait(&mut events, next).await;
            if has_events || Instant::now() >= due.events_at {
                self.look_for_events(&mut due).await;
            }
            self.watched.set_pending(due.waits.is_some());
            let requests = mem::take(
                &mut *self.pending_requests.lock().unwrap_or_else(PoisonError::into_inner),
            );
            if !requests.is_nothing() {
                due.not_before = Instant::now();
            }
            // What has no answer yet is still requested.
            open.add(requests);
            if !due.is_now(!open.is_nothing(), debounce, look) {
                continue;
            }
            let outcome = self.publish_for(&mut open).await;
            due.settle(&outcome);
            if matches!(outcome, Ok(Outcome::Published(_) | Outcome::Unchanged)) {
                self.handle_events(&mut due).await;
            }
            self.watched.set_pending(due.waits.is_some());
        }
    }

    /// Waits for events, a request or that time; returns whether there were events.
    async fn wait(&self, events: &mut EventWatch, until: Instant) -> bool {
        tokio::select! {
            () = events.changed() => {
                // One query is enough for all that come at once.
                tokio::time::sleep(GATHER.min(self.config.debounce)).await;
                events.mark_seen();
                true
            }
            () = self.requested.notified() => false,
            () = tokio::time::sleep_until(until.into()) => false,
        }
    }

    async fn look_for_events(&self, due: &mut Due) {
        #[cfg(test)]
        self.looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let last = self.registry.index.last_unhandled_event(SUBSCRIBER, KINDS).await;
        let pause = if last.is_ok() { EVENTS_LOOK } else { AGAIN };
        due.events_at = Instant::now() + pause;
        // Without the index there is nothing to publish either.
        if let Ok(Some(last)) = last {
            due.notice(last);
        }
    }

    /// Notes that what was seen before the last publication is published. Where that fails it is noted with the next.
    async fn handle_events(&self, due: &mut Due) {
        let Some(event) = due.event else { return };
        match self.registry.index.advance_cursor(SUBSCRIBER, event).await {
            Ok(()) => due.event = None,
            Err(error) => tracing::debug!(%error, "failed to note which events are handled"),
        }
    }
}

impl PendingRequests {
    fn is_nothing(&self) -> bool {
        self.tokens.is_empty()
    }

    fn add(&mut self, other: Self) {
        self.trigger = self.trigger.max(other.trigger);
        self.tokens.extend(other.tokens);
    }
}

impl Due {
    /// What is due at the start: to publish what may have changed before.
    fn begin(now: Instant) -> Self {
        Self {
            event: None,
            events_at: now,
            waits: Some((now, now)),
            not_before: now,
            pause: FIRST_PAUSE,
            looked: now,
        }
    }

    /// Notes the last event that is not handled.
    fn notice(&mut self, event: i64) {
        if self.event.replace(event) != Some(event) {
            let now = Instant::now();
            self.waits = Some((self.waits.map_or(now, |(first, _)| first), now));
        }
    }

    /// Returns when there is something to do next, if nothing happens before.
    fn next(&self, is_requested: bool, debounce: Duration, look: Duration) -> Instant {
        let mut publish = self.looked + look;
        if let Some((first, last)) = self.waits {
            publish = publish.min(last + debounce).min(first + debounce * LONGEST);
        }
        if is_requested {
            publish = self.not_before;
        }
        publish.max(self.not_before).min(self.events_at)
    }

    /// Returns whether it is time to publish, or to look.
    fn is_now(&self, is_requested: bool, debounce: Duration, look: Duration) -> bool {
        let is_ripe = self.waits.is_some_and(|(first, last)| {
            last.elapsed() >= debounce || first.elapsed() >= debounce * LONGEST
        });
        (is_requested || is_ripe || self.looked.elapsed() >= look)
            && Instant::now() >= self.not_before
    }

    fn settle(&mut self, outcome: &Result<Outcome, PublishError>) {
        let now = Instant::now();
        self.looked = now;
        match outcome {
            Ok(Outcome::Published(_) | Outcome::Unchanged) => {
                self.waits = None;
                self.pause = FIRST_PAUSE;
                self.not_before = now;
            }
            Ok(Outcome::Busy) => self.not_before = now + BUSY,
            Ok(Outcome::Overtaken) => self.waits = self.waits.or(Some((now, now))),
            Err(error) => {
                self.waits = self.waits.or(Some((now, now)));
                let rest = error.retry_after.unwrap_or_default().min(LONGEST_REST);
                self.not_before = now + rest.max(jittered(self.pause));
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Returns between half and all of a time, so that processes which failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let random = Uuid::new_v4().as_bytes()[0];
    pause / 2 + pause / 2 * u32::from(random) / 255
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dnslink::PublishErrorKind;

    const DEBOUNCE: Duration = Duration::from_secs(2);

    fn due(since: Duration, last: Duration) -> Due {
        let now = Instant::now();
        let waits = Some((now.checked_sub(since).unwrap(), now.checked_sub(last).unwrap()));
        Due { event: Some(1), waits, ..Due::begin(now) }
    }

    #[test]
    fn a_push_waits_for_others_but_not_for_ever() {
        let seconds = Duration::from_secs;
        for (since, last, expected) in [(1, 1, false), (2, 2, true), (5, 1, false), (20, 0, true)] {
            let is_now = due(seconds(since), seconds(last)).is_now(false, DEBOUNCE, LOOK);
            assert_eq!(is_now, expected, "{since} {last}");
        }
    }

    #[test]
    fn after_failures_it_is_tried_ever_more_rarely_and_after_a_success_at_once() {
        let mut due = due(DEBOUNCE, DEBOUNCE);
        let failed = || Err(PublishError::new(PublishErrorKind::Unavailable, ""));
        let mut pauses = Vec::new();
        for _ in 0..12 {
            pauses.push(due.pause);
            due.settle(&failed());
            assert!(!due.is_now(true, DEBOUNCE, Duration::ZERO));
        }
        assert!(pauses.is_sorted() && pauses[11] == LONGEST_PAUSE, "{pauses:?}");
        due.settle(&Ok(Outcome::Unchanged));
        assert!(due.waits.is_none() && due.pause == FIRST_PAUSE);
        due.notice(2);
        assert!(due.is_now(false, Duration::ZERO, LOOK));
    }

    #[test]
    fn a_retry_after_of_the_provider_is_respected() {
        let mut due = due(DEBOUNCE, DEBOUNCE);
        let mut rest = |seconds| {
            let limited = PublishError::new(PublishErrorKind::Unavailable, "");
            let begun = Instant::now();
            due.settle(&Err(limited.after(Some(Duration::from_secs(seconds)))));
            due.not_before.duration_since(begun)
        };
        for seconds in [40, 3600] {
            assert!(rest(seconds) >= Duration::from_secs(seconds), "{seconds}");
        }
        assert!(rest(u64::MAX) >= LONGEST_REST);
        // A provider that allows a retry at once is not called without end.
        for _ in 0..12 {
            rest(0);
        }
        assert!(rest(0) >= LONGEST_PAUSE / 2);
    }
}
