//! SEAM: who may do what.
//!
//! `http` asks an [`Authority`] before every use case and hands the grant on: a repository's name
//! reaches `registry` only inside the grant that allows the act, so a check cannot be forgotten.
//! Nothing here knows of HTTP, nor of storage.
//!
//! Three things are apart: an [`IdentityProvider`] makes a [`Caller`] of [`Credentials`], a [`Policy`] makes a
//! [`Decision`] about what it may do, and the authority answers, once it has looked whether a token is good for it.

pub mod accounts;
mod act;
mod anonymous;
mod authority;
mod caller;
mod credentials;
mod decision;
mod grant;
mod methods;
mod names;
pub mod passwords;
mod policy;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod refusals;
mod scope;
pub mod signed;
mod signed_in;
mod stamp;
mod token;
mod watched_file;
pub mod workloads;

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use thiserror::Error;

use crate::oci::RepositoryName;

pub use act::{Act, Action};
pub use anonymous::AnonymousBound;
pub use authority::Authority;
pub use caller::{Caller, CallerKind};
pub use credentials::Credentials;
pub use decision::Decision;
pub use grant::{CatalogGrant, DeleteGrant, PullGrant, PushGrant, RemovalGrant, VisibilityGrant};
#[cfg(test)]
pub(crate) use methods::open_to_all;
pub use methods::{
    AuthContext, Directory, LONGEST_TOKEN, METHODS, Method, NoDirectory, Opened, PrincipalKind,
    SetupError, StoredKey, StoredPassword, StoredPrincipal, StoredToken, Unavailable,
};
pub use names::{Meant, Names};
pub use policy::Policy;
pub use refusals::{CountedRefusal, Refusal, RefusalKind, Refusals};
pub use scope::{Access, Scopes};
pub use signed_in::SignedIn;
use stamp::Stamp;
pub use token::{Token, TokenService};

/// How a client that is refused can sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// With a name and a password in each request (RFC 7617).
    Basic,
    /// With a token, which is fetched by name and password, or without where anonymous clients may
    /// do something (RFC 6750).
    Token {
        /// What the token has to be good for, where that is known.
        scope: Option<String>,
        /// What is wrong with the token that was sent, if one was; also where the client may not learn whether the
        /// repository is there.
        fault: Option<TokenFault>,
    },
}

impl Challenge {
    /// Says why the client has to sign in.
    fn why(&self) -> &'static str {
        let fault = match self {
            Self::Token { fault, .. } => *fault,
            Self::Basic => None,
        };
        match fault {
            None => "authentication is required",
            Some(TokenFault::Invalid) => "the token is invalid or expired; get a new one",
            Some(TokenFault::InsufficientScope) => {
                "not allowed, or not there: the token is not good for this; sign in as a user who may do it"
            }
        }
    }
}

/// What is wrong with a token (RFC 6750, 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// It is none of ours, or not good any more.
    Invalid,
    /// It is not good for what the client requests.
    InsufficientScope,
}

/// Why something is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    /// The client has to say who it is.
    #[error("{}", .0.why())]
    Unauthorized(Challenge),
    /// The client has to come back later: too many passwords wait to be checked, or it sent too many wrong ones.
    #[error("too many sign-ins; try again in {} s", .retry_after.as_secs().max(1))]
    Busy {
        /// The limit that was reached, by its name in the metrics.
        limit: &'static str,
        /// When it may come back.
        retry_after: Duration,
    },
    /// The client may not do that; the sentence says why.
    #[error("{0}")]
    Denied(String),
    /// It cannot be found out who the client is or what it may do; the cause is in the log.
    #[error("the accounts are not available")]
    Unavailable,
}

impl AuthError {
    /// Says in a challenge that the token also has to be good for pulls from a repository that a blob is to be mounted from.
    #[must_use]
    pub fn with_source(mut self, source: &RepositoryName) -> Self {
        if let Self::Unauthorized(Challenge::Token { scope: Some(scope), .. }) = &mut self
            && let Some(needed) = scope::needed(Act::On(Action::Pull, source))
        {
            scope.push(' ');
            scope.push_str(&needed);
        }
        self
    }
}

/// Finds out who a caller is.
#[async_trait]
pub trait IdentityProvider: Send + Sync {
    /// Returns the caller with these credentials. `client` is the address that limits count by.
    ///
    /// # Errors
    /// [`AuthError::Unauthorized`] when they are wrong, [`AuthError::Busy`] when they were not looked at.
    async fn identify(
        &self,
        credentials: &Credentials,
        client: IpAddr,
    ) -> Result<Caller, AuthError>;

    /// Looks whether the operator has changed the users. One that reads no file has nothing to do.
    async fn refresh(&self);

    /// Returns how a client can sign in that may not do this without; none where there are no users.
    fn challenge(&self, act: Act<'_>) -> Option<Challenge>;

    /// Returns what issues its tokens; none where clients do not sign in by tokens.
    fn issuer(&self) -> Option<&dyn TokenIssuer>;

    /// Returns the token service that clients are sent to; none where that is this registry, or they sign in
    /// without tokens.
    fn token_service(&self) -> Option<&TokenService>;
}

/// Issues tokens, which clients send instead of their password for a while.
#[async_trait]
pub trait TokenIssuer: Send + Sync {
    /// Finds out whom a token would be of: the caller with these credentials, which are no token but a refresh token.
    ///
    /// # Errors
    /// [`AuthError::Unauthorized`] when they are wrong, [`AuthError::Busy`] when they were not looked at.
    async fn sign_in(
        &self,
        credentials: &Credentials,
        client: IpAddr,
    ) -> Result<SignedIn, AuthError>;

    /// Makes a token that is good for no more than those scopes, and a refresh token, good for that long at most, if one is
    /// requested and may be had; none for a user who has left meanwhile.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`].
    async fn issue(
        &self,
        signed_in: &SignedIn,
        scopes: Scopes,
        refresh_for: Option<Duration>,
    ) -> Result<Option<Token>, AuthError>;

    /// Returns the public keys that others verify its tokens with, as a set of JSON web keys; none where only this
    /// registry can.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`].
    async fn public_keys(&self) -> Result<Option<Value>, AuthError>;
}

/// Who finds out who callers are, and who decides what they may do.
pub struct AccessControl {
    /// Finds out who a caller is.
    pub provider: Box<dyn IdentityProvider>,
    /// Decides what it may do.
    pub policy: Box<dyn Policy>,
}
