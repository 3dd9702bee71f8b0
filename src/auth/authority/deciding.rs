//! Who sends a request, and what the policy says about an act.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::accounts::State;
use super::super::{
    AccessControl, Act, Action, AnonymousBound, AuthError, Caller, Challenge, Credentials,
    Decision, Meant, Names, Refusals, Scopes, TokenFault, scope,
};
use crate::oci::RepositoryName;

/// Makes grants: nothing else can.
pub struct Authority {
    pub(super) access: AccessControl,
    pub(super) names: Names,
    pub(super) anonymous: AnonymousBound,
    pub(super) refusals: Arc<Refusals>,
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
    pub(super) fn note_sign_in(
        &self,
        credentials: &Credentials,
        client: IpAddr,
        error: Option<&AuthError>,
    ) {
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
            self.refusals.note_act(caller, None, act.as_str());
            return Err(refusal);
        }
        match &caller.scopes {
            Some(scopes) if !scopes.allow(act) => Err(self.lacking(act)),
            _ => Ok(()),
        }
    }

    /// Decides about an act on a repository. Clients ask for tokens by the name that they know. What is refused is noted,
    /// unless it is the token alone that is not good for it: the client gets another one then.
    pub(super) async fn decide_on(
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
                refusals.note_act(caller, Some(name), action.as_str());
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
    pub(super) async fn consult(
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
    pub(super) fn state(&self, meant: &Meant) -> State {
        match (self.names.foreign(&meant.name), &meant.record) {
            (Some(_), _) => State::Foreign,
            (None, record) => State::of(record.as_ref()),
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

    /// Looks whether the operator has changed the users; to be called each second.
    pub async fn refresh(&self) {
        self.access.provider.refresh().await;
    }
}
