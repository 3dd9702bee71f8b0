//! The acts that a client may be allowed or refused.

use crate::oci::RepositoryName;

/// What a client wants to do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Read it.
    Pull,
    /// Write to it.
    Push,
    /// Delete from it.
    Delete,
    /// Say who may see it. No scope of a token is about that.
    Visibility,
    /// Remove it with all that it has. No scope of such a token is about that either.
    Remove,
}

/// What a client wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act<'request> {
    /// Ask anything at all: each request below `/v2/` begins with this, whatever its path.
    Ask,
    /// Learn whether it is signed in (`GET /v2/`): a refusal tells clients how they could be.
    SignIn,
    /// List all repositories, of those that the caller may see.
    List,
    /// Read the metrics.
    Metrics,
    /// Do this with a repository whose name is yet to be read. What is refused here is refused for
    /// every name, so that a malformed one tells nothing to a stranger.
    Any(Action),
    /// Do this with that repository.
    On(Action, &'request RepositoryName),
}

impl Action {
    /// Returns its name, as scopes and events have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Visibility => "visibility",
            Self::Remove => "remove",
        }
    }
}

impl Act<'_> {
    /// Returns its name, as events have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask | Self::SignIn => "sign in",
            Self::List => "catalog",
            Self::Metrics => "metrics",
            Self::Any(action) | Self::On(action, _) => action.as_str(),
        }
    }
}
