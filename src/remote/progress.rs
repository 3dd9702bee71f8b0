//! Time limits for a source, which may be slow but not idle.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{RemoteError, RemoteErrorKind, Result};

/// The time limits of a source.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// How long the head of an answer may take.
    pub answer: Duration,
    /// How often the number of bytes is checked.
    pub window: Duration,
    /// How many bytes have to come within a window: a slower source is replaced.
    pub least: usize,
}

impl Default for Timeouts {
    fn default() -> Self {
        let (answer, window) = (Duration::from_secs(15), Duration::from_secs(10));
        Self { answer, window, least: 64 * 1024 }
    }
}

/// The bytes that came within the current window.
pub(super) struct Progress {
    timeouts: Timeouts,
    ends: Instant,
    /// Since when the reader has not waited.
    away: Instant,
    came: usize,
}

impl Progress {
    pub(super) fn begin(timeouts: Timeouts) -> Self {
        let now = Instant::now();
        Self { timeouts, ends: now + timeouts.window, away: now, came: 0 }
    }

    /// Waits for what comes next, as long as enough comes in all.
    ///
    /// # Errors
    /// [`RemoteErrorKind::TimedOut`]
    pub(super) async fn wait<T>(&mut self, next: impl Future<Output = T>) -> Result<T> {
        // The time that the reader was away does not count against the source.
        self.ends += self.away.elapsed();
        let came = timeout_at(self.ends, next).await;
        self.away = Instant::now();
        came.map_err(|_| RemoteError::new(RemoteErrorKind::TimedOut, "the source is too slow"))
    }

    /// Notes that so many bytes came.
    pub(super) fn note(&mut self, bytes: usize) {
        self.came += bytes;
        if self.came >= self.timeouts.least {
            *self = Self::begin(self.timeouts);
        }
    }

    /// Notes that a block came that was requested alone: each takes a round trip, however small it is.
    pub(super) fn note_block(&mut self, bytes: usize) {
        self.note(bytes.max(self.timeouts.least / 8));
    }
}
