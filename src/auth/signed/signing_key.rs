//! The registry's own key pairs.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use secrecy::SecretSlice;

use super::algorithm::Algorithm;
use super::error::KeyError;
use super::public_key::PublicKey;

/// Makes a new key pair, as the bytes of PKCS #8 that [`SigningKey::from_pkcs8`] reads. One of RS256 takes a fraction of
/// a second of CPU.
///
/// # Errors
/// [`KeyError::Generate`].
pub fn generate(algorithm: Algorithm) -> Result<SecretSlice<u8>, KeyError> {
    let failed = |_| KeyError::Generate(algorithm.name());
    let random = SystemRandom::new();
    let bytes = match algorithm {
        Algorithm::EdDsa => {
            Ed25519KeyPair::generate_pkcs8v1(&random).map_err(failed)?.as_ref().to_vec()
        }
        Algorithm::Es256 => {
            let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
            pair.map_err(failed)?.as_ref().to_vec()
        }
        Algorithm::Rs256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
            pair.as_der().map_err(failed)?.as_ref().to_vec()
        }
    };
    Ok(bytes.into())
}

/// A key pair that tokens are signed with. It is parsed once: that takes longer than a signature.
pub struct SigningKey {
    pair: Pair,
    algorithm: Algorithm,
    public: PublicKey,
    jwk: Jwk,
}

enum Pair {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    /// Reads a key pair.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] when the bytes are no key pair of that algorithm.
    pub fn from_pkcs8(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed(algorithm.name());
        let (pair, key) = match algorithm {
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(bytes).map_err(|_| malformed())?;
                let key = DecodingKey::from_ed_der(pair.public_key().as_ref());
                (Pair::Ed(pair), key)
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes);
                let pair = pair.map_err(|_| malformed())?;
                let key = DecodingKey::from_ec_der(pair.public_key().as_ref());
                (Pair::Ec(pair), key)
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(bytes).map_err(|_| malformed())?;
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let key = DecodingKey::from_rsa_raw_components(&parts.n, &parts.e);
                (Pair::Rsa(pair), key)
            }
        };
        let jwk = Jwk::from_decoding_key(&key, Some(algorithm.of_library()));
        let mut jwk = jwk.map_err(|_| malformed())?;
        let id = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| malformed())?;
        jwk.common.key_id = Some(id);
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let public = PublicKey::new(&jwk).ok_or_else(malformed)?;
        Ok(Self { pair, algorithm, public, jwk })
    }

    /// Returns its id, `kid`: the thumbprint of its public part (RFC 7638).
    #[must_use]
    pub fn id(&self) -> &str {
        self.public.id()
    }

    /// Returns its algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// Signs bytes, in the form of RFC 7518, 3.3 and 3.4, and RFC 8037, 3.1.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ed(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Ec(pair) => {
                let signature = pair.sign(&random, message).map_err(|_| KeyError::Sign)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| KeyError::Sign)?;
                Ok(signature)
            }
        }
    }
}
