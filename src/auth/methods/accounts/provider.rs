//! Who a caller is, by its credentials.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::super::super::accounts::{AccessToken, AccountName};
use super::super::super::passwords::{Checked, Checks, PasswordHash, SignIn, Stored, Verified};
use super::super::super::scope::broad;
use super::super::super::signed::{Subject, TokenError, VerifiedTokens};
use super::super::super::{
    Act, AuthError, Caller, Challenge, Credentials, IdentityProvider, Scopes, SignedIn, Token,
    TokenFault, TokenIssuer, TokenService,
};
use super::resolver::{Resolved, Resolver};
use super::tokens::Tokens;

/// The user name of workloads.
const WORKLOAD: &str = "oidc";

/// Finds out who callers are, and issues tokens.
pub(super) struct Accounts {
    pub(super) checks: Arc<Checks>,
    pub(super) verified: Arc<Verified>,
    pub(super) tokens: Tokens,
    pub(super) resolver: Resolver,
    pub(super) bearers: VerifiedTokens<Caller>,
    /// What the password of a name without a user is checked by.
    pub(super) no_password: PasswordHash,
}

#[async_trait]
impl IdentityProvider for Accounts {
    async fn identify(
        &self,
        credentials: &Credentials,
        client: IpAddr,
    ) -> Result<Caller, AuthError> {
        match credentials {
            Credentials::Bearer(text) if !AccessToken::begins(text.expose_secret()) => {
                self.bearer(text.expose_secret()).await
            }
            Credentials::Bearer(text) => {
                let state = self.resolver.directory.state().await?;
                let subject = self.by_access_token(text, None, client, state).await?;
                let subject = subject.ok_or_else(|| refusal(Some(TokenFault::Invalid)))?;
                Ok(self.resolve(&subject, state).await?.caller)
            }
            _ => Ok(self.sign_in(credentials, client).await?.caller),
        }
    }

    async fn refresh(&self) {}

    fn challenge(&self, act: Act<'_>) -> Option<Challenge> {
        Some(Challenge::Token { scope: broad(act), fault: None })
    }

    fn issuer(&self) -> Option<&dyn TokenIssuer> {
        Some(self)
    }

    fn token_service(&self) -> Option<&TokenService> {
        None
    }
}

#[async_trait]
impl TokenIssuer for Accounts {
    async fn sign_in(
        &self,
        credentials: &Credentials,
        client: IpAddr,
    ) -> Result<SignedIn, AuthError> {
        let anonymous = || SignedIn {
            caller: Caller::anonymous(),
            subject: Subject::anonymous(),
            may_refresh: false,
        };
        let (user, password) = match credentials {
            Credentials::None => return Ok(anonymous()),
            // skopeo signs in with an empty name where it has no credentials.
            Credentials::Basic { user, password }
                if user.is_empty() && password.expose_secret().is_empty() =>
            {
                return Ok(anonymous());
            }
            Credentials::Basic { user, password } => (user, password),
            Credentials::Refresh(text) => return self.refreshed(text.expose_secret()).await,
            // A token is no way to get the next one.
            Credentials::Bearer(_) | Credentials::Malformed => return Err(refusal(None)),
        };
        let state = self.resolver.directory.state().await?;
        let subject = if user == WORKLOAD {
            self.by_workload(password).await?
        } else if AccessToken::begins(password.expose_secret()) {
            self.by_access_token(password, Some(user), client, state).await?
        } else {
            self.by_password(user, password, client, state).await?
        };
        let subject = subject.ok_or_else(|| refusal(None))?;
        let caller = self.resolve(&subject, state).await?.caller;
        Ok(SignedIn { caller, subject, may_refresh: true })
    }

    async fn issue(
        &self,
        signed_in: &SignedIn,
        scopes: Scopes,
        refresh_for: Option<Duration>,
    ) -> Result<Option<Token>, AuthError> {
        let directory = &*self.resolver.directory;
        let own = self.tokens.own(directory, directory.state().await?).await?;
        let refresh_for = refresh_for.filter(|_| signed_in.may_refresh);
        self.tokens.issue(&own, &signed_in.subject, &scopes, refresh_for).map(Some)
    }

    async fn public_keys(&self) -> Result<Option<Value>, AuthError> {
        let directory = &*self.resolver.directory;
        let own = self.tokens.own(directory, directory.state().await?).await?;
        Ok(Some(own.ring().public_set()))
    }
}

impl Accounts {
    /// Finds out who the bearer of a token of the token service is.
    async fn bearer(&self, text: &str) -> Result<Caller, AuthError> {
        let now = SystemTime::now();
        // Seen before anything is looked up, so that what is remembered is never newer than that.
        let state = self.resolver.directory.state().await?;
        if let Some(caller) = self.bearers.get(text, state, now) {
            return Ok(caller);
        }
        let own = self.tokens.own(&*self.resolver.directory, state).await?;
        let token = own.verify_access(text, now).map_err(|error| invalid(&error))?;
        let resolved = self.resolver.resolve(&token.subject, state, now).await?;
        let Some(Resolved { caller, until }) = resolved else {
            tracing::info!(subject = %token.subject.name, "refused a token: its subject or credential has gone");
            return Err(refusal(Some(TokenFault::Invalid)));
        };
        let caller = Caller { scopes: Some(token.scopes), ..caller };
        let until = until.map_or(token.until, |until| until.min(token.until));
        self.bearers.insert(text, state, until, caller.clone());
        Ok(caller)
    }

    /// Signs in by a refresh token.
    async fn refreshed(&self, text: &str) -> Result<SignedIn, AuthError> {
        let state = self.resolver.directory.state().await?;
        let own = self.tokens.own(&*self.resolver.directory, state).await?;
        let token = own.verify_refresh(text, SystemTime::now()).map_err(|error| {
            tracing::info!(%error, "refused a refresh token");
            refusal(None)
        })?;
        let caller = self.resolve(&token.subject, state).await?.caller;
        // It is good again and again, so no other one is needed: docker could not store it.
        Ok(SignedIn { caller, subject: token.subject, may_refresh: false })
    }

    async fn resolve(&self, subject: &Subject, state: u64) -> Result<Resolved, AuthError> {
        let resolved = self.resolver.resolve(subject, state, SystemTime::now()).await?;
        resolved.ok_or_else(|| refusal(None))
    }

    /// Checks a password; it takes as long for a user that there is not, and for one who was imported.
    async fn by_password(
        &self,
        user: &str,
        password: &SecretString,
        client: IpAddr,
        state: u64,
    ) -> Result<Option<Subject>, AuthError> {
        let stored = match user.parse::<AccountName>() {
            Ok(name) => self.resolver.password(&name, state).await?,
            Err(_) => None,
        };
        let checked_by = match &stored {
            Some(stored) => Stored::Known(stored.hash.clone()),
            None => Stored::Unknown(self.no_password.clone()),
        };
        let sign_in = SignIn { client, user, password };
        let dearest = self.resolver.dearest_bcrypt(state).await?;
        let checked =
            self.checks.check_evenly(&self.verified, sign_in, checked_by, dearest).await?;
        let (Some(stored), Checked::Right { rehashed }) = (stored, checked) else {
            return Ok(None);
        };
        if let Some(new) = rehashed {
            self.resolver.directory.rehash(stored.id, &stored.hash, &new).await;
        }
        Ok(self.resolver.by_password(&stored, state).await?)
    }

    /// Looks up an access token, whose owner has the name `user` where one is given. A client that sends wrong ones has to
    /// pause, as with passwords.
    async fn by_access_token(
        &self,
        text: &SecretString,
        user: Option<&str>,
        client: IpAddr,
        state: u64,
    ) -> Result<Option<Subject>, AuthError> {
        let token = AccessToken::read(text).ok();
        let id = token.as_ref().map_or("", |token| token.id().as_str());
        let check = self.checks.begin_token(&self.verified, client, text, id)?;
        let subject = match &token {
            Some(token) => self.owner(token, user, state).await?,
            None => None,
        };
        check.end(subject.is_some());
        if let (Some(token), Some(_)) = (&token, &subject) {
            self.resolver.directory.note_use(token.id()).await;
        }
        Ok(subject)
    }

    /// Returns whom an access token is of, if it is right and that is the name, where one is given.
    async fn owner(
        &self,
        token: &AccessToken,
        user: Option<&str>,
        state: u64,
    ) -> Result<Option<Subject>, AuthError> {
        let Some(stored) = self.resolver.token(token.id(), state).await? else { return Ok(None) };
        if !stored.hash.is_of(token) {
            return Ok(None);
        }
        let subject = self.resolver.by_token(token.id(), &stored, state).await?;
        Ok(subject.filter(|subject| user.is_none_or(|user| user == subject.name)))
    }

    /// Verifies the token of a workload's issuer.
    async fn by_workload(&self, text: &SecretString) -> Result<Option<Subject>, AuthError> {
        let now = SystemTime::now();
        match self.resolver.workloads.identify(text.expose_secret(), now).await {
            Ok(workload) => Ok(Some(workload.as_subject())),
            Err(error) => {
                tracing::info!(%error, "refused the token of a workload");
                Ok(None)
            }
        }
    }
}

/// Refuses credentials.
fn refusal(fault: Option<TokenFault>) -> AuthError {
    AuthError::Unauthorized(Challenge::Token { scope: None, fault })
}

/// Refuses a token of the token service.
fn invalid(error: &TokenError) -> AuthError {
    tracing::info!(%error, "refused a token");
    refusal(Some(TokenFault::Invalid))
}
