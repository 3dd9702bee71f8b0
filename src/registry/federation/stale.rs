//! Names of which the last root serves on, because the DNS does not answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::oci::RootName;

/// How long a mark is reported after the last time that it was seen: only a request for the name shows whether the DNS
/// answers again.
const RETENTION: Duration = Duration::from_mins(5);

/// Since when the roots of names could not be looked up again, although that is due.
#[derive(Default)]
pub(super) struct Stale(Mutex<HashMap<String, Mark>>);

struct Mark {
    since: Timestamp,
    seen: Instant,
}

impl Stale {
    /// Notes how the root of a name was found.
    pub(super) fn note(&self, name: &RootName, since: Option<Timestamp>) {
        let mut marks = self.marks(Instant::now());
        let Some(since) = since else {
            marks.remove(&name.to_string());
            return;
        };
        let mark = Mark { since, seen: Instant::now() };
        if marks.insert(name.to_string(), mark).is_none() {
            tracing::warn!(%name, %since, "serving the last known root: the DNS does not answer");
        }
    }

    /// Returns since when the root of a name is that old.
    pub(super) fn since(&self, name: &RootName) -> Option<Timestamp> {
        self.marks(Instant::now()).get(&name.to_string()).map(|mark| mark.since)
    }

    /// Counts the names.
    pub(super) fn count(&self) -> usize {
        self.marks(Instant::now()).len()
    }

    /// Returns the marks that are reported then.
    fn marks(&self, now: Instant) -> MutexGuard<'_, HashMap<String, Mark>> {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|_, mark| now.saturating_duration_since(mark.seen) < RETENTION);
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_reported_until_the_root_is_found_again_or_no_client_requests_it_for_a_while() {
        let (stale, since) = (Stale::default(), Timestamp::UNIX_EPOCH);
        let [one, other] = ["one.test", "other.test"].map(|name| RootName::Domain(name.to_owned()));
        stale.note(&one, Some(since));
        stale.note(&other, Some(since));
        stale.note(&one, None);
        assert_eq!((stale.since(&one), stale.since(&other), stale.count()), (None, Some(since), 1));
        let last = Instant::now();
        assert_eq!(stale.marks(last + RETENTION / 2).len(), 1);
        assert_eq!(stale.marks(last + RETENTION).len(), 0);
    }
}
