//! Tokens of an external token service, as the stock registry takes them. Clients sign in there. A client may do what the
//! claim `access` of its token lists, and nothing without a token.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use secrecy::ExposeSecret;

use super::super::policy::EveryToken;
use super::super::scope::needed;
use super::super::signed::{FetchOptions, Issuer, KeySource, TokenError, VerifiedTokens};
use super::super::{
    AccessControl, Act, AuthError, Caller, CallerKind, Challenge, Credentials, IdentityProvider,
    TokenFault, TokenIssuer, TokenService,
};
use super::{AuthContext, SetupError};
use crate::config::{AuthSettings, JwksSource};

/// Makes the method. The keys of a file have to be good now; others are fetched when the first token comes.
pub(super) fn open(
    settings: &AuthSettings,
    context: &AuthContext<'_>,
) -> Result<AccessControl, SetupError> {
    let settings = &settings.token;
    let options = FetchOptions {
        setting: "auth.token",
        ca_file: settings.ca_file.clone(),
        token_file: None,
        allow_private_addresses: settings.allow_private_addresses,
    };
    let fetcher = || (context.open_fetcher)(&options);
    let (source, file) = match &settings.jwks {
        JwksSource::File(path) => (KeySource::File(path.clone()), path.clone()),
        JwksSource::Url(url) => (KeySource::Url(url.clone(), fetcher()?), PathBuf::new()),
        JwksSource::Discovery => (KeySource::Discovery(fetcher()?), PathBuf::new()),
    };
    let setting = "auth.token.jwks_file";
    let issuer = Issuer::open(&settings.issuer, source).map_err(|reason| SetupError {
        setting,
        file,
        reason,
    })?;
    let provider = TokenMethod {
        issuer,
        service: TokenService { realm: settings.realm.clone(), service: settings.service.clone() },
        verified: VerifiedTokens::default(),
    };
    Ok(AccessControl { provider: Box::new(provider), policy: Box::new(EveryToken) })
}

struct TokenMethod {
    issuer: Issuer,
    service: TokenService,
    verified: VerifiedTokens<Caller>,
}

#[async_trait]
impl IdentityProvider for TokenMethod {
    async fn identify(&self, credentials: &Credentials, _: IpAddr) -> Result<Caller, AuthError> {
        match credentials {
            Credentials::None => Ok(Caller::anonymous()),
            // skopeo signs in with an empty name where it has no credentials.
            Credentials::Basic { user, password }
                if user.is_empty() && password.expose_secret().is_empty() =>
            {
                Ok(Caller::anonymous())
            }
            Credentials::Bearer(token) => {
                self.bearer(token.expose_secret(), SystemTime::now()).await.map_err(|error| {
                    tracing::info!(%error, issuer = self.issuer.name(), "refused a token");
                    let fault = Some(TokenFault::Invalid);
                    AuthError::Unauthorized(Challenge::Token { scope: None, fault })
                })
            }
            // Passwords are for the token service.
            Credentials::Basic { .. } | Credentials::Refresh(_) | Credentials::Malformed => {
                Err(AuthError::Unauthorized(Challenge::Token { scope: None, fault: None }))
            }
        }
    }

    async fn refresh(&self) {}

    fn challenge(&self, act: Act<'_>) -> Option<Challenge> {
        Some(Challenge::Token { scope: needed(act), fault: None })
    }

    fn issuer(&self) -> Option<&dyn TokenIssuer> {
        None
    }

    fn token_service(&self) -> Option<&TokenService> {
        Some(&self.service)
    }
}

impl TokenMethod {
    async fn bearer(&self, text: &str, now: SystemTime) -> Result<Caller, TokenError> {
        // Read before the token is verified: other keys may come meanwhile.
        let version = self.issuer.version().await;
        if let Some(caller) = self.verified.get(text, version, now) {
            return Ok(caller);
        }
        let claims = self.issuer.verify(text, now).await?;
        if !claims.is_for(&self.service.service) {
            return Err(TokenError::Audience);
        }
        let kind = match claims.subject() {
            "" => CallerKind::Anonymous,
            name => CallerKind::User { name: name.to_owned(), id: None },
        };
        let scopes = Some(Arc::new(claims.scopes()?));
        let caller = Caller { kind, scopes, ..Caller::default() };
        self.verified.insert(text, version, claims.until(), caller.clone());
        Ok(caller)
    }
}

#[cfg(test)]
mod tests;
