//! The accounts of a data folder, for commands that work without a server.

use std::sync::Arc;

use super::lock::DataLock;
use super::{AppError, open_index, origin};
use crate::accounts::Administration;
use crate::auth::accounts::{CreateRule, Rules};
use crate::auth::passwords::{Bounds, Checks};
use crate::config::Settings;
use crate::index::Access;

/// The accounts of a data folder, which no other process has.
pub struct OfflineAccounts {
    /// What can be done to them.
    pub administration: Administration,
    _lock: DataLock,
}

impl OfflineAccounts {
    /// Takes the data folder.
    ///
    /// # Errors
    /// [`AppError::Locked`] while another process has the folder; whatever keeps the index from being opened.
    pub async fn open(settings: &Settings) -> Result<Self, AppError> {
        let lock = DataLock::take(&settings.server.data)?;
        origin::expect_done(&settings.server.data)?;
        let index = open_index(settings, Access::Full).await?;
        let checks = Arc::new(Checks::new(Bounds::of_accounts(settings.auth.sign_ins)));
        // Who has the folder may do everything, so no rule of these is met.
        let rules = Rules { create: CreateRule::Users, anonymous_foreign: false };
        Ok(Self { administration: Administration::new(index, checks, rules), _lock: lock })
    }
}
