//! Users and robots of the index, with rights by repository: what a caller may do is read at the beginning of each request.
//!
//! Clients sign in with a password, an access token in its stead, a token of this registry's token service, or, as the
//! user `oidc`, with a token of a workload's issuer. Where accounts are is a [`Directory`]; what it says is cached as long
//! as the state of the accounts is the same, so what was taken away is refused at the next request, on every replica.

mod directory;
mod policy;
mod provider;
mod remembered;
mod resolver;
mod tokens;

use std::sync::Arc;

use super::super::AccessControl;
use super::super::accounts::Rules;
use super::super::passwords::PasswordHash;
use super::super::signed::VerifiedTokens;
use super::super::workloads::Workloads;
use super::{AuthContext, SetupError};
use crate::config::AuthSettings;
use policy::ByRights;
use provider::Accounts;
use resolver::Resolver;
use tokens::Tokens;

pub use directory::{
    Directory, NoDirectory, PrincipalKind, StoredKey, StoredPassword, StoredPrincipal, StoredToken,
    Unavailable,
};
pub use tokens::LONGEST_TOKEN;

/// Makes the method. Files of workloads' issuers have to be good now; accounts and keys are read when they are needed.
pub(super) fn open(
    settings: &AuthSettings,
    context: &AuthContext<'_>,
) -> Result<AccessControl, SetupError> {
    let workloads = Workloads::open(&settings.workloads, context.open_fetcher)?;
    let provider = Accounts {
        checks: Arc::clone(context.checks),
        tokens: Tokens::new(settings),
        resolver: Resolver::new(Arc::clone(context.directory), workloads),
        verified: Arc::default(),
        bearers: VerifiedTokens::default(),
        no_password: PasswordHash::of_no_password(),
    };
    let rules = Rules::read(settings.accounts.create, context.anonymous_foreign);
    Ok(AccessControl { provider: Box::new(provider), policy: Box::new(ByRights { rules }) })
}

#[cfg(test)]
mod tests;
