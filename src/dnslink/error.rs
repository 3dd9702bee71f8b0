//! Failures to resolve a name.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// A failure to find a root: its kind says what a caller can do about it. It is cached for a while and
/// returned to all callers that resolve the same name, so it can be cloned.
#[derive(Debug, Clone)]
pub struct DnslinkError {
    /// What a caller can do about it.
    pub kind: DnslinkErrorKind,
    /// Which name, and what failed.
    pub context: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// Why no name can be looked up at all: a file of the settings cannot be used.
#[derive(Debug, Error)]
#[error("cannot use the file {} of `{setting}`: {source}", .path.display())]
pub struct SetupError {
    /// The setting that names the file.
    pub setting: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: Box<dyn Error + Send + Sync>,
}

/// What a caller can do about a failure to find a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnslinkErrorKind {
    /// The name has no record: its owner publishes nothing there.
    NotFound,
    /// The name has records, but none that is valid.
    Invalid,
    /// No server gives a credible answer: try again.
    Unavailable,
    /// Too many new names were looked up for the client, or for all of them: try again later.
    TooMany,
    /// The name leads back to itself.
    Loop,
    /// The name leads through more others than the limit.
    TooLong,
}

impl DnslinkError {
    /// Makes an error that has no cause of its own.
    ///
    /// ```
    /// use roadstead::dnslink::{DnslinkError, DnslinkErrorKind};
    ///
    /// let error = DnslinkError::new(DnslinkErrorKind::Loop, "example.com");
    /// assert!(error.to_string().ends_with("its links form a loop: example.com"));
    /// ```
    pub fn new(kind: DnslinkErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// Makes an error of that kind with a cause.
    ///
    /// ```
    /// use std::error::Error;
    /// use roadstead::dnslink::{DnslinkError, DnslinkErrorKind};
    ///
    /// let cause = std::io::Error::other("unplugged");
    /// let error = DnslinkError::wrap(DnslinkErrorKind::Unavailable, "example.com", cause);
    /// assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("unplugged"));
    /// ```
    pub fn wrap(
        kind: DnslinkErrorKind,
        context: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let source: Box<dyn Error + Send + Sync> = source.into();
        Self { kind, context: context.into(), source: Some(source.into()) }
    }

    /// Returns whether the same call may succeed later without a change of the records.
    ///
    /// ```
    /// use roadstead::dnslink::{DnslinkError, DnslinkErrorKind};
    ///
    /// assert!(DnslinkError::new(DnslinkErrorKind::Unavailable, "example.com").is_retryable());
    /// assert!(!DnslinkError::new(DnslinkErrorKind::Loop, "example.com").is_retryable());
    /// ```
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind == DnslinkErrorKind::Unavailable
    }
}

impl fmt::Display for DnslinkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DnslinkErrorKind::NotFound => return formatter.write_str(&self.context),
            DnslinkErrorKind::Invalid => "no valid record",
            DnslinkErrorKind::Unavailable => "cannot resolve the name",
            DnslinkErrorKind::TooMany => {
                "cannot resolve the name: too many new names; try again later"
            }
            DnslinkErrorKind::Loop => "cannot resolve the name: its links form a loop",
            DnslinkErrorKind::TooLong => "cannot resolve the name: too many links",
        };
        write!(formatter, "{what}: {}", self.context)
    }
}

impl Error for DnslinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
