//! How a client speaks to its registry.

use secrecy::SecretString;

use super::limits::{Limits, Timeouts};

/// How a client speaks to its registry.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The user who signs in; without one the client is anonymous.
    pub credentials: Option<Credentials>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Limits to the size of answers.
    pub limits: Limits,
    /// Accepts any certificate, which makes TLS worth nothing against an attacker.
    pub accepts_any_certificate: bool,
}

/// A user and a password, or what stands for them.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: SecretString,
}
