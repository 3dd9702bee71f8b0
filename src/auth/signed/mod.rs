//! Signed tokens (JSON Web Tokens, RFC 7519): the registry's own, and those of issuers that the operator trusts.
//!
//! The identity providers of this room issue and verify them here. What a token says is who its bearer is and what it
//! is good for at most; what the bearer may do is decided elsewhere, at each request. Nothing here decides about rights,
//! opens a connection (a [`KeyFetcher`] does) or reads the index: keys come in and go out as bytes.

mod algorithm;
mod error;
mod fetched_keys;
mod fetcher;
mod foreign_claims;
mod issuer;
mod jws;
mod key_file;
mod key_ring;
mod key_set;
mod own_claims;
mod own_tokens;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod public_key;
mod signing_key;
mod subject;
mod verified_tokens;

pub use algorithm::Algorithm;
pub use error::{KeyError, TokenError};
pub use fetcher::{FetchError, FetchOptions, KeyFetcher, OpenFetcher};
pub use foreign_claims::ForeignClaims;
pub use issuer::{Issuer, KeySource, claimed_issuer};
pub use jws::LEEWAY;
pub use key_ring::KeyRing;
#[cfg(test)]
pub(super) use own_tokens::sign_claims;
pub use own_tokens::{AccessToken, OwnTokens, RefreshToken};
pub use signing_key::{SigningKey, generate};
pub use subject::{Subject, SubjectKind};
pub use verified_tokens::VerifiedTokens;
