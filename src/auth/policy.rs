//! Policies: which caller may do what.

use async_trait::async_trait;

use super::{Act, Action, Caller};

/// What a policy says about an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The caller may do it.
    Allow,
    /// The caller has to sign in as a user who may.
    Challenge,
    /// The caller may not learn whether the repository is there.
    Hidden,
    /// The caller may not do it; the sentence says why.
    Denied(String),
}

/// Decides which caller may do what. What a token is good for is not its business.
#[async_trait]
pub trait Policy: Send + Sync {
    /// Decides about one act.
    async fn decide(&self, caller: &Caller, act: Act<'_>) -> Decision;
}

/// All clients may do everything.
pub(super) struct Open;

#[async_trait]
impl Policy for Open {
    async fn decide(&self, _: &Caller, _: Act<'_>) -> Decision {
        Decision::Allow
    }
}

/// Each user may do everything, and anonymous clients nothing, or nothing but pull.
pub(super) struct EveryUser {
    pub(super) anonymous_pull: bool,
}

#[async_trait]
impl Policy for EveryUser {
    async fn decide(&self, caller: &Caller, act: Act<'_>) -> Decision {
        let is_pull = matches!(act, Act::Ask | Act::Any(Action::Pull) | Act::On(Action::Pull, _));
        if !caller.is_anonymous() || (is_pull && self.anonymous_pull) {
            Decision::Allow
        } else {
            Decision::Challenge
        }
    }
}

/// The bearer of a token may do what the token is good for, which is not decided here; all others may do nothing.
pub(super) struct EveryToken;

#[async_trait]
impl Policy for EveryToken {
    async fn decide(&self, caller: &Caller, _: Act<'_>) -> Decision {
        if caller.scopes.is_some() { Decision::Allow } else { Decision::Challenge }
    }
}
