//! The public keys of an issuer (RFC 7517, 5).

use jsonwebtoken::Header;
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde_json::Value;

use super::error::TokenError;
use super::foreign_claims::ForeignClaims;
use super::public_key::PublicKey;

/// The longest document of an issuer that is read.
pub(super) const LONGEST: usize = 256 * 1024;

/// How many keys of a set are used.
const MOST: usize = 100;

/// The keys of an issuer that signatures can be verified with.
pub(super) struct KeySet(Vec<PublicKey>);

impl KeySet {
    /// Reads a set; keys of other kinds and for other uses are passed over.
    ///
    /// # Errors
    /// Why there is no key in it that can be used.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }

        let document: Document = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is no set of JSON web keys: {error}"))?;
        if document.keys.len() > MOST {
            return Err(format!("it has more than {MOST} keys"));
        }
        let read = |key: Value| PublicKey::new(&Jwk::deserialize(key).ok()?);
        let keys: Vec<PublicKey> = document.keys.into_iter().filter_map(read).collect();
        if keys.is_empty() {
            return Err("it has no public key for signatures of a known algorithm".to_owned());
        }
        Ok(Self(keys))
    }

    /// Verifies a token by the key that it names. One that names none is good only where there is one key of its
    /// algorithm.
    pub(super) fn verify(&self, text: &str, header: &Header) -> Result<ForeignClaims, TokenError> {
        let named = |key: &&PublicKey| match header.kid.as_deref() {
            Some(id) => key.id() == id,
            None => key.algorithm() == header.alg,
        };
        let candidates: Vec<&PublicKey> = self.0.iter().filter(named).collect();
        let is_ambiguous = header.kid.is_none() && candidates.len() > 1;
        let mut refused = TokenError::UnknownKey;
        for key in if is_ambiguous { Vec::new() } else { candidates } {
            match key.verify(text, header) {
                Ok(claims) => return Ok(claims),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }
}
