//! The ways to sign in: one file and one row each.

mod open;

use super::Authenticator;

/// A way to sign in: one row of [`METHODS`].
pub struct Method {
    /// As the setting `auth.method` names it.
    pub name: &'static str,
    /// Makes it.
    pub open: fn() -> Box<dyn Authenticator>,
}

/// Every way to sign in.
pub const METHODS: &[Method] = &[Method { name: "open", open: open::open }];
