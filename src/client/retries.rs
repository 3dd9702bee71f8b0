//! How often what a network cut is tried again: as long as each try brings something, and a few times if none does.

use std::time::Duration;

use super::error::{ClientError, Result};

/// How many tries in a row may bring nothing.
const FRUITLESS: u32 = 5;

/// The pause before the first repetition; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest pause that a registry gets. One that wants a longer one is not tried again.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Counts tries.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    fruitless: u32,
    reached: u64,
}

impl Retries {
    /// Waits before the next try. `reached` is how far the transfer has come.
    ///
    /// # Errors
    /// The failure itself if trying again brings nothing.
    pub(crate) async fn pause(&mut self, error: ClientError, reached: u64) -> Result<()> {
        if reached > self.reached {
            self.reached = reached;
            self.fruitless = 0;
        }
        self.fruitless += 1;
        let is_long = error.retry_after.is_some_and(|pause| pause > LONGEST_PAUSE);
        if self.fruitless > FRUITLESS || is_long {
            return Err(error);
        }
        let pause = PAUSE * 2_u32.pow(self.fruitless - 1);
        tokio::time::sleep(error.retry_after.unwrap_or(pause)).await;
        Ok(())
    }
}
