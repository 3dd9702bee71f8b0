//! How a client speaks to its registry.

use secrecy::SecretString;

use super::limits::{Limits, Timeouts};

/// How a client speaks to its registry.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The user who signs in; without one the client is anonymous.
    pub credentials: Option<Credentials>,
    /// A refresh token, which docker calls an identity token: the token service gives access tokens for it. It is used
    /// where there are no credentials.
    pub identity_token: Option<SecretString>,
    /// Hosts of token services that get the credentials beside the registry's own host and the pairs that are known,
    /// such as Docker Hub's.
    pub token_services: Vec<String>,
    /// Certificates of authorities as PEM, trusted beside those of the system.
    pub authorities: Vec<Vec<u8>>,
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
