//! A token as a client gets it, and where it gets one.

use std::time::Duration;

use secrecy::SecretString;

/// What a client may send instead of its password for a while.
#[derive(Debug)]
pub struct Token {
    /// As it goes into the `Authorization` header.
    pub text: SecretString,
    /// How long it is good.
    pub lifetime: Duration,
    /// What the client gets further ones with, if it may have that.
    pub refresh: Option<SecretString>,
}

/// A token service that is not this registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenService {
    /// Its URL, as it goes into the challenge.
    pub realm: String,
    /// The name by which it knows this registry.
    pub service: String,
}
