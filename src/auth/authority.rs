//! Decides by a method of signing in, and makes the grants that use cases ask for.

use std::net::IpAddr;
use std::sync::Arc;

use super::anonymous::Reach;
use super::{
    Act, Action, AnonymousBound, AuthError, Authenticator, CatalogGrant, Challenge, DeleteGrant,
    Identity, Meant, Names, PullGrant, PushGrant, Scopes, Token, TokenFault, scope,
};
use crate::oci::{ForeignName, RepositoryName};

/// Makes grants: nothing else can.
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

    /// Returns the caller with these credentials, if it has any access at all.
    ///
    /// # Errors
    /// [`AuthError::Unauthorized`] when they are wrong, or are needed.
    pub async fn identify(
        &self,
        authorization: Option<&str>,
        client: IpAddr,
    ) -> Result<Identity, AuthError> {
        let identity = self.authenticator.identify(authorization, client).await?;
        self.decide(&identity, Act::Ask).await?;
        Ok(identity)
    }

    /// Decides about an act that needs no grant.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub async fn decide(&self, identity: &Identity, act: Act<'_>) -> Result<(), AuthError> {
        let decision = self.authenticator.decide(identity, act).await;
        decision.map_err(|error| error.with_token_of(identity))?;
        match &identity.scopes {
            Some(scopes) if !scopes.allow(act) => Err(lacking(act)),
            _ => Ok(()),
        }
    }

    /// Decides about an act on a repository. Clients ask for tokens by the name that they know.
    async fn decide_on(
        &self,
        identity: &Identity,
        action: Action,
        meant: &Meant,
    ) -> Result<(), AuthError> {
        let Meant { name, requested, .. } = meant;
        let decision = self.authenticator.decide(identity, Act::On(action, name)).await;
        decision.map_err(|error| error.about(action, requested).with_token_of(identity))?;
        let is_good = |scopes: &Arc<Scopes>| {
            [name, requested].into_iter().any(|name| scopes.allow(Act::On(action, name)))
        };
        match &identity.scopes {
            Some(scopes) if !is_good(scopes) => Err(lacking(Act::On(action, requested))),
            _ => Ok(()),
        }
    }

    /// Makes a token for the caller with these credentials, which is good for no more than those scopes; none where
    /// clients do not sign in by tokens.
    ///
    /// # Errors
    /// [`AuthError::Unauthorized`] when they are wrong.
    pub async fn token(
        &self,
        authorization: Option<&str>,
        client: IpAddr,
        scopes: Scopes,
    ) -> Result<Option<Token>, AuthError> {
        self.authenticator.token(authorization, client, scopes).await
    }

    /// Looks whether the operator has changed the users; to be called each second.
    pub async fn refresh(&self) {
        self.authenticator.refresh().await;
    }

    /// Allows a client to read a repository, and the one that may stand in for it.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub async fn pull(
        &self,
        identity: &Identity,
        meant: impl Into<Meant>,
    ) -> Result<PullGrant, AuthError> {
        let meant = meant.into();
        let foreign = self.names.foreign(&meant.name);
        let bound = self.bound(identity, &meant, foreign.as_ref());
        if let (Err(refusal), None) = (&bound, &meant.own) {
            return Err(refusal.clone());
        }
        self.decide_on(identity, Action::Pull, &meant).await?;
        let Meant { name, own, .. } = meant;
        if let Some(own) = &own {
            self.authenticator.decide(identity, Act::On(Action::Pull, own)).await?;
        }
        match (bound, foreign, own) {
            (Err(refusal), Some(foreign), Some(own)) => {
                let own = PullGrant::new(own, None, identity.clone(), None);
                Ok(own.instead_of(foreign.root, refusal))
            }
            (bound, foreign, own) => {
                Ok(PullGrant::new(name, foreign, identity.clone(), bound?).or(own))
            }
        }
    }

    /// Tells whether anonymous clients may read all of a repository.
    pub async fn is_public(&self, name: &RepositoryName) -> bool {
        let grant = self.pull(&Identity::default(), name.clone()).await;
        grant.is_ok_and(|grant| grant.cache_only().is_none())
    }

    /// Bounds what a client gets of a foreign repository: an error where that is nothing, and the answer to
    /// what is not in the cache where it is no more than that.
    fn bound(
        &self,
        identity: &Identity,
        Meant { name, requested, .. }: &Meant,
        foreign: Option<&ForeignName>,
    ) -> Result<Option<AuthError>, AuthError> {
        let Some(foreign) = foreign.filter(|_| self.names.federates && identity.user.is_none())
        else {
            return Ok(None);
        };
        let refusal = |why| match self.authenticator.challenge(Act::On(Action::Pull, requested)) {
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
    /// Why it is not allowed; a change of a foreign repository never is.
    pub async fn push(
        &self,
        identity: &Identity,
        meant: impl Into<Meant>,
    ) -> Result<PushGrant, AuthError> {
        let name = self.change(identity, Action::Push, meant.into()).await?;
        Ok(PushGrant::new(name, identity.clone()))
    }

    /// Allows a client to delete from a repository of this registry.
    ///
    /// # Errors
    /// Why it is not allowed; a change of a foreign repository never is.
    pub async fn delete(
        &self,
        identity: &Identity,
        meant: impl Into<Meant>,
    ) -> Result<DeleteGrant, AuthError> {
        let name = self.change(identity, Action::Delete, meant.into()).await?;
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

    /// Allows a change, and returns the name of the repository.
    async fn change(
        &self,
        identity: &Identity,
        action: Action,
        meant: Meant,
    ) -> Result<RepositoryName, AuthError> {
        self.decide_on(identity, action, &meant).await?;
        self.refuse_foreign(&meant.name)?;
        Ok(meant.name)
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

/// Refuses a token that is not good for an act.
fn lacking(act: Act<'_>) -> AuthError {
    AuthError::Unauthorized(Challenge::Token {
        scope: scope::needed(act),
        fault: Some(TokenFault::InsufficientScope),
    })
}
