//! What a check found to mend, and what came of it.

use std::error::Error;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::super::Result;
use crate::oci::{CanonicalDigest, RepositoryName};
use crate::storage::StorageError;

/// What a check found to mend. Whoever mends it looks again before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Content is missing, has other bytes, or is not what the trees link to.
    Content(CanonicalDigest),
    /// A tree lacks names of a repository.
    Names(RepositoryName),
}

/// One thing that was wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// A path below the data folder, or the name of what it is about.
    pub about: String,
    /// What is or was wrong, as a sentence.
    pub what: String,
}

/// What came of mending one thing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// What was mended.
    pub done: Vec<Finding>,
    /// What was not, and why.
    pub left: Vec<Finding>,
}

impl Mended {
    pub(super) fn done(about: &str, what: impl Into<String>) -> Self {
        let finding = Finding { about: about.to_owned(), what: what.into() };
        Self { done: vec![finding], left: Vec::new() }
    }

    pub(super) fn left(about: &str, why: impl Into<String>) -> Self {
        let finding = Finding { about: about.to_owned(), what: why.into() };
        Self { done: Vec::new(), left: vec![finding] }
    }
}

/// Says what prevented something from being read, with its cause.
pub(in crate::registry) fn cannot_read(error: &StorageError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("cannot read it: {error}{cause}")
}

/// Who mends: this process, or the server that runs on the data folder.
#[async_trait]
pub trait Mender: Send + Sync {
    /// Mends one thing, as far as that is possible. Repeating it succeeds.
    ///
    /// # Errors
    /// Those that prevent the next thing from being mended, too.
    async fn mend(&self, fault: &Fault) -> Result<Mended>;
}
