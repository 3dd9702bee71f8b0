//! Why a registry was not restored.

use thiserror::Error;

use super::super::RegistryError;
use crate::index::IndexError;
use crate::remote::RemoteError;
use crate::storage::{StorageError, TreePath};

/// Why a registry was not restored.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// What is below the root is not what a registry has.
    #[error("`{path}` cannot be taken: {why}")]
    Unfit {
        /// Where, with nothing in it that a terminal could take for an order.
        path: String,
        /// Why.
        why: String,
    },
    /// What stands there cannot be read.
    #[error("`{path}` cannot be read")]
    Unread {
        /// Where, with nothing in it that a terminal could take for an order.
        path: String,
        /// Why.
        source: RemoteError,
    },
    /// All of it was taken, and is not the same.
    #[error("the root would be {found}, not {expected}{}", sentences(.dropped))]
    Differs {
        /// The root that was to be.
        expected: String,
        /// The one that it is.
        found: String,
        /// What was not whole, a sentence each.
        dropped: Vec<String>,
    },
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// What every part of a restoration returns.
pub(super) type Result<T> = std::result::Result<T, RestoreError>;

impl RestoreError {
    pub(super) fn unfit(path: &str, why: impl Into<String>) -> Self {
        Self::Unfit { path: path.escape_debug().to_string(), why: why.into() }
    }

    pub(super) fn unread(path: &TreePath, source: RemoteError) -> Self {
        Self::Unread { path: path.as_str().escape_debug().to_string(), source }
    }
}

impl From<StorageError> for RestoreError {
    fn from(error: StorageError) -> Self {
        Self::Registry(error.into())
    }
}

impl From<IndexError> for RestoreError {
    fn from(error: IndexError) -> Self {
        Self::Registry(error.into())
    }
}

fn sentences(dropped: &[String]) -> String {
    dropped.iter().flat_map(|sentence| ["\n", sentence]).collect()
}
