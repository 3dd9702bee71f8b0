//! What can go wrong with the storage.

use std::error::Error;
use std::{fmt, io};

/// A failure of the storage: its kind says what a caller can do about it.
#[derive(Debug)]
pub struct StorageError {
    /// What a caller can do about it.
    pub kind: StorageErrorKind,
    /// What was being done, to what.
    pub context: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What a caller can do about a failure of the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// It is not there.
    NotFound,
    /// The content has another digest than was expected.
    DigestMismatch,
    /// There is no space: try again when there is.
    Full,
    /// There was no space, and it takes nothing until there is some and it was started again.
    Stuck,
    /// It can only be read: try again when it was mended.
    ReadOnly,
    /// The storage does not answer: try again.
    Unavailable,
    /// What is stored is not what was stored.
    Damaged,
    /// It cannot be used as it is; the context says why.
    Unusable,
    /// Anything else.
    Failed,
}

impl StorageError {
    /// Makes an error that has no cause of its own.
    pub fn new(kind: StorageErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// Wraps a failure of the file system; its kind follows from the cause.
    pub fn io(context: impl Into<String>, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::NotFound => StorageErrorKind::NotFound,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageErrorKind::Full,
            io::ErrorKind::ReadOnlyFilesystem => StorageErrorKind::ReadOnly,
            _ => StorageErrorKind::Failed,
        };
        Self { kind, context: context.into(), source: Some(Box::new(source)) }
    }

    /// Makes an error of that kind with a cause.
    pub fn wrap(
        kind: StorageErrorKind,
        context: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, context: context.into(), source: Some(source.into()) }
    }

    /// Returns whether it is a lack of permission: another user may be allowed what this one is not.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        let source = self.source.as_ref().and_then(|source| source.downcast_ref::<io::Error>());
        source.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Tells whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        use StorageErrorKind::{Full, ReadOnly, Stuck, Unavailable};

        matches!(self.kind, Full | Stuck | ReadOnly | Unavailable)
    }

    /// Returns whether it is a lack of space.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.kind, StorageErrorKind::Full | StorageErrorKind::Stuck)
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            StorageErrorKind::NotFound => "not found in the storage",
            StorageErrorKind::DigestMismatch => "the digest does not match",
            StorageErrorKind::Full | StorageErrorKind::Stuck => "the storage is full",
            StorageErrorKind::ReadOnly => "the storage is read-only",
            StorageErrorKind::Unavailable => "the storage is not available",
            StorageErrorKind::Damaged => "the storage is damaged",
            StorageErrorKind::Unusable => "cannot use the storage",
            StorageErrorKind::Failed => "the storage failed",
        };
        write!(formatter, "{what}: {}", self.context)
    }
}

impl Error for StorageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
