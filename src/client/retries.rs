//! How often what a network cut is tried again: as long as each try brings something, and a few times if none does.

use std::time::Duration;

use super::error::{ClientError, Result};

/// How many tries in a row may bring nothing.
const FRUITLESS: u32 = 5;

/// The pause before the first repetition; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// Counts tries.
#[derive(Debug, Default)]
pub(super) struct Retries {
    fruitless: u32,
    reached: u64,
}

impl Retries {
    /// Waits before the next try. `reached` is how far the transfer has come.
    ///
    /// # Errors
    /// The failure itself if trying again brings nothing.
    pub(super) async fn pause(&mut self, error: ClientError, reached: u64) -> Result<()> {
        if reached > self.reached {
            self.reached = reached;
            self.fruitless = 0;
        }
        self.fruitless += 1;
        if self.fruitless > FRUITLESS {
            return Err(error);
        }
        let pause = PAUSE * 2_u32.pow(self.fruitless - 1);
        tokio::time::sleep(error.retry_after.unwrap_or(pause)).await;
        Ok(())
    }
}
