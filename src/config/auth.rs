//! Who may do what.

use std::path::PathBuf;
use std::time::Duration;

use super::{SettingsError, Values};

/// Who may do what.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// The way to sign in, by its name in the table of the auth room.
    pub method: &'static str,
    /// Whether open access may be offered to other machines; loading refuses it otherwise.
    pub allow_open: bool,
    /// How many passwords are checked.
    pub sign_ins: SignInSettings,
    /// For the method of that name.
    pub htpasswd: HtpasswdSettings,
}

/// How many passwords are checked.
#[derive(Debug, Clone, Copy)]
pub struct SignInSettings {
    /// How many may wait.
    pub waiting: usize,
    /// How many of them may be of one client.
    pub per_client: usize,
    /// How many wrong ones a client may send until it has to pause.
    pub wrong_passwords: u32,
    /// How long it pauses at the most.
    pub longest_pause: Duration,
}

impl SignInSettings {
    fn read(values: &Values) -> Result<Self, SettingsError> {
        let number = |name: &str, most: u32| {
            let number = u32::try_from(values.number(name)).ok();
            number.filter(|number| (1..=most).contains(number)).ok_or_else(|| values.refuse(name))
        };
        let longest_pause = "auth.sign_ins.longest_pause";
        Ok(Self {
            waiting: number("auth.sign_ins.waiting", 10_000)? as usize,
            per_client: number("auth.sign_ins.per_client", 10_000)? as usize,
            wrong_passwords: number("auth.sign_ins.wrong_passwords", 1_000_000)?,
            longest_pause: values
                .positive_duration(longest_pause)
                .ok()
                .filter(|pause| *pause <= Duration::from_mins(10))
                .ok_or_else(|| values.refuse(longest_pause))?,
        })
    }
}

/// Users and passwords in a file.
#[derive(Debug, Clone)]
pub struct HtpasswdSettings {
    /// The file; empty only where the method is another one.
    pub file: PathBuf,
    /// Whether all clients may pull.
    pub anonymous_pull: bool,
}

impl AuthSettings {
    /// Returns whether all clients may pull.
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
            sign_ins: SignInSettings::read(values)?,
            htpasswd: HtpasswdSettings {
                file: file.unwrap_or_default(),
                anonymous_pull: values.flag("auth.htpasswd.anonymous_pull"),
            },
        })
    }
}
