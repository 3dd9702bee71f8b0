//! Tokens: whom they are of, and what they are good for at most.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

use super::super::accounts::State;
use super::super::{
    Act, Action, AuthError, Caller, Credentials, Meant, Scopes, SignedIn, Token, TokenService,
};
use super::deciding::Authority;

impl Authority {
    /// Finds out whom a token would be of; none where clients do not sign in by tokens of this registry.
    ///
    /// # Errors
    /// Those of [`TokenIssuer::sign_in`](super::super::TokenIssuer::sign_in).
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
        self.consult(caller, act, act, State::of(meant.own_record.as_ref())).await.is_ok()
    }

    /// Makes a token that is good for those scopes at most, and a refresh token for that long at most; none where clients do not sign in by tokens, and for a user
    /// who has left meanwhile.
    ///
    /// # Errors
    /// Those of [`TokenIssuer::issue`](super::super::TokenIssuer::issue).
    pub async fn token(
        &self,
        signed_in: &SignedIn,
        scopes: Scopes,
        refresh_for: Option<Duration>,
    ) -> Result<Option<Token>, AuthError> {
        match self.access.provider.issuer() {
            Some(issuer) => issuer.issue(signed_in, scopes, refresh_for).await,
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
}
