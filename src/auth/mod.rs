//! SEAM: who may do what.
//!
//! `http` asks an [`Authority`] before every use case and hands the grant on: a repository's name
//! reaches `registry` only inside the grant that allows the act, so a check cannot be forgotten.
//! Nothing here knows of HTTP beyond the credentials that a request carries, nor of storage.

mod anonymous;
mod grant;
mod methods;
mod names;

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use thiserror::Error;

pub use anonymous::AnonymousBound;
pub use grant::{CatalogGrant, DeleteGrant, PullGrant, PushGrant};
pub use methods::{METHODS, Method, Opened, SetupError};

pub use names::{Meant, Names};

use crate::oci::{ForeignName, RepositoryName};
use anonymous::Reach;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The user's name; none for an anonymous client.
    pub user: Option<String>,
}

/// What a client wants to do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Read it.
    Pull,
    /// Write to it.
    Push,
    /// Delete from it.
    Delete,
}

/// What a client wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act<'request> {
    /// Ask anything at all: each request below `/v2/` begins with this, whatever its path.
    Ask,
    /// Learn whether it is signed in (`GET /v2/`): a refusal tells clients how they could be.
    SignIn,
    /// List all repositories.
    List,
    /// Do this with a repository whose name is yet to be read. What is refused here is refused for
    /// every name, so that a malformed one tells nothing to a stranger.
    Any(Action),
    /// Do this with that repository.
    On(Action, &'request RepositoryName),
}

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
    },
}

/// What a client may send instead of its password for a while.
#[derive(Debug)]
pub struct Token {
    /// As it goes into the `Authorization` header.
    pub text: SecretString,
    /// How long it is good.
    pub lifetime: Duration,
}

/// Why something is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    /// The client has to say who it is.
    #[error("authentication is required")]
    Unauthorized(Challenge),
    /// Too many passwords wait to be checked.
    #[error("too many clients are signing in")]
    Busy,
    /// The client may not do that, whoever it is; the sentence says why.
    #[error("{0}")]
    Denied(String),
}

/// A way to sign in and to decide.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// Returns who sends these credentials: the value of the `Authorization` header, empty where it
    /// is no text, if there is one.
    ///
    /// # Errors
    /// [`AuthError::Unauthorized`] when they are wrong.
    async fn identify(&self, authorization: Option<&str>) -> Result<Identity, AuthError>;

    /// Decides about one act.
    ///
    /// # Errors
    /// Why it is not allowed.
    async fn decide(&self, identity: &Identity, act: Act<'_>) -> Result<(), AuthError>;

    /// Makes a token for who sends these credentials; none where clients do not sign in by tokens.
    ///
    /// # Errors
    /// [`AuthError::Unauthorized`] when they are wrong.
    async fn token(&self, _authorization: Option<&str>) -> Result<Option<Token>, AuthError> {
        Ok(None)
    }

    /// Returns how a client can sign in that may not do this without; none where there are no users.
    fn challenge(&self, _act: Act<'_>) -> Option<Challenge> {
        None
    }
}

/// Makes grants: the only place that can.
pub struct Authority {
    authenticator: Box<dyn Authenticator>,
    names: Names,
    anonymous: AnonymousBound,
}

impl Authority {
    /// Decides by that method, about repositories that are whose `names` says. Anonymous clients are not
    /// bounded.
    #[must_use]
    pub fn new(authenticator: Box<dyn Authenticator>, names: Names) -> Self {
        Self { authenticator, names, anonymous: AnonymousBound::default() }
    }

    /// Bounds what anonymous clients get of foreign repositories, whatever the method would allow.
    #[must_use]
    pub fn bounding(self, anonymous: AnonymousBound) -> Self {
        Self { anonymous, ..self }
    }

    /// Tells whose repository a name means.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Returns who sends these credentials, if that client may ask anything at all.
    ///
    /// # Errors
    /// [`AuthError::Unauthorized`] when they are wrong, or are needed.
    pub async fn identify(&self, authorization: Option<&str>) -> Result<Identity, AuthError> {
        let identity = self.authenticator.identify(authorization).await?;
        self.decide(&identity, Act::Ask).await?;
        Ok(identity)
    }

    /// Decides about an act that needs no grant.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub async fn decide(&self, identity: &Identity, act: Act<'_>) -> Result<(), AuthError> {
        self.authenticator.decide(identity, act).await
    }

    /// Makes a token for who sends these credentials; none where clients do not sign in by tokens.
    ///
    /// # Errors
    /// [`AuthError::Unauthorized`] when they are wrong.
    pub async fn token(&self, authorization: Option<&str>) -> Result<Option<Token>, AuthError> {
        self.authenticator.token(authorization).await
    }

    /// Allows a client to read a repository, and the one that may stand in for it.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub async fn pull(
        &self,
        identity: &Identity,
        Meant { name, own }: Meant,
    ) -> Result<PullGrant, AuthError> {
        let foreign = self.names.foreign(&name);
        let bound = self.bound(identity, &name, foreign.as_ref());
        if let Some(own) = &own {
            self.decide(identity, Act::On(Action::Pull, own)).await?;
        }
        let cache_only = match (bound, foreign.as_ref(), &own) {
            (Ok(cache_only), ..) => cache_only,
            (Err(refusal), Some(foreign), Some(own)) => {
                let own = PullGrant::new(own.clone(), None, identity.clone(), None);
                return Ok(own.instead_of(foreign.root.clone(), refusal));
            }
            (Err(refusal), ..) => return Err(refusal),
        };
        self.decide(identity, Act::On(Action::Pull, &name)).await?;
        Ok(PullGrant::new(name, foreign, identity.clone(), cache_only).or(own))
    }

    /// Bounds what a client gets of a foreign repository: an error where that is nothing, and the answer to
    /// what is not in the cache where it is no more than that.
    fn bound(
        &self,
        identity: &Identity,
        name: &RepositoryName,
        foreign: Option<&ForeignName>,
    ) -> Result<Option<AuthError>, AuthError> {
        let Some(foreign) = foreign.filter(|_| self.names.federates && identity.user.is_none())
        else {
            return Ok(None);
        };
        let refusal = |why| match self.authenticator.challenge(Act::On(Action::Pull, name)) {
            Some(challenge) => AuthError::Unauthorized(challenge),
            None => {
                AuthError::Denied(format!("cannot pull from `{name}`: {why}; ask the operator"))
            }
        };
        match self.anonymous.reach(&foreign.root) {
            Reach::All => Ok(None),
            Reach::Cache => Ok(Some(refusal("anonymous clients get only what is cached here"))),
            Reach::Nothing => Err(refusal("its images are not served to anonymous clients")),
        }
    }

    /// Allows a client to write to a repository of this registry.
    ///
    /// # Errors
    /// Why it is not allowed; a name under somebody's root never is.
    pub async fn push(
        &self,
        identity: &Identity,
        Meant { name, .. }: Meant,
    ) -> Result<PushGrant, AuthError> {
        self.decide(identity, Act::On(Action::Push, &name)).await?;
        self.refuse_foreign(&name)?;
        Ok(PushGrant::new(name, identity.clone()))
    }

    /// Allows a client to delete from a repository of this registry.
    ///
    /// # Errors
    /// Why it is not allowed; a name under somebody's root never is.
    pub async fn delete(
        &self,
        identity: &Identity,
        Meant { name, .. }: Meant,
    ) -> Result<DeleteGrant, AuthError> {
        self.decide(identity, Act::On(Action::Delete, &name)).await?;
        self.refuse_foreign(&name)?;
        Ok(DeleteGrant::new(name, identity.clone()))
    }

    /// Allows a client to list all repositories.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub async fn catalog(&self, identity: &Identity) -> Result<CatalogGrant, AuthError> {
        self.decide(identity, Act::List).await?;
        Ok(CatalogGrant::new())
    }

    fn refuse_foreign(&self, name: &RepositoryName) -> Result<(), AuthError> {
        let Some(foreign) = self.names.foreign(name) else { return Ok(()) };
        let first = foreign.root;
        Err(AuthError::Denied(format!(
            "`{name}` cannot be pushed to: names that begin with a domain, a CID or an IPNS key are other \
             people's; push to a name without `{first}`, or ask the operator to list `{first}` in \
             server.local_namespaces"
        )))
    }
}
