//! The ways to sign in: one file and one row each.

mod accounts;
mod context;
mod htpasswd;
mod open;
mod setup_error;
mod token;

use super::AccessControl;
use crate::config::AuthSettings;

/// A way to sign in: one row of [`METHODS`].
pub struct Method {
    /// As the setting `auth.method` names it.
    pub name: &'static str,
    /// Makes it, from its own section of the settings.
    pub open: fn(&AuthSettings, &AuthContext<'_>) -> Opened,
}

/// What comes of opening a way to sign in.
pub type Opened = Result<AccessControl, SetupError>;

/// Every way to sign in.
pub const METHODS: &[Method] = &[
    Method { name: "open", open: open::open },
    Method { name: "htpasswd", open: htpasswd::open },
    Method { name: "accounts", open: accounts::open },
    Method { name: "token", open: token::open },
];

pub use accounts::{
    Directory, LONGEST_TOKEN, NoDirectory, PrincipalKind, StoredKey, StoredPassword,
    StoredPrincipal, StoredToken, Unavailable,
};
pub use context::AuthContext;
pub use setup_error::SetupError;

/// Opens the way of `open`, for tests of rooms that know no settings.
#[cfg(test)]
pub(crate) use open::access_control as open_to_all;
