//! The state of the index and that of the accounts, read at once.

use super::super::generation::{self, AccountsState};
use super::super::{Index, Result};
use crate::oci::IndexState;

/// What a request sees before it looks anything up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct States {
    /// The state of the index, for [`Index::repository_as_of`]; none where the index does not say.
    pub index: Option<IndexState>,
    /// The state of the accounts: it differs once any of them was changed. What is cached of accounts counts for requests
    /// that see the state under which it was read; that state has to be seen first and the rows read after it.
    pub accounts: AccountsState,
}

impl Index {
    /// Reads both states. Where processes share a server, one query serves all requests that wait at the same time, and
    /// it is made after this call: every change that was acknowledged before is in both.
    pub async fn states(&self) -> Result<States> {
        let seen = self.generation.seen_both().await?;
        let accounts = match seen.accounts {
            Some(accounts) => accounts,
            None => AccountsState::new(0, generation::accounts(&mut self.read().await?).await?),
        };
        Ok(States { index: seen.index, accounts })
    }
}
