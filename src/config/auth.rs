//! Who may do what.

use std::path::PathBuf;

use super::{SettingsError, Values};

/// Who may do what.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// The way to sign in, by its name in the table of the auth room.
    pub method: &'static str,
    /// Whether open access may be offered to other machines; loading refuses it otherwise.
    pub allow_open: bool,
    /// For the method of that name.
    pub htpasswd: HtpasswdSettings,
}

/// Users and passwords in a file.
#[derive(Debug, Clone)]
pub struct HtpasswdSettings {
    /// The file; empty only where the method is another one.
    pub file: PathBuf,
    /// Whether everybody may pull.
    pub anonymous_pull: bool,
}

impl AuthSettings {
    /// Tells whether everybody may pull.
    #[must_use]
    pub fn lets_everybody_pull(&self) -> bool {
        self.method == "open" || self.htpasswd.anonymous_pull
    }

    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        let method = values.choice("auth.method")?;
        let file = values.path("auth.htpasswd.file")?;
        if method == "htpasswd" && file.is_none() {
            return Err(SettingsError::Needs {
                given: "auth.method = \"htpasswd\"",
                missing: "auth.htpasswd.file",
            });
        }
        Ok(Self {
            method,
            allow_open: values.flag("auth.allow_open"),
            htpasswd: HtpasswdSettings {
                file: file.unwrap_or_default(),
                anonymous_pull: values.flag("auth.htpasswd.anonymous_pull"),
            },
        })
    }
}
