//! Users, robots and their rights, in the index.

use std::time::Duration;

use secrecy::SecretString;

use super::{SettingsError, Values};
use crate::oci::Visibility;

const DAY: Duration = Duration::from_hours(24);

/// Users, robots and their rights, in the index.
#[derive(Debug, Clone)]
pub struct AccountsSettings {
    /// The name of the first administrator.
    pub admin: String,
    /// Its password; empty: a code is printed by which it is made.
    pub admin_password: SecretString,
    /// Who may see a new repository.
    pub default_visibility: Visibility,
    /// Who creates repositories, as the auth room names it.
    pub create: &'static str,
    /// The algorithm that tokens are signed with, as the auth room names it.
    pub token_algorithm: &'static str,
    /// How old a key gets that tokens are signed with.
    pub key_rotation: Duration,
}

impl AccountsSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        let name = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let visibility = "auth.accounts.default_visibility";
        Ok(Self {
            admin: values.parse("auth.accounts.admin", name)?,
            admin_password: values.secret("auth.accounts.admin_password", |_| true)?,
            default_visibility: values.parse(visibility, |text| text.parse().ok())?,
            create: values.choice("auth.accounts.create")?,
            token_algorithm: values.choice("auth.accounts.token_algorithm")?,
            key_rotation: values
                .duration("auth.accounts.key_rotation")
                .ok()
                .filter(|it| (DAY..=3650 * DAY).contains(it))
                .ok_or_else(|| values.refuse("auth.accounts.key_rotation"))?,
        })
    }
}
