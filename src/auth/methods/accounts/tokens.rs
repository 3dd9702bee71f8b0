//! The registry's signed tokens, by the keys of the directory.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::ExposeSecret;
use tokio::sync::RwLock;

use super::super::super::signed::{
    Algorithm, KeyError, KeyRing, OwnTokens, SigningKey, Subject, SubjectKind,
};
use super::super::super::{AuthError, Scopes, Token};
use super::directory::{Directory, StoredKey};
use crate::config::AuthSettings;

/// The issuer of the tokens, and the service that they are for: the same in all processes, whatever their addresses.
const NAME: &str = "roadstead";

/// How long a user or a robot stays signed in by a refresh token. It ends before with the password or the access token.
const REFRESH: Duration = Duration::from_hours(90 * 24);

/// Issues tokens and verifies them.
pub(super) struct Tokens {
    algorithm: Algorithm,
    lifetime: Duration,
    workload_session: Duration,
    /// By the keys as they were in some state of the accounts.
    loaded: RwLock<Option<(u64, Arc<OwnTokens>)>>,
}

impl Tokens {
    pub(super) fn new(settings: &AuthSettings) -> Self {
        Self {
            // The settings know no other word.
            algorithm: settings.accounts.token_algorithm.parse().unwrap_or_default(),
            lifetime: settings.token_lifetime,
            workload_session: settings.workload_session,
            loaded: RwLock::default(),
        }
    }

    /// Returns the tokens by the keys as they are in that state of the accounts.
    pub(super) async fn own(
        &self,
        directory: &dyn Directory,
        state: u64,
    ) -> Result<Arc<OwnTokens>, AuthError> {
        if let Some((then, tokens)) = &*self.loaded.read().await
            && *then == state
        {
            return Ok(Arc::clone(tokens));
        }
        let mut loaded = self.loaded.write().await;
        if let Some((then, tokens)) = &*loaded
            && *then == state
        {
            return Ok(Arc::clone(tokens));
        }
        let keys = directory.signing_keys().await?;
        let tokens = Arc::new(OwnTokens::new(NAME, NAME, self.ring(&keys)?));
        *loaded = Some((state, Arc::clone(&tokens)));
        Ok(tokens)
    }

    fn ring(&self, keys: &[StoredKey]) -> Result<KeyRing, AuthError> {
        let signs = |key: &StoredKey| key.algorithm == self.algorithm && !key.is_retired;
        let (mut current, mut others) = (None, Vec::new());
        for key in keys {
            match SigningKey::from_pkcs8(key.algorithm, key.private_key.expose_secret()) {
                Ok(pair) if signs(key) && current.is_none() => current = Some(pair),
                Ok(pair) => others.push(pair),
                Err(error) => tracing::error!(%error, "failed to read a signing key"),
            }
        }
        let Some(current) = current else {
            tracing::error!(algorithm = %self.algorithm, "there is no key to sign tokens with");
            return Err(AuthError::Unavailable);
        };
        Ok(KeyRing::new(current, others))
    }

    /// Issues a token that is good for those scopes at most, and a refresh token if that is to be had.
    pub(super) fn issue(
        &self,
        own: &OwnTokens,
        subject: &Subject,
        scopes: &Scopes,
        with_refresh: bool,
    ) -> Result<Token, AuthError> {
        let now = SystemTime::now();
        let failed = |error: KeyError| {
            tracing::error!(%error, "failed to issue a token");
            AuthError::Unavailable
        };
        let mut token = own.access(subject, scopes, self.lifetime, now).map_err(failed)?;
        let refreshed_for = match subject.kind {
            SubjectKind::Anonymous => None,
            SubjectKind::User | SubjectKind::Robot => Some(REFRESH),
            SubjectKind::Workload => Some(self.workload_session),
        };
        if let (true, Some(lifetime)) = (with_refresh, refreshed_for) {
            let refresh = own.refresh(subject, lifetime, now).map_err(failed)?;
            token.refresh = Some(refresh.text);
        }
        Ok(token)
    }
}
