//! A key that signatures are verified with, and the one algorithm that it is for.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse, ThumbprintHash,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header, Validation};
use serde::de::DeserializeOwned;

use super::error::TokenError;

/// A public key. Its algorithm is a property of the key, never of a token.
pub(super) struct PublicKey {
    id: String,
    algorithm: Algorithm,
    key: DecodingKey,
    validation: Validation,
}

impl PublicKey {
    /// Takes a key of a set; none if it is not for signatures, or not of a kind that is known here. Its id is that of
    /// the set, else its thumbprint (RFC 7638).
    pub(super) fn new(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let is_for_signatures =
            matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        let operations = common.key_operations.as_deref();
        if !is_for_signatures || operations.is_some_and(|it| !it.contains(&KeyOperations::Verify)) {
            return None;
        }
        // What the key itself can do decides; `alg` may only choose among that.
        let (family, by_kind) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (AlgorithmFamily::Rsa, Algorithm::RS256),
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => (AlgorithmFamily::Ec, Algorithm::ES256),
                EllipticCurve::P384 => (AlgorithmFamily::Ec, Algorithm::ES384),
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (AlgorithmFamily::Ed, Algorithm::EdDSA)
            }
            _ => return None,
        };
        let algorithm = match common.key_algorithm {
            None => by_kind,
            Some(named) => Algorithm::try_from(named).ok()?,
        };
        let is_fitting = algorithm.family() == family
            && (family == AlgorithmFamily::Rsa || algorithm == by_kind);
        if !is_fitting {
            return None;
        }
        let id = match &common.key_id {
            Some(id) => id.clone(),
            None => jwk.thumbprint(ThumbprintHash::SHA256).ok()?,
        };
        // Times, issuer and audience are checked by those who know what they have to be.
        let mut validation = Validation::new(algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        Some(Self { id, algorithm, key: DecodingKey::from_jwk(jwk).ok()?, validation })
    }

    /// Returns its id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the algorithm that it is for.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Verifies the signature of a token, and reads its claims.
    pub(super) fn verify<T: DeserializeOwned>(
        &self,
        text: &str,
        header: &Header,
    ) -> Result<T, TokenError> {
        if header.alg != self.algorithm {
            return Err(TokenError::Algorithm);
        }
        let decoded = jsonwebtoken::decode(text, &self.key, &self.validation);
        decoded.map(|token| token.claims).map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => TokenError::Signature,
            ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
            _ => TokenError::Malformed,
        })
    }
}
