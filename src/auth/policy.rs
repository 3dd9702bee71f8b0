//! Policies: which caller may do what.

use async_trait::async_trait;

use super::accounts::State;
use super::{Act, Action, Caller, Decision};

/// Decides which caller may do what. What a token is good for is not its business.
#[async_trait]
pub trait Policy: Send + Sync {
    /// Decides about one act. `state` is what is known of the repository that it is about; of one that is about no
    /// repository it says nothing.
    async fn decide(&self, caller: &Caller, act: Act<'_>, state: State) -> Decision;
}

/// All clients may do everything.
pub(super) struct Open;

#[async_trait]
impl Policy for Open {
    async fn decide(&self, _: &Caller, _: Act<'_>, _: State) -> Decision {
        Decision::Allow
    }
}

/// Each user may do everything, and anonymous clients nothing, or nothing but pull.
pub(super) struct EveryUser {
    pub(super) anonymous_pull: bool,
}

#[async_trait]
impl Policy for EveryUser {
    async fn decide(&self, caller: &Caller, act: Act<'_>, _: State) -> Decision {
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
    async fn decide(&self, caller: &Caller, _: Act<'_>, _: State) -> Decision {
        if caller.scopes.is_some() { Decision::Allow } else { Decision::Challenge }
    }
}
