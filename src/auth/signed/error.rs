//! Why a token is refused, and why a key cannot be used. These go to the log, never to a client.

use thiserror::Error;

use super::fetcher::FetchError;

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It has more bytes than any token that could be good.
    #[error("it is too long")]
    TooLong,
    /// It is no signed token, or its claims have another form.
    #[error("it is malformed")]
    Malformed,
    /// Its header names an algorithm that its key is not for.
    #[error("its algorithm is not the one of its key")]
    Algorithm,
    /// Its header names no key that is known, or none at all.
    #[error("its key is unknown")]
    UnknownKey,
    /// It was not signed by its key.
    #[error("its signature is wrong")]
    Signature,
    /// It is for another purpose, such as a refresh token where an access token is needed.
    #[error("it is of another type")]
    Type,
    /// It was issued by another.
    #[error("its issuer is another")]
    Issuer,
    /// It was made for another service.
    #[error("its audience is another")]
    Audience,
    /// Its end has passed.
    #[error("it has expired")]
    Expired,
    /// Its begin is to come.
    #[error("it is not valid yet")]
    NotYetValid,
    /// A claim is missing, or has another form.
    #[error("its claim `{0}` is missing or malformed")]
    Claim(&'static str),
    /// No rule lets its workload in.
    #[error("no rule of `auth.workloads` matches its claims")]
    NoRule,
    /// The keys of its issuer could not be had.
    #[error("the keys of its issuer are not available")]
    NoKeys,
}

/// Why a key cannot be made or used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A new one cannot be made.
    #[error("cannot make a signing key of {0}")]
    Generate(&'static str),
    /// The bytes are no key pair of that algorithm in PKCS #8.
    #[error("the signing key is not a key pair of {0} in PKCS #8")]
    Malformed(&'static str),
    /// Signing failed.
    #[error("cannot sign a token")]
    Sign,
    /// The token would be longer than any that is accepted.
    #[error("cannot issue a token of {0} bytes: too many scopes")]
    TooLong(usize),
}

/// Why the keys of an issuer cannot be had.
#[derive(Debug, Error)]
pub(super) enum KeySourceError {
    /// The document is not there, or could not be fetched.
    #[error("cannot fetch {url}")]
    Fetch {
        /// What was fetched.
        url: String,
        /// Why it failed.
        source: FetchError,
    },
    /// It took too long.
    #[error("cannot fetch {0}: no answer in time")]
    TimedOut(String),
    /// It is too long.
    #[error("{0} is longer than a document of keys may be")]
    TooLong(String),
    /// The discovery document is of another issuer, or is none.
    #[error("{url} is not the discovery document of the issuer: {reason}")]
    Discovery {
        /// Where it was.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It has no keys that can be used.
    #[error("{0}")]
    Keys(String),
}
