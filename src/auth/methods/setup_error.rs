//! A sign-in method that cannot be opened: the setting, its file and the reason.

use std::path::PathBuf;

use thiserror::Error;

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
