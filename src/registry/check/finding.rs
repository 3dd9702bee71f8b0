//! One thing that a check found wrong.

use std::error::Error;

use serde::Serialize;

use crate::storage::StorageError;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// A path below the data folder, or the name of what it is about.
    pub about: String,
    /// What is wrong, as a sentence.
    pub what: String,
}

/// Says what prevented something from being read, with its cause.
pub(super) fn cannot_read(error: &StorageError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("cannot read it: {error}{cause}")
}
