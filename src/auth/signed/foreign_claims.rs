//! What a token of another issuer says.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::{Access, Scopes};
use super::error::TokenError;
use super::jws;

/// The claims of a token of another issuer, whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ForeignClaims(Map<String, Value>);

impl ForeignClaims {
    /// Returns a claim.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns who the token is of; empty where it says nothing, as for anonymous clients.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.0.get("sub").and_then(Value::as_str).unwrap_or_default()
    }

    /// Tells whether it is for a service: `aud` is that text, or a list that has it.
    #[must_use]
    pub fn is_for(&self, audience: &str) -> bool {
        match self.0.get("aud") {
            Some(Value::String(text)) => text == audience,
            // A list of anything else is none.
            Some(Value::Array(items)) => {
                items.iter().all(Value::is_string) && items.iter().any(|item| item == audience)
            }
            _ => false,
        }
    }

    /// Returns what the token is good for, as a token service of a registry says it (`access`).
    ///
    /// # Errors
    /// [`TokenError::Claim`] when it is malformed; without the claim there are no scopes.
    pub fn scopes(&self) -> Result<Scopes, TokenError> {
        let access = match self.0.get("access") {
            None | Some(Value::Null) => return Ok(Scopes::default()),
            Some(access) => Vec::<Access>::deserialize(access),
        };
        Ok(Scopes::from_access(&access.map_err(|_| TokenError::Claim("access"))?))
    }

    /// Returns until when the token counts, the leeway included.
    #[must_use]
    pub fn until(&self) -> SystemTime {
        jws::until(self.time("exp").ok().flatten().unwrap_or_default())
    }

    /// Checks what holds of each token: who issued it, and when it counts. Issuers are compared byte for byte.
    pub(super) fn check(&self, issuer: &str, now: SystemTime) -> Result<(), TokenError> {
        match self.0.get("iss") {
            Some(Value::String(text)) if text == issuer => {}
            _ => return Err(TokenError::Issuer),
        }
        if !matches!(self.0.get("sub"), None | Some(Value::String(_))) {
            return Err(TokenError::Claim("sub"));
        }
        self.time("iat")?;
        let end = self.time("exp")?.ok_or(TokenError::Claim("exp"))?;
        jws::is_in_time(self.time("nbf")?, end, now)
    }

    /// Reads a time (RFC 7519, 2, `NumericDate`), which may have a fraction. What has another form is an error, never
    /// the same as none.
    fn time(&self, name: &'static str) -> Result<Option<u64>, TokenError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        if let Some(seconds) = value.as_u64() {
            return Ok(Some(seconds));
        }
        let seconds = value.as_f64().filter(|it| (0.0..=f64::from(u32::MAX)).contains(it));
        let seconds = seconds.ok_or(TokenError::Claim(name))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is in the range of a u32"
        )]
        Ok(Some(seconds as u64))
    }
}
