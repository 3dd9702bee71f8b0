//! The credentials of a request, which say who its caller is.

use secrecy::SecretString;

/// The credentials of a request.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// It has none.
    None,
    /// A name and a password (RFC 7617).
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// A token (RFC 6750).
    Bearer(SecretString),
    /// A refresh token, which is good at the token service alone.
    Refresh(SecretString),
    /// What is none of these.
    Malformed,
}
