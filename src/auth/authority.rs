//! Answers what a caller may do, and makes the grants that use cases ask for.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use super::accounts::State;
use super::anonymous::Reach;
use super::{
    AccessControl, Act, Action, AnonymousBound, AuthError, Caller, CatalogGrant, Challenge,
    Credentials, Decision, DeleteGrant, Meant, Names, PullGrant, PushGrant, Refusals, RemovalGrant,
    Scopes, SignedIn, Token, TokenFault, TokenService, VisibilityGrant, names, scope,
};
use crate::oci::{ForeignName, RepositoryName, RepositoryRecord};

/// Makes grants: nothing else can.
pub struct Authority {
    access: AccessControl,
    names: Names,
    anonymous: AnonymousBound,
    refusals: Arc<Refusals>,
}

impl Authority {
    /// Decides by that policy, about repositories that are whose `names` says. Anonymous clients are not
    /// bounded.
    #[must_use]
    pub fn new(access: AccessControl, names: Names) -> Self {
        Self { access, names, anonymous: AnonymousBound::default(), refusals: Arc::default() }
    }

    /// Bounds what anonymous clients get of foreign repositories, whatever the method would allow.
    #[must_use]
    pub fn bounding(self, anonymous: AnonymousBound) -> Self {
        Self { anonymous, ..self }
    }

    /// Counts what it refuses where others read it.
    #[must_use]
    pub fn noting(self, refusals: &Arc<Refusals>) -> Self {
        Self { refusals: Arc::clone(refusals), ..self }
    }

    /// Returns what was refused of late.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
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
        credentials: &Credentials,
        client: IpAddr,
    ) -> Result<Caller, AuthError> {
        let identified = self.access.provider.identify(credentials, client).await;
        self.note_sign_in(credentials, client, identified.as_ref().err());
        let caller = identified?;
        self.decide(&caller, Act::Ask).await?;
        Ok(caller)
    }

    /// Notes that credentials were looked at and are wrong.
    fn note_sign_in(&self, credentials: &Credentials, client: IpAddr, error: Option<&AuthError>) {
        if let Some(AuthError::Unauthorized(_)) = error {
            self.refusals.note_sign_in(credentials, client);
        }
    }

    /// Decides about an act that needs no grant.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub async fn decide(&self, caller: &Caller, act: Act<'_>) -> Result<(), AuthError> {
        if let Err(refusal) = self.consult(caller, act, act, State::Absent).await {
            self.refusals.note_act(caller, None);
            return Err(refusal);
        }
        match &caller.scopes {
            Some(scopes) if !scopes.allow(act) => Err(self.lacking(act)),
            _ => Ok(()),
        }
    }

    /// Decides about an act on a repository. Clients ask for tokens by the name that they know. What is refused is noted,
    /// unless it is the token alone that is not good for it: the client gets another one then.
    async fn decide_on(
        &self,
        caller: &Caller,
        action: Action,
        meant: &Meant,
        refusals: Option<&Refusals>,
    ) -> Result<(), AuthError> {
        let Meant { name, requested, .. } = meant;
        let (act, as_requested) = (Act::On(action, name), Act::On(action, requested));
        if let Err(refusal) = self.consult(caller, act, as_requested, self.state(meant)).await {
            if let Some(refusals) = refusals {
                refusals.note_act(caller, Some(name));
            }
            return Err(refusal);
        }
        let is_good = |scopes: &Arc<Scopes>| {
            [name, requested].into_iter().any(|name| scopes.allow(Act::On(action, name)))
        };
        match &caller.scopes {
            Some(scopes) if !is_good(scopes) => Err(self.lacking(as_requested)),
            _ => Ok(()),
        }
    }

    /// Has the policy decide about an act. A refusal speaks of the act as the caller knows it.
    async fn consult(
        &self,
        caller: &Caller,
        act: Act<'_>,
        requested: Act<'_>,
        state: State,
    ) -> Result<(), AuthError> {
        let is_hidden = match self.access.policy.decide(caller, act, state).await {
            Decision::Allow => return Ok(()),
            Decision::Denied(why) => return Err(AuthError::Denied(why)),
            Decision::Challenge => false,
            Decision::Hidden => true,
        };
        let Some(mut challenge) = self.access.provider.challenge(requested) else {
            let why = "cannot do that: this registry has no users; ask the operator";
            return Err(AuthError::Denied(why.to_owned()));
        };
        if let Challenge::Token { fault, .. } = &mut challenge
            && (is_hidden || caller.scopes.is_some() || !caller.is_anonymous())
        {
            *fault = Some(TokenFault::InsufficientScope);
        }
        Err(AuthError::Unauthorized(challenge))
    }

    /// Returns what is known of a repository that is meant.
    fn state(&self, meant: &Meant) -> State {
        match (self.names.foreign(&meant.name), &meant.record) {
            (Some(_), _) => State::Foreign,
            (None, Some(record)) => State::Present(record.visibility),
            (None, None) => State::Absent,
        }
    }

    /// Refuses a token that is not good for an act.
    fn lacking(&self, act: Act<'_>) -> AuthError {
        let scope = match self.access.provider.challenge(act) {
            Some(Challenge::Token { scope, .. }) => scope,
            Some(Challenge::Basic) | None => scope::needed(act),
        };
        let fault = Some(TokenFault::InsufficientScope);
        AuthError::Unauthorized(Challenge::Token { scope, fault })
    }

    /// Says in a challenge what a token has to be good for.
    #[must_use]
    pub fn about(
        &self,
        mut refusal: AuthError,
        action: Action,
        name: &RepositoryName,
    ) -> AuthError {
        if let AuthError::Unauthorized(Challenge::Token { scope, .. }) = &mut refusal
            && let Some(Challenge::Token { scope: known, .. }) =
                self.access.provider.challenge(Act::On(action, name))
        {
            *scope = known;
        }
        refusal
    }

    /// Finds out whom a token would be of; none where clients do not sign in by tokens of this registry.
    ///
    /// # Errors
    /// Those of [`TokenIssuer::sign_in`](super::TokenIssuer::sign_in).
    pub async fn sign_in(
        &self,
        credentials: &Credentials,
        client: IpAddr,
    ) -> Result<Option<SignedIn>, AuthError> {
        match self.access.provider.issuer() {
            Some(issuer) => {
                let signed_in = issuer.sign_in(credentials, client).await;
                self.note_sign_in(credentials, client, signed_in.as_ref().err());
                signed_in.map(Some)
            }
            None => Ok(None),
        }
    }

    /// Returns what of the requested scopes a caller may do now; `meant` are their repositories.
    pub async fn grantable(&self, caller: &Caller, requested: &Scopes, meant: &[Meant]) -> Scopes {
        let mut granted = Scopes::default();
        for meant in meant {
            for action in [Action::Pull, Action::Push, Action::Delete] {
                let act = Act::On(action, &meant.requested);
                if requested.allow(act) && self.may(caller, action, meant).await {
                    granted.add_act(act);
                }
            }
        }
        let list = Act::List;
        if requested.allow(list) && self.consult(caller, list, list, State::Absent).await.is_ok() {
            granted.add_act(list);
        }
        granted
    }

    async fn may(&self, caller: &Caller, action: Action, meant: &Meant) -> bool {
        let (state, act) = (self.state(meant), Act::On(action, &meant.name));
        if action != Action::Pull && state == State::Foreign {
            return false;
        }
        if self.consult(caller, act, act, state).await.is_ok() {
            return true;
        }
        // Where another registry's repository may not be pulled, this one's may stand in for it.
        let (Action::Pull, Some(own)) = (action, &meant.own) else { return false };
        let act = Act::On(action, own);
        self.consult(caller, act, act, known(meant.own_record.as_ref())).await.is_ok()
    }

    /// Makes a token that is good for those scopes at most; none where clients do not sign in by tokens, and for a user
    /// who has left meanwhile.
    ///
    /// # Errors
    /// Those of [`TokenIssuer::issue`](super::TokenIssuer::issue).
    pub async fn token(
        &self,
        signed_in: &SignedIn,
        scopes: Scopes,
        with_refresh: bool,
    ) -> Result<Option<Token>, AuthError> {
        match self.access.provider.issuer() {
            Some(issuer) => issuer.issue(signed_in, scopes, with_refresh).await,
            None => Ok(None),
        }
    }

    /// Returns the public keys that others verify this registry's tokens with, if they can.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`].
    pub async fn public_keys(&self) -> Result<Option<Value>, AuthError> {
        match self.access.provider.issuer() {
            Some(issuer) => issuer.public_keys().await,
            None => Ok(None),
        }
    }

    /// Returns the token service that clients are sent to, if that is not this registry.
    #[must_use]
    pub fn token_service(&self) -> Option<&TokenService> {
        self.access.provider.token_service()
    }

    /// Looks whether the operator has changed the users; to be called each second.
    pub async fn refresh(&self) {
        self.access.provider.refresh().await;
    }

    /// Allows a client to read a repository, and the one that may stand in for it.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub async fn pull(
        &self,
        caller: &Caller,
        meant: impl Into<Meant>,
    ) -> Result<PullGrant, AuthError> {
        self.pull_noting(caller, meant.into(), Some(&self.refusals)).await
    }

    /// The same where a refusal takes nothing from the client, and so is not counted: a blob that may not be mounted is
    /// pushed.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub async fn try_pull(
        &self,
        caller: &Caller,
        meant: impl Into<Meant>,
    ) -> Result<PullGrant, AuthError> {
        self.pull_noting(caller, meant.into(), None).await
    }

    async fn pull_noting(
        &self,
        caller: &Caller,
        meant: Meant,
        refusals: Option<&Refusals>,
    ) -> Result<PullGrant, AuthError> {
        let foreign = self.names.foreign(&meant.name);
        let bound = self.bound(caller, &meant, foreign.as_ref());
        if let (Err(refusal), None) = (&bound, &meant.own) {
            return Err(refusal.clone());
        }
        self.decide_on(caller, Action::Pull, &meant, refusals).await?;
        let Meant { name, mut own, record, own_record, .. } = meant;
        if let Some(name) = &own {
            let act = Act::On(Action::Pull, name);
            let refusal = self.consult(caller, act, act, known(own_record.as_ref())).await.err();
            match (refusal, &bound) {
                (None, _) => {}
                (Some(_), Ok(_)) => own = None,
                (Some(refusal), Err(_)) => return Err(refusal),
            }
        }
        match (bound, foreign, own) {
            (Err(refusal), Some(foreign), Some(own)) => {
                let own = PullGrant::new(own, record, None, caller.clone(), None);
                Ok(own.instead_of(foreign.root, refusal))
            }
            (bound, foreign, own) => {
                Ok(PullGrant::new(name, record, foreign, caller.clone(), bound?).or(own))
            }
        }
    }

    /// Tells whether anonymous clients may read all of the repository that a grant is about.
    pub async fn is_public(&self, grant: &PullGrant) -> bool {
        let name = grant.repository().clone();
        let meant = Meant { record: grant.record().cloned(), ..name.into() };
        let grant = self.pull(&Caller::anonymous(), meant).await;
        grant.is_ok_and(|grant| grant.cache_only().is_none())
    }

    /// Bounds what a client gets of a foreign repository: an error where that is nothing, and the answer to
    /// what is not in the cache where it is no more than that.
    fn bound(
        &self,
        caller: &Caller,
        Meant { name, requested, .. }: &Meant,
        foreign: Option<&ForeignName>,
    ) -> Result<Option<AuthError>, AuthError> {
        let Some(foreign) = foreign.filter(|_| self.names.federates && caller.is_anonymous())
        else {
            return Ok(None);
        };
        let refusal = |why| match self.access.provider.challenge(Act::On(Action::Pull, requested)) {
            Some(challenge) => AuthError::Unauthorized(challenge),
            None => {
                AuthError::Denied(format!("cannot pull from `{name}`: {why}; ask the operator"))
            }
        };
        match self.anonymous.reach(&foreign.root) {
            Reach::All => Ok(None),
            Reach::Cache => Ok(Some(refusal("anonymous clients get only cached images"))),
            Reach::Nothing => Err(refusal("anonymous clients cannot pull its images")),
        }
    }

    /// Allows a client to write to a repository of this registry.
    ///
    /// # Errors
    /// Why it is not allowed; a change of a foreign repository never is.
    pub async fn push(
        &self,
        caller: &Caller,
        meant: impl Into<Meant>,
    ) -> Result<PushGrant, AuthError> {
        let Meant { name, record, .. } = self.change(caller, Action::Push, meant.into()).await?;
        Ok(PushGrant::new(name, record, caller.clone()))
    }

    /// Allows a client to delete from a repository of this registry.
    ///
    /// # Errors
    /// Why it is not allowed; a change of a foreign repository never is.
    pub async fn delete(
        &self,
        caller: &Caller,
        meant: impl Into<Meant>,
    ) -> Result<DeleteGrant, AuthError> {
        let Meant { name, record, .. } = self.change(caller, Action::Delete, meant.into()).await?;
        Ok(DeleteGrant::new(name, record, caller.clone()))
    }

    /// Allows a client to say who may see a repository of this registry.
    ///
    /// # Errors
    /// Why it is not allowed; a change of a foreign repository never is.
    pub async fn visibility(
        &self,
        caller: &Caller,
        meant: impl Into<Meant>,
    ) -> Result<VisibilityGrant, AuthError> {
        let Meant { name, record, .. } =
            self.change(caller, Action::Visibility, meant.into()).await?;
        Ok(VisibilityGrant::new(name, record, caller.clone()))
    }

    /// Allows a client to remove a repository of this registry.
    ///
    /// # Errors
    /// Why it is not allowed; a change of a foreign repository never is.
    pub async fn removal(
        &self,
        caller: &Caller,
        meant: impl Into<Meant>,
    ) -> Result<RemovalGrant, AuthError> {
        let Meant { name, record, .. } = self.change(caller, Action::Remove, meant.into()).await?;
        Ok(RemovalGrant::new(name, record, caller.clone()))
    }

    /// Allows a client to list the repositories that it may see.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub async fn catalog(&self, caller: &Caller) -> Result<CatalogGrant, AuthError> {
        self.decide(caller, Act::List).await?;
        Ok(CatalogGrant::new(caller.clone()))
    }

    /// Allows a change, and returns what it is about.
    async fn change(
        &self,
        caller: &Caller,
        action: Action,
        meant: Meant,
    ) -> Result<Meant, AuthError> {
        self.decide_on(caller, action, &meant, Some(&self.refusals)).await?;
        self.refuse_foreign(&meant.name)?;
        Ok(meant)
    }

    fn refuse_foreign(&self, name: &RepositoryName) -> Result<(), AuthError> {
        let Some(foreign) = self.names.foreign(name) else { return Ok(()) };
        Err(AuthError::Denied(names::not_ours(name, &foreign.root.to_string())))
    }
}

/// Returns what a record says of a repository of this registry.
fn known(record: Option<&RepositoryRecord>) -> State {
    record.map_or(State::Absent, |record| State::Present(record.visibility))
}

#[cfg(test)]
mod tests;
