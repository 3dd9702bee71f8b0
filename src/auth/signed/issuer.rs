//! An issuer of tokens that the operator trusts: a token service, or what gives workloads their identities.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::Deserialize;

use super::error::TokenError;
use super::fetched_keys::{FetchedKeys, KeyAddress, Pace};
use super::fetcher::KeyFetcher;
use super::foreign_claims::ForeignClaims;
use super::jws;
use super::key_file::{self, KeyFile};
use super::key_set::KeySet;

/// Where the keys of an issuer come from.
pub enum KeySource {
    /// A file with a set of keys, which is read again when it changes.
    File(PathBuf),
    /// A set of keys at a URL.
    Url(String, Arc<dyn KeyFetcher>),
    /// What the discovery document below the issuer's own URL says.
    Discovery(Arc<dyn KeyFetcher>),
}

/// An issuer whose tokens are verified.
pub struct Issuer {
    name: String,
    keys: Keys,
    last: Mutex<Option<Arc<KeySet>>>,
    version: AtomicU64,
}

enum Keys {
    File(KeyFile),
    Fetched(Arc<FetchedKeys>),
}

impl Issuer {
    /// Opens an issuer by the exact text of its tokens' `iss`. A file has to be good now; nothing is fetched yet.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub fn open(name: impl Into<String>, source: KeySource) -> Result<Self, String> {
        Self::with(name.into(), source, Pace::default())
    }

    fn with(name: String, source: KeySource, pace: Pace) -> Result<Self, String> {
        let keys = match source {
            KeySource::File(path) => Keys::File(key_file::open(&path)?),
            KeySource::Url(url, fetcher) => {
                Keys::Fetched(FetchedKeys::new(KeyAddress::Url(url), fetcher, pace))
            }
            KeySource::Discovery(fetcher) => {
                Keys::Fetched(FetchedKeys::new(KeyAddress::Discovery(name.clone()), fetcher, pace))
            }
        };
        Ok(Self { name, keys, last: Mutex::default(), version: AtomicU64::new(0) })
    }

    /// Returns its name, as its tokens have it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a number that changes with its keys: what was verified under another one is to be verified again.
    pub async fn version(&self) -> u64 {
        let _ = self.current().await;
        self.version.load(Ordering::Acquire)
    }

    /// Verifies a token: its signature, its issuer and its times. Its audience and all else is for the caller to check.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn verify(&self, text: &str, now: SystemTime) -> Result<ForeignClaims, TokenError> {
        let header = jws::header(text)?;
        let keys = self.current().await.ok_or(TokenError::NoKeys)?;
        let claims = match keys.verify(text, &header) {
            // The issuer may have other keys by now, also under a name that is known.
            Err(refused @ (TokenError::UnknownKey | TokenError::Signature)) => {
                let newer = self.newer(&keys).await.ok_or(refused)?;
                newer.verify(text, &header)?
            }
            verified => verified?,
        };
        claims.check(&self.name, now)?;
        Ok(claims)
    }

    async fn current(&self) -> Option<Arc<KeySet>> {
        let keys = match &self.keys {
            Keys::File(file) => Some(file.current().await),
            Keys::Fetched(fetched) => fetched.current().await,
        };
        keys.inspect(|keys| self.note(keys))
    }

    async fn newer(&self, than: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let keys = match &self.keys {
            Keys::File(file) => Some(file.current().await).filter(|keys| !Arc::ptr_eq(keys, than)),
            Keys::Fetched(fetched) => fetched.newer(than).await,
        };
        keys.inspect(|keys| self.note(keys))
    }

    /// Counts the version up if these are other keys than before.
    fn note(&self, keys: &Arc<KeySet>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !last.as_ref().is_some_and(|last| Arc::ptr_eq(last, keys)) {
            *last = Some(Arc::clone(keys));
            self.version.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Returns which issuer a token says that it is of, to choose the one that verifies it. Nothing of it is verified.
#[must_use]
pub fn claimed_issuer(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
    }

    jws::header(text).ok()?;
    let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(text).ok()?;
    Some(claims.iss)
}

#[cfg(test)]
mod tests;
