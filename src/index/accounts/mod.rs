//! Accounts: users, robots, their tokens, what they own and may do; and the keys and the method of signing in.
//!
//! Callers are the identity providers and the policy, for reading, and the administration. Each change is one
//! transaction, with its event in it and durable when it returns, and raises the generation of the accounts
//! ([`Index::states`](super::Index::states)): what was read of accounts may be cached as long as that stays. Changes
//! follow one another, also those of different processes, so each decides on what the one before has left.
//!
//! What names, roles, patterns, scopes and hashes mean is not known here; the caller has parsed them. Who may make a
//! change is the caller's to decide as well. Rows refer to each other by number, and numbers are never given again.

mod bounds;
mod catalog;
mod change;
mod grants;
mod holders;
mod keys;
mod method;
mod namespace_removal;
mod namespaces;
mod principals;
mod quotas;
mod removal;
mod rights;
mod robots;
mod rows;
mod setup;
mod state;
mod teams;
mod tokens;
mod use_times;
mod users;
mod visible;

pub use bounds::{MOST_NAMESPACES, MOST_ROBOTS, MOST_ROLES};
pub use catalog::{CatalogFilter, SeenRepository};
pub use holders::SeenRepositories;
pub use rows::{
    AccessToken, Account, Added, Changed, FirstAdministrator, FoundToken, GrantFilter, GrantRow,
    Holder, NamespaceRemoval, NamespaceRow, NewAccessToken, NewGrant, NewRobot, NewSigningKey,
    NewUser, Principal, PrincipalFilter, PrincipalKind, Rights, RoleGrant, SigningKey, TeamRow,
    TokenFilter,
};
pub use setup::SetupCode;
pub use state::States;
pub(super) use use_times::TokenUses;
pub use visible::{PatternComponent, VisiblePattern};
