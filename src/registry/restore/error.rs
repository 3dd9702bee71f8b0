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
    #[error("cannot restore {}: {why}", label(.path))]
    Unfit {
        /// Where, with nothing in it that a terminal could take for an order.
        path: String,
        /// Why.
        why: String,
    },
    /// What is there cannot be read.
    #[error("cannot read {}", label(.path))]
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

/// Names a path; the empty one is the root.
fn label(path: &str) -> String {
    if path.is_empty() { "the tree".to_owned() } else { format!("`{path}`") }
}

fn sentences(dropped: &[String]) -> String {
    dropped.iter().flat_map(|sentence| ["\n", sentence]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_has_a_name_and_a_path_gives_no_orders() {
        let whole = RestoreError::unfit("", "it has no end").to_string();
        assert_eq!(whole, "cannot restore the tree: it has no end");
        let path = RestoreError::unfit("a/\u{1b}[2J", "odd").to_string();
        assert_eq!(path, "cannot restore `a/\\u{1b}[2J`: odd");
    }
}
