//! What the servers of the zone return: a root is published once all that answer return it.

use std::time::{Duration, Instant};

use super::super::now;
use super::answers::{answers, missing};
use super::{Publisher, Result, unable};
use crate::dnslink::{Change, PublishError, PublishErrorKind};

/// The part of its time-out that a record has where another root is to be published already.
const HURRY: u32 = 12;

/// How often the servers are queried, at first and in the end.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LATER_LOOK: Duration = Duration::from_secs(2);

impl Publisher {
    /// Returns whether the servers still say what was published, as far as they answer.
    ///
    /// # Errors
    /// When none does.
    pub(super) async fn is_propagated(&self, change: &Change) -> Result<bool> {
        let responses = self.zone.query(&change.domain).await?;
        let mut answers = answers(&responses)?.into_iter();
        Ok(answers.all(|texts| change.against(texts).is_ok_and(|it| it.is_empty())))
    }

    /// Waits until all servers that answer say what was written. Returns whether they do; they may not when
    /// another root is to be published already, unless they have not said what was written since `since`,
    /// whatever it was.
    pub(super) async fn wait_until_propagated(
        &self,
        change: &Change,
        version: u64,
        since: i64,
    ) -> Result<bool> {
        let (begun, timeouts) = (Instant::now(), self.config.timeouts);
        let mut pause = FIRST_LOOK;
        loop {
            let responses = self.zone.query(&change.domain).await;
            let missing = match &responses {
                Ok(responses) => missing(change, responses),
                Err(error) => Some(error.to_string()),
            };
            let Some(missing) = missing else { return Ok(true) };
            let current = self.registry.index.version().await.map_err(unable)?;
            let is_overtaken = current != version && begun.elapsed() >= timeouts / HURRY;
            let untold = u128::try_from(now().saturating_sub(since)).unwrap_or_default();
            let is_late = is_overtaken && untold >= timeouts.as_millis();
            if is_late || begun.elapsed() >= timeouts {
                let context = format!("the record is written, but not propagated yet: {missing}");
                return Err(PublishError::new(PublishErrorKind::Unavailable, context));
            }
            if is_overtaken {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LATER_LOOK);
        }
    }
}
