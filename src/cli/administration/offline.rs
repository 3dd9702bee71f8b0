//! Accounts of a data folder, without a server.

use secrecy::SecretString;

use super::CommonArguments;
use crate::accounts::Administration;
use crate::app::{OfflineAccounts, expect_registry};
use crate::config::Settings;

/// Gives a user another password.
pub(super) async fn set_password(
    common: &CommonArguments,
    name: &str,
    password: SecretString,
) -> anyhow::Result<()> {
    let settings = Settings::load(&common.sources(Vec::new()))?;
    expect_registry(&settings)?;
    let accounts = OfflineAccounts::open(&settings).await?;
    let operator = Administration::operator();
    Ok(accounts.administration.set_password(&operator, name, password).await?)
}
