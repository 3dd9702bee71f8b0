//! The keys of an issuer that are fetched: when, how often, and for how long they count.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::time::timeout;

use super::error::KeySourceError;
use super::fetcher::KeyFetcher;
use super::key_set::{KeySet, LONGEST};

/// How long all requests for one set may take together.
const FETCH_TIME: Duration = Duration::from_secs(10);

/// The longest URL that a discovery document may name.
const URL_BYTES: usize = 2048;

/// Where the keys are.
pub(super) enum KeyAddress {
    /// At a URL.
    Url(String),
    /// Where the discovery document of this issuer says (`OpenID` Connect Discovery 1.0, 4).
    Discovery(String),
}

/// How often keys are fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// For how long they are not fetched again without a reason.
    pub(super) fresh: Duration,
    /// For how long they count while they cannot be fetched.
    pub(super) stale: Duration,
    /// The time between two fetches, whatever the reason.
    pub(super) pause: Duration,
    /// The same while there are no keys at all.
    pub(super) first_pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            fresh: Duration::from_mins(30),
            stale: Duration::from_hours(24),
            pause: Duration::from_mins(1),
            first_pause: Duration::from_secs(30),
        }
    }
}

/// The keys of an issuer, fetched when they are needed, and once for all who wait for them.
pub(super) struct FetchedKeys {
    address: KeyAddress,
    fetcher: Arc<dyn KeyFetcher>,
    pace: Pace,
    state: Mutex<State>,
    fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<KeySet>, Instant)>,
    tried: Option<Instant>,
}

impl FetchedKeys {
    pub(super) fn new(address: KeyAddress, fetcher: Arc<dyn KeyFetcher>, pace: Pace) -> Arc<Self> {
        let (state, fetching) = (Mutex::default(), Arc::default());
        Arc::new(Self { address, fetcher, pace, state, fetching })
    }

    /// Returns the keys, if there are any. Old ones are returned at once, while new ones are fetched.
    pub(super) async fn current(self: &Arc<Self>) -> Option<Arc<KeySet>> {
        let known = self.lock().keys.clone();
        match known {
            Some((keys, fetched)) if fetched.elapsed() < self.pace.fresh => Some(keys),
            Some((keys, fetched)) if fetched.elapsed() < self.pace.stale => {
                if self.may_fetch() {
                    let this = Arc::clone(self);
                    tokio::spawn(async move { this.refresh().await });
                }
                Some(keys)
            }
            _ => {
                self.refresh().await;
                let (keys, fetched) = self.lock().keys.clone()?;
                (fetched.elapsed() < self.pace.stale).then_some(keys)
            }
        }
    }

    /// Returns keys that are newer than those that a token could not be verified by; none if there are none, or it
    /// is too early to look.
    pub(super) async fn newer(self: &Arc<Self>, than: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let other = |state: &State| {
            let keys = state.keys.as_ref().map(|(keys, _)| Arc::clone(keys));
            keys.filter(|keys| !Arc::ptr_eq(keys, than))
        };
        let known = other(&self.lock());
        if known.is_some() {
            return known;
        }
        self.refresh().await;
        other(&self.lock())
    }

    /// Fetches the keys, or waits for the fetch that is under way; not if the last one was a moment ago.
    async fn refresh(self: &Arc<Self>) {
        let fetching = Arc::clone(&self.fetching).lock_owned().await;
        if !self.may_fetch() {
            return;
        }
        self.lock().tried = Some(Instant::now());
        let this = Arc::clone(self);
        // It goes on when the client is gone: all others wait for it.
        let fetch = tokio::spawn(async move {
            let _fetching = fetching;
            let fetched = timeout(FETCH_TIME, this.fetch()).await;
            let fetched =
                fetched.unwrap_or_else(|_| Err(KeySourceError::TimedOut(this.address.to_string())));
            match fetched {
                Ok(keys) => this.lock().keys = Some((Arc::new(keys), Instant::now())),
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, source, "failed to fetch the keys of an issuer");
                }
            }
        });
        let _ = fetch.await;
    }

    fn may_fetch(&self) -> bool {
        let state = self.lock();
        let pause = if state.keys.is_some() { self.pace.pause } else { self.pace.first_pause };
        state.tried.is_none_or(|tried| tried.elapsed() >= pause)
    }

    async fn fetch(&self) -> Result<KeySet, KeySourceError> {
        let url = match &self.address {
            KeyAddress::Url(url) => url.clone(),
            KeyAddress::Discovery(issuer) => self.discover(issuer).await?,
        };
        let bytes = self.document(&url).await?;
        KeySet::parse(&bytes).map_err(|reason| KeySourceError::Keys(format!("{url}: {reason}")))
    }

    /// Finds out where the keys of an issuer are. Its document has to name it byte for byte.
    async fn discover(&self, issuer: &str) -> Result<String, KeySourceError> {
        #[derive(Deserialize)]
        struct Document {
            issuer: String,
            jwks_uri: String,
        }

        // A slash at the end is left out of the address only (OpenID Connect Discovery 1.0, 4.1).
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let url = format!("{base}/.well-known/openid-configuration");
        let bytes = self.document(&url).await?;
        let document: Document = match serde_json::from_slice(&bytes) {
            Ok(document) => document,
            Err(error) => {
                return Err(KeySourceError::Discovery { url, reason: error.to_string() });
            }
        };
        if document.issuer != issuer {
            let named: String = document.issuer.chars().take(200).collect();
            return Err(KeySourceError::Discovery { url, reason: format!("it names {named:?}") });
        }
        if document.jwks_uri.len() > URL_BYTES {
            let reason = "its `jwks_uri` is too long".to_owned();
            return Err(KeySourceError::Discovery { url, reason });
        }
        Ok(document.jwks_uri)
    }

    async fn document(&self, url: &str) -> Result<Vec<u8>, KeySourceError> {
        let fetched = self.fetcher.fetch(url, LONGEST).await;
        let bytes =
            fetched.map_err(|source| KeySourceError::Fetch { url: url.to_owned(), source })?;
        if bytes.len() > LONGEST {
            return Err(KeySourceError::TooLong(url.to_owned()));
        }
        Ok(bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for KeyAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(address) | Self::Discovery(address) => formatter.write_str(address),
        }
    }
}
