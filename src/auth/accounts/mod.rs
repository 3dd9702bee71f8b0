//! Accounts as plain values: names, roles, patterns, what a holder of rights may do, the scopes of access tokens and their
//! text. A sign-in method makes [`Rights`] of what the index says and asks them about each request, so that what was
//! taken away is refused at the next one.
//!
//! Nothing here reads or writes anything, nor knows of the index: the answers follow from the arguments alone.

mod access_token;
mod bounds;
#[cfg(test)]
mod decisions;
mod name;
mod pattern;
mod rights;
mod role;
mod scopes;
mod target;

pub use access_token::{AccessToken, AccessTokenError, TokenHash, TokenId};
pub use bounds::{Bound, Bounded, TooWide};
pub use name::{AccountName, AccountNameError, Namespace};
pub use pattern::{Pattern, PatternError};
pub use rights::{Grant, Rights};
pub use role::{Permission, Role, WordError};
pub use scopes::{Scope, ScopeError, ServerAct, TokenScopes};
pub use target::{CreateRule, Rules, State, Target};
