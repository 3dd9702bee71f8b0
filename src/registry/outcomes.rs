//! What entries of the queue came to, told to the requests of this process that wait for them: most are carried out
//! together with others by a task that has the lock, and need not take it themselves.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot::{self, Receiver, Sender};

use super::intent::Refusal;

/// What an entry comes to.
pub(super) type Outcome = std::result::Result<(), Refusal>;

/// Who waits for which entry.
#[derive(Default)]
pub(super) struct Outcomes(Mutex<HashMap<i64, Sender<Outcome>>>);

/// Waits for one entry; dropped, it waits no more.
pub(super) struct Expected<'a> {
    outcomes: &'a Outcomes,
    seq: i64,
    answer: Receiver<Outcome>,
}

impl Outcomes {
    /// Waits for an entry, of which there is one who waits.
    pub(super) fn expect(&self, seq: i64) -> Expected<'_> {
        let (sender, answer) = oneshot::channel();
        self.waiting().insert(seq, sender);
        Expected { outcomes: self, seq, answer }
    }

    /// Tells those who wait what entries came to, now that it lasts.
    pub(super) fn publish(&self, outcomes: Vec<(i64, Outcome)>) {
        let mut waiting = self.waiting();
        for (seq, outcome) in outcomes {
            if let Some(sender) = waiting.remove(&seq) {
                // Who does not wait any more need not know.
                let _ = sender.send(outcome);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<i64, Sender<Outcome>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expected<'_> {
    /// Waits for what the entry comes to. It never comes if another process carries it out.
    pub(super) async fn outcome(&mut self) -> Outcome {
        match (&mut self.answer).await {
            Ok(outcome) => outcome,
            Err(_) => pending().await,
        }
    }

    /// Returns what the entry came to, if this process has carried it out meanwhile.
    pub(super) fn now(&mut self) -> Option<Outcome> {
        self.answer.try_recv().ok()
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.outcomes.waiting().remove(&self.seq);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn who_waits_gets_the_outcome_of_its_own_entry() {
        let outcomes = Outcomes::default();
        let (mut one, mut other) = (outcomes.expect(1), outcomes.expect(2));
        assert!(one.now().is_none());
        let closed = vec![(1, Ok(())), (3, Ok(())), (2, Err(Refusal::Unknown))];
        outcomes.publish(closed);
        assert!(matches!(one.outcome().await, Ok(())));
        assert!(matches!(other.now(), Some(Err(Refusal::Unknown))));
        // Nothing is known of an entry that another process carries out.
        drop(outcomes.expect(4));
        let mut elsewhere = outcomes.expect(4);
        outcomes.publish(vec![(5, Ok(()))]);
        assert!(timeout(Duration::from_millis(50), elsewhere.outcome()).await.is_err());
        drop((one, other, elsewhere));
        assert!(outcomes.waiting().is_empty());
    }
}
