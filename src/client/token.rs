//! Signing in: the tokens of a registry's token service, or Basic credentials, as its challenge demands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::challenge::Challenge;
use super::error::{ClientError, ClientErrorKind, Result};
use super::limits::Timeouts;
use super::options::Credentials;
use super::response::Answer;
use crate::oci::RepositoryName;

/// How long a token is good for whose answer says nothing (the token specification of the stock registry).
const LIFETIME: Duration = Duration::from_mins(1);

/// How long before its end a token is no longer used, at most: clocks and networks are slow.
const MARGIN: Duration = Duration::from_secs(10);

/// The longest answer of a token service that is read.
const ANSWER: usize = 256 * 1024;

/// What a token is requested for: scopes such as `repository:team/app:pull`. None is to say who one is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Scope(BTreeSet<String>);

impl Scope {
    pub(super) fn pull(name: &RepositoryName) -> Self {
        Self::repository(name, "pull")
    }

    pub(super) fn push(name: &RepositoryName) -> Self {
        Self::repository(name, "pull,push")
    }

    pub(super) fn delete(name: &RepositoryName) -> Self {
        Self::repository(name, "delete,pull")
    }

    pub(super) fn catalog() -> Self {
        Self(BTreeSet::from(["registry:catalog:*".to_owned()]))
    }

    fn repository(name: &RepositoryName, actions: &str) -> Self {
        Self(BTreeSet::from([format!("repository:{name}:{actions}")]))
    }

    /// Adds scopes as a challenge has them: separated by spaces.
    fn with_text(mut self, text: &str) -> Self {
        self.0.extend(text.split_ascii_whitespace().map(str::to_owned));
        self
    }

    pub(super) fn with(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

/// How the registry wants its clients to sign in, as far as that is known.
#[derive(Debug, Clone)]
enum Method {
    /// Nothing was demanded so far.
    Unknown,
    Basic,
    Bearer {
        realm: Url,
        service: Option<String>,
    },
}

struct Token {
    header: HeaderValue,
    until: Instant,
}

struct State {
    method: Method,
    tokens: BTreeMap<Scope, Token>,
}

/// Finds the `Authorization` for each request to one registry.
pub(super) struct Authorizer {
    base: Url,
    credentials: Option<Credentials>,
    /// Follows no redirect.
    http: reqwest::Client,
    timeouts: Timeouts,
    // Locked while a token is fetched: requests that need the same token wait for it.
    state: Mutex<State>,
}

impl Authorizer {
    pub(super) fn new(
        base: Url,
        credentials: Option<Credentials>,
        http: reqwest::Client,
        timeouts: Timeouts,
    ) -> Self {
        let state = Mutex::new(State { method: Method::Unknown, tokens: BTreeMap::new() });
        Self { base, credentials, http, timeouts, state }
    }

    /// Returns what a request is sent with before it was challenged.
    pub(super) async fn ahead(&self, scope: &Scope) -> Result<Option<HeaderValue>> {
        let mut state = self.state.lock().await;
        match state.method.clone() {
            Method::Unknown => Ok(None),
            Method::Basic => self.basic(),
            Method::Bearer { realm, service } => {
                let fresh = state.tokens.get(scope).filter(|token| Instant::now() < token.until);
                if let Some(token) = fresh {
                    return Ok(Some(token.header.clone()));
                }
                let token = self.fetch(&realm, service.as_deref(), scope).await?;
                Ok(Some(state.remember(scope, token)))
            }
        }
    }

    /// Returns what a request is repeated with that was challenged; nothing if that would change nothing. `sent` is
    /// what it was sent with.
    pub(super) async fn after(
        &self,
        challenges: &[Challenge],
        scope: &Scope,
        sent: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>> {
        let mut state = self.state.lock().await;
        let bearer = challenges.iter().find(|challenge| challenge.scheme == "bearer");
        let Some(bearer) = bearer else {
            if !challenges.iter().any(|challenge| challenge.scheme == "basic") {
                return Ok(None);
            }
            state.method = Method::Basic;
            let header = self.basic()?;
            return Ok(header.filter(|header| Some(header) != sent));
        };
        // Another request may have renewed it meanwhile.
        if let Some(token) = state.tokens.get(scope)
            && Some(&token.header) != sent
            && Instant::now() < token.until
        {
            return Ok(Some(token.header.clone()));
        }
        let realm = self.realm(bearer)?;
        let service = bearer.parameter("service").map(str::to_owned);
        let wide = scope.clone().with_text(bearer.parameter("scope").unwrap_or_default());
        let token = self.fetch(&realm, service.as_deref(), &wide).await?;
        state.method = Method::Bearer { realm, service };
        Ok(Some(state.remember(scope, token)))
    }

    fn realm(&self, challenge: &Challenge) -> Result<Url> {
        let text = challenge.parameter("realm").unwrap_or_default();
        let realm = self.base.join(text).ok().filter(|realm| {
            !text.is_empty() && matches!(realm.scheme(), "http" | "https") && realm.has_host()
        });
        realm.ok_or_else(|| {
            let reason = "the realm of its challenge is no URL";
            ClientError::new(ClientErrorKind::Protocol, self.context(), reason)
        })
    }

    fn context(&self) -> String {
        format!("cannot sign in at {}", self.base.host_str().unwrap_or_default())
    }

    /// Returns Basic credentials for the registry itself.
    fn basic(&self) -> Result<Option<HeaderValue>> {
        let Some(Credentials { user, password }) = &self.credentials else { return Ok(None) };
        let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        self.secret_header(&format!("Basic {pair}")).map(Some)
    }

    fn secret_header(&self, text: &str) -> Result<HeaderValue> {
        let mut header = HeaderValue::from_str(text).map_err(|error| {
            let reason = "the token has characters that a header cannot have";
            ClientError::caused_by(ClientErrorKind::Protocol, self.context(), reason, error)
        })?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// Tells whether a token service may be given the password: over TLS, or on the registry's own host if that is
    /// spoken to without TLS anyway.
    fn is_safe(&self, realm: &Url) -> bool {
        let is_own = self.base.scheme() == "http" && realm.host() == self.base.host();
        realm.scheme() == "https" || is_own
    }

    async fn fetch(&self, realm: &Url, service: Option<&str>, scope: &Scope) -> Result<Token> {
        #[derive(Deserialize)]
        struct Tokens {
            token: Option<String>,
            access_token: Option<String>,
            expires_in: Option<u64>,
        }

        let host = realm.host_str().unwrap_or_default();
        let context = format!("cannot get a token from {host}");
        let begun = Instant::now();
        let mut url = realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = service {
                query.append_pair("service", service);
            }
            for scope in &scope.0 {
                query.append_pair("scope", scope);
            }
            query.append_pair("client_id", "roadstead");
        }
        let mut request = self.http.get(url);
        if let Some(header) = self.basic()? {
            if !self.is_safe(realm) {
                let reason = "it is another host without TLS, so it gets no password";
                return Err(ClientError::new(ClientErrorKind::Insecure, context, reason));
            }
            request = request.header(AUTHORIZATION, header);
        }
        let sending = tokio::time::timeout(self.timeouts.answer, request.send());
        let response = sending
            .await
            .map_err(|_| ClientError::timed_out(&*context, self.timeouts.answer))?
            .map_err(|error| ClientError::transport(&*context, error))?;
        let answer = Answer::new(response, context, self.timeouts).expect(&[200]).await?;
        let tokens: Tokens = answer.json(ANSWER).await?;
        let text = tokens.token.or(tokens.access_token).filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| {
            let reason = "its answer has no token";
            ClientError::new(ClientErrorKind::Protocol, self.context(), reason)
        })?;
        let header = self.secret_header(&format!("Bearer {text}"))?;
        let lifetime = tokens.expires_in.map_or(LIFETIME, Duration::from_secs);
        let used = lifetime.saturating_sub(MARGIN.min(lifetime / 4)).min(Duration::from_hours(24));
        Ok(Token { header, until: begun + used })
    }
}

impl State {
    fn remember(&mut self, scope: &Scope, token: Token) -> HeaderValue {
        let now = Instant::now();
        self.tokens.retain(|_, token| now < token.until);
        let header = token.header.clone();
        self.tokens.insert(scope.clone(), token);
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorizer(base: &str) -> Authorizer {
        let base = Url::parse(base).unwrap();
        Authorizer::new(base, None, reqwest::Client::new(), Timeouts::default())
    }

    #[test]
    fn a_password_goes_to_no_other_host_in_the_clear() {
        for (base, realm, is_safe) in [
            ("https://a.example/", "https://auth.example/token", true),
            ("https://a.example/", "http://auth.example/token", false),
            ("https://a.example/", "http://a.example/token", false),
            ("http://a.example/", "http://a.example:5001/token", true),
            ("http://a.example/", "http://b.example/token", false),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token", true),
            ("http://127.0.0.1:5000/", "http://127.0.0.1.example/token", false),
        ] {
            let realm = Url::parse(realm).unwrap();
            assert_eq!(authorizer(base).is_safe(&realm), is_safe, "{base} {realm}");
        }
    }

    #[test]
    fn scopes_are_a_set() {
        let name = "team/app".parse().unwrap();
        let wide = Scope::pull(&name).with_text("repository:team/app:pull repository:b:pull");
        assert_eq!(wide, Scope::pull(&"b".parse().unwrap()).with(Scope::pull(&name)));
    }
}
