//! How long somebody is waited for, who may be slow but not idle.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{RemoteError, RemoteErrorKind, Result};

/// How often it is looked whether enough came.
const WINDOW: Duration = Duration::from_secs(10);

/// How many bytes have to come within a window: what is slower is worth another source.
const LEAST: u64 = 64 * 1024;

/// What came within the current window.
pub(super) struct Progress {
    ends: Instant,
    came: u64,
}

impl Progress {
    pub(super) fn begin() -> Self {
        Self { ends: Instant::now() + WINDOW, came: 0 }
    }

    /// Waits for what comes next, as long as enough comes in all.
    ///
    /// # Errors
    /// [`RemoteErrorKind::TimedOut`]
    pub(super) async fn wait<T>(&mut self, next: impl Future<Output = T>) -> Result<T> {
        let stalled = || RemoteError::new(RemoteErrorKind::TimedOut, "too little comes");
        tokio::pin!(next);
        loop {
            match timeout_at(self.ends, &mut next).await {
                Ok(came) => return Ok(came),
                Err(_) if self.came < LEAST => return Err(stalled()),
                Err(_) => *self = Self::begin(),
            }
        }
    }

    /// Notes that so many bytes came.
    pub(super) fn note(&mut self, bytes: usize) {
        self.came += bytes as u64;
        if self.came >= LEAST {
            *self = Self::begin();
        }
    }
}
