//! The use cases of administration: users, robots, tokens, teams, grants, namespaces and the audit log.
//!
//! The management API calls them, and so do commands that work on the data folder without a server. Each act says who
//! does it, decides by the rights that the caller brings ([`Caller::rights`]), and is one change of the index with its
//! event. What a caller may not see is answered as what is not there. Nothing here reads credentials, and no password or
//! secret is stored as it came.

mod acting;
mod audit;
mod collection;
mod error;
mod grants;
mod namespaces;
mod page;
mod quotas;
mod repositories;
mod robots;
mod setup;
mod teams;
#[cfg(test)]
mod tests;
mod tokens;
mod usage;
mod users;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub use audit::{AuditFilter, write_refusals};
pub use error::{AdministrationError, Result};
pub use grants::GrantSelection;
pub use page::{Page, PageRequest};
pub use robots::{RobotRequest, RobotSummary};
pub use setup::SetupError;
pub use tokens::{MadeToken, TokenRequest, TokenSummary};
pub use users::{UserRequest, Whoami};

use crate::auth::accounts::{Bounded, Rights, Rules};
use crate::auth::passwords::{Checks, Verified};
use crate::auth::{Caller, CallerKind, Refusals};
use crate::index::Index;

/// Administers the accounts of a registry.
pub struct Administration {
    index: Arc<Index>,
    /// Hashes new passwords, in the same queue as the checks of sign-ins.
    checks: Arc<Checks>,
    rules: Rules,
    refusals: Arc<Refusals>,
    /// What setup codes were found to be.
    setup_codes: Arc<Verified>,
}

impl Administration {
    /// Administers the accounts of an index, by the operator's rules.
    #[must_use]
    pub fn new(index: Arc<Index>, checks: Arc<Checks>, rules: Rules) -> Self {
        Self { index, checks, rules, refusals: Arc::default(), setup_codes: Arc::default() }
    }

    /// Shows in the audit log what was refused until it is read, too.
    #[must_use]
    pub fn noting(self, refusals: &Arc<Refusals>) -> Self {
        Self { refusals: Arc::clone(refusals), ..self }
    }

    /// Returns the caller of commands that work on the data folder: who can read it may do everything. It makes no tokens,
    /// which have a maker.
    #[must_use]
    pub fn operator() -> Caller {
        let rights = Bounded::from(Rights::user(true, Vec::new(), Vec::new()));
        Caller { rights: Some(Arc::new(rights)), ..CallerKind::Anonymous.into() }
    }
}

/// Returns the time in milliseconds since the Unix epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
