//! What a collection came to.

use serde::{Deserialize, Serialize};

/// What a collection took, or would take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Collected {
    /// Whether nothing was taken: what is here would have been.
    pub dry_run: bool,
    /// When it began, in milliseconds since the Unix epoch, by the clock of the index.
    pub began: i64,
    /// How long it took.
    pub milliseconds: u64,
    /// How many blobs of repositories were old enough to be looked at again.
    pub candidates: u64,
    /// Uploads that had expired.
    pub uploads: u64,
    /// Blobs that were taken from a repository, each once for each repository.
    pub links: u64,
    /// Content that no repository had any more.
    pub blobs: Amount,
    /// Manifests that were deleted or refused.
    pub manifests: Amount,
    /// Content that was stored and in no index, as a crash leaves it; its bytes are not counted.
    pub leaks: u64,
    /// What stays although nothing names it, and why.
    pub retained: Vec<Retained>,
}

/// How many of something, and how many bytes these have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retained {
    /// Why: `grace`, `roots`, `uploads`.
    pub reason: String,
    /// How much.
    #[serde(flatten)]
    pub amount: Amount,
}

impl Amount {
    pub(super) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

impl Collected {
    /// Returns how many bytes went, or would.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blobs.bytes.saturating_add(self.manifests.bytes)
    }

    /// Tells whether there was nothing to take.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { uploads, links, blobs, manifests, leaks, .. } = self;
        *uploads == 0 && *links == 0 && blobs.count == 0 && manifests.count == 0 && *leaks == 0
    }
}
