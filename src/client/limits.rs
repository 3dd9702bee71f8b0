//! How long a client waits, and how much it reads.

use std::time::Duration;

/// Time limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// How long a connection may take.
    pub connect: Duration,
    /// How long an answer may take to begin, counted from when the connection took the last bytes of the request.
    pub answer: Duration,
    /// How long an answer may pause once it has begun.
    pub silence: Duration,
}

/// Limits to the size of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest manifest in bytes.
    pub manifest: usize,
    /// The largest page of a list in bytes; all pages together may have four times as many.
    pub page: usize,
    /// The most entries of a list, over all pages.
    pub entries: usize,
    /// The largest blob in bytes.
    pub blob: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        // Registries that store blobs elsewhere copy them before they answer a PUT.
        let answer = Duration::from_mins(3);
        Self { connect: Duration::from_secs(10), answer, silence: Duration::from_secs(30) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        // The stock registry takes manifests of up to 4 MiB.
        Self { manifest: 4 << 20, page: 16 << 20, entries: 1_000_000, blob: 1 << 40 }
    }
}
