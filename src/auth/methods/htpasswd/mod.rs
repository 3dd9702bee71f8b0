//! Users and passwords in a file, as `htpasswd -B` writes it. Each user may do everything; other
//! callers may do nothing, but for pulls where `auth.htpasswd.anonymous_pull` says so.
//!
//! Clients sign in by what `GET /v2/` refuses them with. Without anonymous pulls that is `Basic`. With
//! them it cannot be: a docker daemon (and skopeo) sends credentials only if `/v2/` has required
//! them, so that must answer 401; but a daemon that gets `Basic` as challenge and has no credentials
//! gives up, though the pull itself would be allowed. So clients are sent for a token then
//! (`Bearer`), which an anonymous one gets as well. Clients that send `Basic` are accepted too.

mod file;
mod tokens;
mod users;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::super::passwords::{Bounds, Checks, SignIn, Stored};
use super::super::policy::EveryUser;
use super::super::scope::needed;
use super::super::signed::Subject;
use super::super::watched_file::WatchedFile;
use super::super::{
    AccessControl, Act, AuthError, Caller, Challenge, Credentials, IdentityProvider, Scopes,
    SignedIn, Token, TokenFault, TokenIssuer, TokenService,
};
use super::{AuthContext, SetupError};
use crate::config::AuthSettings;
use file::Edition;
use tokens::Tokens;

/// Makes the method. The key signs tokens.
pub(super) fn open(
    settings: &AuthSettings,
    context: &AuthContext<'_>,
) -> Result<AccessControl, SetupError> {
    let path = &settings.htpasswd.file;
    let file = file::open(path).map_err(|reason| SetupError {
        setting: "auth.htpasswd.file",
        file: path.clone(),
        reason,
    })?;
    let anonymous_pull = settings.htpasswd.anonymous_pull;
    let provider = Htpasswd {
        file,
        tokens: anonymous_pull.then(|| Tokens::new(context.key)),
        checks: Checks::new(Bounds::of_file(settings.sign_ins)),
    };
    let policy = EveryUser { anonymous_pull };
    Ok(AccessControl { provider: Box::new(provider), policy: Box::new(policy) })
}

struct Htpasswd {
    file: WatchedFile<Edition>,
    /// Where anonymous clients may pull.
    tokens: Option<Tokens>,
    checks: Checks,
}

#[async_trait]
impl IdentityProvider for Htpasswd {
    async fn identify(
        &self,
        credentials: &Credentials,
        client: IpAddr,
    ) -> Result<Caller, AuthError> {
        match (credentials, &self.tokens) {
            (Credentials::None, _) => Ok(Caller::anonymous()),
            // skopeo signs in with an empty name where `Basic` is required and it has no credentials.
            (Credentials::Basic { user, password }, _)
                if user.is_empty() && password.expose_secret().is_empty() =>
            {
                Ok(Caller::anonymous())
            }
            (Credentials::Basic { user, password }, _) => {
                let edition = self.file.current().await;
                let is_right = self.check(&edition, client, user, password).await?;
                is_right.then(|| Caller::user(user)).ok_or_else(|| self.refusal())
            }
            (Credentials::Bearer(token), Some(tokens)) => {
                let edition = self.file.current().await;
                let fault = Some(TokenFault::Invalid);
                let challenge = Challenge::Token { scope: None, fault };
                let read = tokens.read(token.expose_secret(), &edition.users);
                read.ok_or(AuthError::Unauthorized(challenge))
            }
            (Credentials::Bearer(_), None)
            | (Credentials::Refresh(_) | Credentials::Malformed, _) => Err(self.refusal()),
        }
    }

    async fn refresh(&self) {
        self.file.current().await;
    }

    fn challenge(&self, act: Act<'_>) -> Option<Challenge> {
        Some(self.challenge_with(needed(act)))
    }

    fn issuer(&self) -> Option<&dyn TokenIssuer> {
        self.tokens.as_ref().map(|_| self as &dyn TokenIssuer)
    }

    fn token_service(&self) -> Option<&TokenService> {
        None
    }
}

#[async_trait]
impl TokenIssuer for Htpasswd {
    async fn sign_in(
        &self,
        credentials: &Credentials,
        client: IpAddr,
    ) -> Result<SignedIn, AuthError> {
        // A token is no way to get the next one.
        if matches!(credentials, Credentials::Bearer(_)) {
            return Err(self.refusal());
        }
        let caller = self.identify(credentials, client).await?;
        Ok(SignedIn { caller, subject: Subject::anonymous(), may_refresh: false })
    }

    async fn issue(
        &self,
        signed_in: &SignedIn,
        scopes: Scopes,
        _: Option<Duration>,
    ) -> Result<Option<Token>, AuthError> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        let mut caller = signed_in.caller.clone();
        let scopes = if caller.is_anonymous() { scopes.only_pulls() } else { scopes };
        caller.scopes = Some(Arc::new(scopes));
        Ok(tokens.issue(&caller, &self.file.current().await.users))
    }

    async fn public_keys(&self) -> Result<Option<Value>, AuthError> {
        Ok(None)
    }
}

impl Htpasswd {
    /// Refuses credentials.
    fn refusal(&self) -> AuthError {
        AuthError::Unauthorized(self.challenge_with(None))
    }

    fn challenge_with(&self, scope: Option<String>) -> Challenge {
        match self.tokens {
            Some(_) => Challenge::Token { scope, fault: None },
            None => Challenge::Basic,
        }
    }

    /// Tells whether a password is right; it takes as long for a user that there is not.
    async fn check(
        &self,
        edition: &Edition,
        client: IpAddr,
        user: &str,
        password: &SecretString,
    ) -> Result<bool, AuthError> {
        let stored = match edition.users.hash(user) {
            Some(hash) => Stored::Known(hash.clone()),
            None => Stored::Unknown(edition.users.unknown_user_hash().clone()),
        };
        let sign_in = SignIn { client, user, password };
        Ok(self.checks.check(&edition.verified, sign_in, stored).await?.is_right())
    }
}
