//! The ways to sign in: one file and one row each.

mod htpasswd;
mod open;

use std::path::PathBuf;

use thiserror::Error;

use super::AccessControl;
use crate::config::AuthSettings;

/// A way to sign in: one row of [`METHODS`].
pub struct Method {
    /// As the setting `auth.method` names it.
    pub name: &'static str,
    /// Makes it, from its own section of the settings and a key that all processes of the registry have.
    pub open: fn(&AuthSettings, &[u8; 32]) -> Opened,
}

/// What comes of opening a way to sign in.
pub type Opened = Result<AccessControl, SetupError>;

/// Every way to sign in.
pub const METHODS: &[Method] =
    &[Method { name: "open", open: open::open }, Method { name: "htpasswd", open: htpasswd::open }];

/// Opens the way of `open`, for tests of rooms that know no settings.
#[cfg(test)]
pub(crate) use open::access_control as open_to_all;

/// Why a way to sign in cannot be had.
#[derive(Debug, Error)]
#[error("cannot use the file {} of `{setting}`: {reason}", .file.display())]
pub struct SetupError {
    /// The setting that names the file.
    pub setting: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it, and on which line.
    pub reason: String,
}
