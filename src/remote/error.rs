//! Failures to read from a foreign registry.

use std::error::Error;
use std::fmt;

use cid::Cid;

use crate::ipld::{CarError, DecodeError, TraversalError, hash_name};

/// The message of a read that has no source to fetch from.
pub(super) const NO_SOURCE: &str =
    "no source for this root: set `federation.gateways` or `federation.kubo.api`";

/// A failure to read under a foreign root: its kind says whose fault it is.
#[derive(Debug)]
pub struct RemoteError {
    /// Whose fault it is.
    pub kind: RemoteErrorKind,
    /// What happened.
    pub context: String,
    /// Whether a connection broke on the way.
    broke_off: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Whose fault a failure is. Of several sources' failures the greatest is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RemoteErrorKind {
    /// There is no source.
    NoSource,
    /// The source does not have it, which proves nothing.
    Absent,
    /// The source cannot be reached, or broke off.
    Unreachable,
    /// The source took too long.
    TimedOut,
    /// The clients that waited for it went away.
    Abandoned,
    /// It cannot be had now, but may be had later: too much is read at once, or the source is slow.
    Busy,
    /// The answer does not match the request, or is no registry.
    Invalid,
    /// This machine has no space for it.
    Full,
    /// Something of this machine failed.
    Failed,
}

impl RemoteError {
    /// Makes an error that has no cause of its own.
    pub fn new(kind: RemoteErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), broke_off: false, source: None }
    }

    /// Makes an error of that kind with a cause.
    pub fn wrap(
        kind: RemoteErrorKind,
        context: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, context: context.into(), broke_off: false, source: Some(source.into()) }
    }

    /// The same failure, and whether a broken connection is its cause.
    pub(super) fn breaking_off(self, broke_off: bool) -> Self {
        Self { broke_off, ..self }
    }

    /// Returns whether a connection broke: a retry at the same source may well succeed.
    pub(super) fn broke_off(&self) -> bool {
        self.broke_off
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.context)
    }
}

impl Error for RemoteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

impl From<TraversalError> for RemoteError {
    fn from(error: TraversalError) -> Self {
        let what = match &error {
            TraversalError::Unsupported(cid) => unsupported(cid),
            TraversalError::Decode { source: source @ DecodeError::Unsupported(_), .. } => {
                format!("cannot read the content below the root: {source}")
            }
            _ => "the blocks below the root are invalid".to_owned(),
        };
        Self::wrap(RemoteErrorKind::Invalid, what, error)
    }
}

impl From<CarError> for RemoteError {
    fn from(error: CarError) -> Self {
        match error {
            CarError::Truncated => {
                let what = "the archive ended early";
                Self::wrap(RemoteErrorKind::Unreachable, what, error).breaking_off(true)
            }
            CarError::Unsupported(ref cid) => {
                Self::wrap(RemoteErrorKind::Invalid, unsupported(cid), error)
            }
            _ => Self::wrap(RemoteErrorKind::Invalid, "the archive is invalid", error),
        }
    }
}

/// Says why a block of that name is not read.
fn unsupported(cid: &Cid) -> String {
    match hash_name(cid) {
        Some(name) => format!("blocks hashed with {name} are not supported, only sha2-256"),
        None => {
            format!("blocks of codec {:#x} are not supported, only raw and dag-pb", cid.codec())
        }
    }
}

/// The result of every operation of this room.
pub type Result<T> = std::result::Result<T, RemoteError>;
