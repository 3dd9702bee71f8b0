//! The time limit of a body that is read into memory. A limit to each of its pieces is none to the whole.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::error::{ClientError, Result};

/// How many bytes begin the time anew: what is read may be as large as a caller wants, such as a part of a blob.
const STRETCH: usize = 16 << 20;

/// When a body has to have come, or a further stretch of it.
pub(super) struct Deadline {
    limit: Duration,
    /// None where that is beyond what can be counted.
    ends: Option<Instant>,
    /// How many bytes came since it began.
    came: usize,
}

impl Deadline {
    pub(super) fn begin(limit: Duration) -> Self {
        Self { limit, ends: Instant::now().checked_add(limit), came: 0 }
    }

    /// Waits for the next bytes; `context` says what fails when they come too late.
    pub(super) async fn wait(
        &mut self,
        context: &str,
        next: impl Future<Output = Result<Option<Bytes>>>,
    ) -> Result<Option<Bytes>> {
        let next = match self.ends {
            Some(ends) => timeout_at(ends, next)
                .await
                .map_err(|_| ClientError::too_slow(context, self.limit))?,
            None => next.await,
        }?;
        self.came += next.as_ref().map_or(0, Bytes::len);
        if self.came >= STRETCH {
            *self = Self::begin(self.limit);
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;
    use crate::client::ClientErrorKind;

    #[tokio::test]
    async fn a_stretch_begins_the_time_anew_and_fewer_bytes_do_not() {
        let mut deadline = Deadline::begin(Duration::from_millis(100));
        let ends = deadline.ends;
        let piece = |length: usize| future::ready(Ok(Some(Bytes::from(vec![0; length]))));
        deadline.wait("", piece(STRETCH - 1)).await.unwrap();
        assert_eq!(deadline.ends, ends);
        deadline.wait("", piece(1)).await.unwrap();
        assert!(deadline.ends > ends);
        let error = deadline.wait("cannot read", future::pending()).await.unwrap_err();
        assert_eq!(error.kind, ClientErrorKind::TimedOut);
    }
}
