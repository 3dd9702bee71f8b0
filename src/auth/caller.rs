//! The caller of a request, and the credentials that say who it is.

use std::net::IpAddr;
use std::sync::Arc;

use secrecy::SecretString;

use super::Scopes;

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
    /// What is none of these.
    Malformed,
}

/// Who sends a request, and what its token is good for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// Who it is.
    pub kind: CallerKind,
    /// What its token is good for; none: it sends no token.
    pub scopes: Option<Arc<Scopes>>,
    /// The address of its client, as far as it is known.
    pub address: Option<IpAddr>,
}

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CallerKind {
    /// A client that has not signed in.
    #[default]
    Anonymous,
    /// The user of that name.
    User(String),
}

impl Caller {
    /// A client that has not signed in, and sends no token.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// A user who has signed in by name and password.
    #[must_use]
    pub fn user(name: impl Into<String>) -> Self {
        Self { kind: CallerKind::User(name.into()), ..Self::default() }
    }

    /// Returns the name of a caller that has one.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        match &self.kind {
            CallerKind::Anonymous => None,
            CallerKind::User(name) => Some(name),
        }
    }

    /// Tells whether it has not signed in.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.subject().is_none()
    }
}
