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
    /// How long the body of an answer that is read into memory may take: a manifest, a page of a list, a token, the
    /// explanation of a failure, a blob or a part of one. The time begins anew with each 16 MiB. A server that
    /// sends a byte at a time is never silent: only this limit ends its answer. A blob that is streamed has no such limit:
    /// its reader decides how long it goes on.
    pub whole: Duration,
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
        let (connect, silence) = (Duration::from_secs(10), Duration::from_secs(30));
        // The largest page at 56 kB/s.
        Self { connect, answer, silence, whole: Duration::from_mins(5) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        // The stock registry takes manifests of up to 4 MiB.
        Self { manifest: 4 << 20, page: 16 << 20, entries: 1_000_000, blob: 1 << 40 }
    }
}
