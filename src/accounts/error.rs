//! Why an act of administration was not done.

use thiserror::Error;

use crate::auth::AuthError;
use crate::index::IndexError;

/// What every act returns.
pub type Result<T> = std::result::Result<T, AdministrationError>;

/// Why an act of administration was not done. Each text says what to do, but for the last one, whose cause is for the log.
#[derive(Debug, Error)]
pub enum AdministrationError {
    /// The caller has no account.
    #[error("cannot do that without an account: sign in as a user")]
    SignedOut,
    /// The caller may not do it.
    #[error("{0}")]
    Denied(String),
    /// Something that it names is not there, or the caller may not see it.
    #[error("{0}")]
    Unknown(String),
    /// The name cannot be had, or the state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// What was given cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// Too many passwords wait to be hashed.
    #[error(transparent)]
    Busy(#[from] AuthError),
    /// The index failed.
    #[error("the index failed")]
    Index(#[from] IndexError),
}

impl AdministrationError {
    pub(super) fn denied(text: impl Into<String>) -> Self {
        Self::Denied(text.into())
    }

    pub(super) fn unknown(text: impl Into<String>) -> Self {
        Self::Unknown(text.into())
    }

    /// The one answer for a name that is taken, was taken, is reserved or belongs to others.
    pub(super) fn taken(doing: &str, name: &str) -> Self {
        Self::Conflict(format!(
            "cannot {doing} `{name}`: the name is taken or reserved; use another one"
        ))
    }

    pub(super) fn invalid(doing: &str, why: impl std::fmt::Display) -> Self {
        Self::Invalid(format!("cannot {doing}: {why}"))
    }
}
