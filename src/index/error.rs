//! What can go wrong with the index.

use std::error::Error;
use std::fmt;

use super::quota::QuotaExceeded;

/// What every operation of this room returns.
pub type Result<T> = std::result::Result<T, IndexError>;

/// A failure of the index: its kind says what a caller can do about it.
#[derive(Debug)]
pub struct IndexError {
    /// What a caller can do about it.
    pub kind: IndexErrorKind,
    /// What was being done.
    pub context: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What a caller can do about a failure of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexErrorKind {
    /// The database cannot be reached, or is busy: try again.
    Unavailable,
    /// There is no room for what was to be written: try again when there is.
    Full,
    /// The database can be read, but not written to: try again when that was mended.
    ReadOnly,
    /// The database was made by a newer version of this program.
    Newer,
    /// The database has the schema of an older version, and may not be changed.
    Older,
    /// A stored row cannot be read, or the database is damaged.
    Damaged,
    /// A namespace would have more than its quota allows, as [`IndexError::exceeded`] says.
    OverQuota,
    /// The repository that something was to be given to was removed meanwhile.
    Removed,
    /// Anything else.
    Failed,
}

impl IndexError {
    /// Wraps a cause.
    pub fn new(
        kind: IndexErrorKind,
        context: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, context, source: Some(source.into()) }
    }

    /// Returns which quota is exceeded, if that is what is wrong.
    #[must_use]
    pub fn exceeded(&self) -> Option<&QuotaExceeded> {
        self.source.as_ref()?.downcast_ref()
    }

    /// Tells whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        use IndexErrorKind::{Full, ReadOnly, Unavailable};

        matches!(self.kind, Full | ReadOnly | Unavailable)
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            IndexErrorKind::Unavailable => "the index is not available",
            IndexErrorKind::Full => "the index is full",
            IndexErrorKind::ReadOnly => "the index is read-only",
            IndexErrorKind::Newer => "the index was written by a newer version of Roadstead",
            IndexErrorKind::Older => "the index was written by an older version of Roadstead",
            IndexErrorKind::Damaged => "the index is damaged; run `roadstead index rebuild`",
            IndexErrorKind::OverQuota => "a quota is exceeded",
            IndexErrorKind::Removed => "the repository was removed",
            IndexErrorKind::Failed => "the index failed",
        };
        write!(formatter, "{what} ({})", self.context)
    }
}

impl Error for IndexError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl From<QuotaExceeded> for IndexError {
    fn from(exceeded: QuotaExceeded) -> Self {
        Self::new(IndexErrorKind::OverQuota, "storing a blob", exceeded)
    }
}
