//! The tokens of this registry: issued and verified.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{Access, Scopes, Token};
use super::error::{KeyError, TokenError};
use super::jws;
use super::key_ring::KeyRing;
use super::own_claims::{OwnClaims, OwnSubject};
use super::subject::Subject;

/// The types of tokens, as the header `typ` says them. The stock registry's specification has `JWT`.
const ACCESS: &str = "JWT";
const REFRESH: &str = "refresh+jwt";

/// The audience of refresh tokens: no service has that name, since it has a space.
const REFRESH_AUDIENCE: &str = "roadstead refresh";

/// Issues the registry's tokens, and verifies them.
pub struct OwnTokens {
    issuer: String,
    service: String,
    ring: RwLock<Arc<KeyRing>>,
}

/// What a verified access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Who it is of.
    pub subject: Subject,
    /// What it is good for at most.
    pub scopes: Arc<Scopes>,
    /// Its id, `jti`.
    pub id: String,
    /// Until when it counts, the leeway included.
    pub until: SystemTime,
}

/// What a verified refresh token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// Who it is of.
    pub subject: Subject,
    /// Its id, `jti`.
    pub id: String,
    /// When it was issued.
    pub issued: SystemTime,
    /// Until when it counts, the leeway included.
    pub until: SystemTime,
}

impl OwnTokens {
    /// Issues tokens as `issuer` for `service`, the name by which clients request them. Both have to be the same in all
    /// processes of the registry.
    #[must_use]
    pub fn new(issuer: impl Into<String>, service: impl Into<String>, ring: KeyRing) -> Self {
        let ring = RwLock::new(Arc::new(ring));
        Self { issuer: issuer.into(), service: service.into(), ring }
    }

    /// Replaces the keys. Tokens of keys that are gone end at once.
    pub fn rotate(&self, ring: KeyRing) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    /// Returns the keys.
    #[must_use]
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Issues a token that is good for those scopes at most.
    ///
    /// # Errors
    /// [`KeyError::Sign`]; [`KeyError::TooLong`].
    pub fn access(
        &self,
        subject: &Subject,
        scopes: &Scopes,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Token, KeyError> {
        self.issue(ACCESS, &self.service, subject, scopes.access(), lifetime, now)
    }

    /// Issues a token that its bearer gets access tokens for. It is never accepted as one.
    ///
    /// # Errors
    /// [`KeyError::Sign`]; [`KeyError::TooLong`].
    pub fn refresh(
        &self,
        subject: &Subject,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Token, KeyError> {
        self.issue(REFRESH, REFRESH_AUDIENCE, subject, Vec::new(), lifetime, now)
    }

    fn issue(
        &self,
        kind: &str,
        audience: &str,
        subject: &Subject,
        access: Vec<Access>,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Token, KeyError> {
        let now = jws::seconds(now);
        let claims = OwnClaims {
            iss: self.issuer.clone(),
            sub: subject.name.clone(),
            aud: audience.to_owned(),
            exp: now.saturating_add(lifetime.as_secs()),
            nbf: now,
            iat: now,
            jti: Uuid::new_v4().to_string(),
            access,
            roadstead: OwnSubject {
                kind: subject.kind,
                id: subject.id.clone(),
                credential: subject.credential.clone(),
                rules: subject.rules.clone(),
            },
        };
        let ring = self.ring();
        let key = ring.current();
        let header = json!({ "alg": key.algorithm().name(), "kid": key.id(), "typ": kind });
        let text = compact(&header, &json!(claims), |message| key.sign(message))?;
        if text.len() > jws::LONGEST {
            return Err(KeyError::TooLong(text.len()));
        }
        Ok(Token { text: text.into(), lifetime, refresh: None })
    }

    /// Verifies an access token. That it was once issued says nothing about what its subject may do now.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify_access(&self, text: &str, now: SystemTime) -> Result<AccessToken, TokenError> {
        let claims = self.verify(text, ACCESS, &self.service, now)?;
        Ok(AccessToken {
            scopes: Arc::new(Scopes::from_access(&claims.access)),
            id: claims.jti.clone(),
            until: jws::until(claims.exp),
            subject: claims.into_subject(),
        })
    }

    /// Verifies a refresh token.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify_refresh(&self, text: &str, now: SystemTime) -> Result<RefreshToken, TokenError> {
        let claims = self.verify(text, REFRESH, REFRESH_AUDIENCE, now)?;
        Ok(RefreshToken {
            id: claims.jti.clone(),
            issued: SystemTime::UNIX_EPOCH
                .checked_add(Duration::from_secs(claims.iat))
                .ok_or(TokenError::Claim("iat"))?,
            until: jws::until(claims.exp),
            subject: claims.into_subject(),
        })
    }

    fn verify(
        &self,
        text: &str,
        kind: &str,
        audience: &str,
        now: SystemTime,
    ) -> Result<OwnClaims, TokenError> {
        let header = jws::header(text)?;
        let ring = self.ring();
        let key = header.kid.as_deref().and_then(|id| ring.find(id));
        let claims: OwnClaims = key.ok_or(TokenError::UnknownKey)?.verify(text, &header)?;
        if header.typ.as_deref() != Some(kind) {
            return Err(TokenError::Type);
        }
        if claims.iss != self.issuer {
            return Err(TokenError::Issuer);
        }
        if claims.aud != audience {
            return Err(TokenError::Audience);
        }
        jws::is_in_time(Some(claims.nbf), claims.exp, now)?;
        Ok(claims)
    }
}

impl OwnClaims {
    fn into_subject(self) -> Subject {
        let OwnSubject { kind, id, credential, rules } = self.roadstead;
        Subject { kind, id, name: self.sub, credential, rules }
    }
}

/// Writes a signed token (RFC 7515, 7.1).
pub(super) fn compact(
    header: &Value,
    claims: &Value,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, KeyError>,
) -> Result<String, KeyError> {
    let [header, claims] =
        [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = format!("{header}.{claims}");
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(message.as_bytes())?);
    Ok(format!("{message}.{signature}"))
}

/// Makes the token of another issuer, for tests of what verifies it.
#[cfg(test)]
pub(crate) fn sign_claims(key: &super::SigningKey, claims: &Value) -> String {
    let header = json!({ "alg": key.algorithm().name(), "kid": key.id(), "typ": "JWT" });
    compact(&header, claims, |message| key.sign(message)).expect("the key is good")
}

#[cfg(test)]
mod tests;
