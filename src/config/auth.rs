//! Who may do what.

use super::{SettingsError, Values};

/// Who may do what.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// The way to sign in, by its name in the table of the auth room.
    pub method: &'static str,
    /// Whether open access may be offered to other machines; loading refuses it otherwise.
    pub allow_open: bool,
}

impl AuthSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self {
            method: values.choice("auth.method")?,
            allow_open: values.flag("auth.allow_open"),
        })
    }
}
