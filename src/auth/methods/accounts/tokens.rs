//! The registry's signed tokens, by the keys of the directory.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::ExposeSecret;
use tokio::sync::RwLock;

use super::super::super::signed::{
    Algorithm, KeyError, KeyRing, LEEWAY, OwnTokens, SigningKey, Subject, SubjectKind,
};
use super::super::super::{AuthError, Scopes, Token};
use super::directory::{Directory, StoredKey};
use crate::config::AuthSettings;

/// The issuer of the tokens, and the service that they are for: the same in all processes, whatever their addresses.
const NAME: &str = "roadstead";

/// How long a user or a robot stays signed in by a refresh token. It ends before with the password or the access token.
const REFRESH: Duration = Duration::from_hours(90 * 24);

/// How long a token may count after its key has signed for the last time. All other tokens end within a day.
pub const LONGEST_TOKEN: Duration = REFRESH.saturating_add(LEEWAY);

/// Issues tokens and verifies them.
pub(super) struct Tokens {
    algorithm: Algorithm,
    lifetime: Duration,
    workload_session: Duration,
    loaded: RwLock<Option<Loaded>>,
}

/// The tokens by the keys as they were in some state of the accounts.
struct Loaded {
    state: u64,
    /// When another one of these keys begins to sign, if that is known.
    until: Option<SystemTime>,
    tokens: Arc<OwnTokens>,
}

impl Loaded {
    /// Returns the tokens, if they are by the keys as they are now.
    fn current(&self, state: u64, now: SystemTime) -> Option<Arc<OwnTokens>> {
        let is_current = self.state == state && self.until.is_none_or(|until| now < until);
        is_current.then(|| Arc::clone(&self.tokens))
    }
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
        let now = SystemTime::now();
        let current = |loaded: &Option<Loaded>| loaded.as_ref()?.current(state, now);
        if let Some(tokens) = current(&*self.loaded.read().await) {
            return Ok(tokens);
        }
        let mut loaded = self.loaded.write().await;
        if let Some(tokens) = current(&loaded) {
            return Ok(tokens);
        }
        let keys = directory.signing_keys().await?;
        let (ring, until) = self.ring(&keys, now)?;
        let tokens = Arc::new(OwnTokens::new(NAME, NAME, ring));
        *loaded = Some(Loaded { state, until, tokens: Arc::clone(&tokens) });
        Ok(tokens)
    }

    /// Returns the keys as they are at a time, and when another one begins to sign. Of those that sign, that is the one
    /// which is retired first: the others are known before they do.
    fn ring(
        &self,
        keys: &[StoredKey],
        now: SystemTime,
    ) -> Result<(KeyRing, Option<SystemTime>), AuthError> {
        let mut signing: Vec<(Option<SystemTime>, SigningKey)> = Vec::new();
        let mut others = Vec::new();
        for key in keys {
            let signs =
                key.algorithm == self.algorithm && key.retired.is_none_or(|until| now < until);
            match SigningKey::from_pkcs8(key.algorithm, key.private_key.expose_secret()) {
                Ok(pair) if signs => signing.push((key.retired, pair)),
                Ok(pair) => others.push(pair),
                Err(error) => tracing::error!(%error, "failed to read a signing key"),
            }
        }
        signing.sort_by_key(|(retired, _)| (retired.is_none(), *retired));
        let mut signing = signing.into_iter();
        let Some((until, current)) = signing.next() else {
            tracing::error!(algorithm = %self.algorithm, "there is no key to sign tokens with");
            return Err(AuthError::Unavailable);
        };
        others.extend(signing.map(|(_, pair)| pair));
        Ok((KeyRing::new(current, others), until))
    }

    /// Issues a token that is good for those scopes at most, and a refresh token, for that long at most, if that is to be
    /// had.
    pub(super) fn issue(
        &self,
        own: &OwnTokens,
        subject: &Subject,
        scopes: &Scopes,
        refresh_for: Option<Duration>,
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
        if let (Some(limit), Some(lifetime)) = (refresh_for, refreshed_for) {
            let lifetime = lifetime.min(limit);
            let refresh = own.refresh(subject, lifetime, now).map_err(failed)?;
            token.refresh = Some(refresh.text);
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::signed::generate;
    use super::*;
    use crate::config::{Settings, Sources};

    #[test]
    fn a_key_is_published_before_it_signs_and_until_it_is_removed() {
        let settings = Settings::load(&Sources::default()).unwrap();
        let tokens = Tokens::new(&settings.auth);
        let start = SystemTime::UNIX_EPOCH + Duration::from_hours(1000);
        let at = |minutes| start + Duration::from_mins(minutes);
        let key = |algorithm, retired| StoredKey {
            algorithm,
            private_key: generate(algorithm).unwrap(),
            retired,
        };
        // As the index lists them, the newest first.
        let keys = [
            key(Algorithm::Es256, None),
            key(Algorithm::EdDsa, None),
            key(Algorithm::EdDsa, Some(at(20))),
            key(Algorithm::EdDsa, Some(at(10))),
        ];
        let id = |key: &StoredKey| {
            let pair = SigningKey::from_pkcs8(key.algorithm, key.private_key.expose_secret());
            pair.unwrap().id().to_owned()
        };
        for (now, expected, until) in [
            (0, 3, Some(at(10))),
            (9, 3, Some(at(10))),
            (10, 2, Some(at(20))),
            (20, 1, None),
            (1000, 1, None),
        ] {
            let (ring, ends) = tokens.ring(&keys, at(now)).unwrap();
            assert_eq!(ring.current().id(), id(&keys[expected]), "{now}");
            assert_eq!(ends, until, "{now}");
            assert_eq!(ring.public_set()["keys"].as_array().map(Vec::len), Some(4), "{now}");
        }
        assert!(tokens.ring(&keys[..1], at(0)).is_err(), "of another algorithm");
        assert!(tokens.ring(&keys[3..], at(10)).is_err(), "it is retired");
    }
}
