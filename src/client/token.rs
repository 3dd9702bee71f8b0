//! Signing in: the tokens of a registry's token service, or Basic credentials, as its challenge demands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::challenge::Challenge;
use super::error::{ClientError, ClientErrorKind, Result};
use super::limits::Timeouts;
use super::options::{Credentials, Options};
use super::response::Answer;
use crate::oci::RepositoryName;

/// How long a token is good for whose answer says nothing (the token specification of the stock registry).
const LIFETIME: Duration = Duration::from_mins(1);

/// How long before its end a token is no longer used, at most: clocks and networks are slow.
const MARGIN: Duration = Duration::from_secs(10);

/// The longest answer of a token service that is read.
const ANSWER: usize = 256 * 1024;

/// Registries and the hosts of their token services, which get the credentials without being named.
const TOKEN_SERVICES: [(&str, &str); 4] = [
    ("registry-1.docker.io", "auth.docker.io"),
    ("docker.io", "auth.docker.io"),
    ("index.docker.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
];

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
    identity_token: Option<SecretString>,
    /// Hosts that get the credentials beside the registry's own.
    token_services: Vec<String>,
    /// Follows no redirect.
    http: reqwest::Client,
    timeouts: Timeouts,
    // Locked while a token is fetched: requests that need the same token wait for it.
    state: Mutex<State>,
}

impl Authorizer {
    /// Takes an HTTP client that follows no redirect.
    pub(super) fn new(base: Url, options: Options, http: reqwest::Client) -> Self {
        let state = Mutex::new(State { method: Method::Unknown, tokens: BTreeMap::new() });
        let Options { credentials, identity_token, token_services, timeouts, .. } = options;
        Self { base, credentials, identity_token, token_services, http, timeouts, state }
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
            let has_user = !realm.username().is_empty() || realm.password().is_some();
            let is_web = matches!(realm.scheme(), "http" | "https") && realm.has_host();
            !text.is_empty() && is_web && !has_user
        });
        realm.ok_or_else(|| {
            let reason = "the realm of its challenge is no URL";
            ClientError::new(ClientErrorKind::Protocol, self.context(), reason)
        })
    }

    fn context(&self) -> String {
        format!("cannot sign in at {}", address(&self.base))
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

    /// Says why a token service may not be given the password; nothing if it may. It has to be on the registry's own
    /// host, or be known to serve it, and be reached by TLS if the registry is.
    fn distrust(&self, realm: &Url) -> Option<String> {
        let (own, host) = (self.base.host_str().unwrap_or_default(), realm.host_str());
        let host = host.unwrap_or_default();
        let is_own = own == host;
        let is_clear = realm.scheme() != "https";
        if is_clear && (self.base.scheme() == "https" || !is_own) {
            return Some("it is another host without TLS, so it gets no password".to_owned());
        }
        let is_pair = TOKEN_SERVICES.contains(&(own, host));
        let is_named = self.token_services.iter().any(|named| named.eq_ignore_ascii_case(host));
        (!is_own && !is_pair && !is_named).then(|| {
            format!(
                "{own} sends its users to another host, which gets no password unless it is named: \
                 use --token-service {host} if you trust it"
            )
        })
    }

    async fn fetch(&self, realm: &Url, service: Option<&str>, scope: &Scope) -> Result<Token> {
        #[derive(Deserialize)]
        struct Tokens {
            token: Option<String>,
            access_token: Option<String>,
            expires_in: Option<u64>,
        }

        let context =
            format!("cannot get a token from {} for {}", address(realm), address(&self.base));
        let begun = Instant::now();
        let request = self.token_request(realm, service, scope, &[], &context)?;
        let answer = self.token_answer(request, context).await?;
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

    /// Gets a refresh token for the password, by the challenge of the registry; none where that has no token service, or
    /// gives no such token. A Roadstead ends it after that time, others when they do.
    ///
    /// # Errors
    /// Those of the token service; [`ClientErrorKind::Insecure`] if it may not have the password.
    pub(super) async fn refresh_token(
        &self,
        challenges: &[Challenge],
        lifetime: Duration,
    ) -> Result<Option<SecretString>> {
        #[derive(Deserialize)]
        struct Tokens {
            refresh_token: Option<String>,
        }

        let Some(bearer) = challenges.iter().find(|it| it.scheme == "bearer") else {
            return Ok(None);
        };
        let realm = self.realm(bearer)?;
        let service = bearer.parameter("service");
        let (own, other) = (address(&self.base), address(&realm));
        let context = format!("cannot get a token from {other} for {own}");
        let seconds = lifetime.as_secs().to_string();
        let extra = [("offline_token", "true"), ("offline_lifetime", &*seconds)];
        let request = self.token_request(&realm, service, &Scope::default(), &extra, &context)?;
        let answer = self.token_answer(request, context).await?;
        let tokens: Tokens = answer.json(ANSWER).await?;
        Ok(tokens.refresh_token.filter(|token| !token.is_empty()).map(SecretString::from))
    }

    async fn token_answer(
        &self,
        request: reqwest::RequestBuilder,
        context: String,
    ) -> Result<Answer> {
        let sending = tokio::time::timeout(self.timeouts.answer, request.send());
        let response = sending
            .await
            .map_err(|_| ClientError::timed_out(&*context, self.timeouts.answer))?
            .map_err(|error| ClientError::transport(&*context, error))?;
        Answer::new(response, context, self.timeouts).expect(&[200]).await
    }

    /// Makes the request for a token: with the password, for a refresh token, or anonymous. `extra` is requested beside it
    /// with the password.
    fn token_request(
        &self,
        realm: &Url,
        service: Option<&str>,
        scope: &Scope,
        extra: &[(&'static str, &str)],
        context: &str,
    ) -> Result<reqwest::RequestBuilder> {
        let basic = self.basic()?;
        if (basic.is_some() || self.identity_token.is_some())
            && let Some(reason) = self.distrust(realm)
        {
            return Err(ClientError::new(ClientErrorKind::Insecure, context, reason));
        }
        let mut fields = vec![("client_id", "roadstead")];
        fields.extend(service.map(|service| ("service", service)));
        if let (None, Some(token)) = (&basic, &self.identity_token) {
            // The stock registry's form of it (its specification, "OAuth2 token authentication").
            let scopes: Vec<&str> = scope.0.iter().map(String::as_str).collect();
            let scopes = scopes.join(" ");
            fields.push(("grant_type", "refresh_token"));
            fields.push(("refresh_token", token.expose_secret()));
            if !scopes.is_empty() {
                fields.push(("scope", &scopes));
            }
            let form = serde_urlencoded::to_string(&fields).map_err(|error| {
                let reason = "the request cannot be made";
                ClientError::caused_by(ClientErrorKind::Input, context, reason, error)
            })?;
            let form_type = "application/x-www-form-urlencoded";
            return Ok(self.http.post(realm.clone()).header(CONTENT_TYPE, form_type).body(form));
        }
        let mut url = realm.clone();
        url.query_pairs_mut()
            .extend_pairs(fields)
            .extend_pairs(extra)
            .extend_pairs(scope.0.iter().map(|scope| ("scope", scope)));
        let request = self.http.get(url);
        Ok(match basic {
            Some(header) => request.header(AUTHORIZATION, header),
            None => request,
        })
    }
}

/// Returns the host of a URL, and its port unless that is the scheme's own.
pub(super) fn address(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
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

    fn authorizer(base: &str, token_services: &[&str]) -> Authorizer {
        let token_services = token_services.iter().map(ToString::to_string).collect();
        let options = Options { token_services, ..Options::default() };
        Authorizer::new(Url::parse(base).unwrap(), options, reqwest::Client::new())
    }

    #[test]
    fn a_password_goes_to_no_other_host_and_to_none_in_the_clear() {
        for (base, realm, is_trusted) in [
            ("https://a.example/", "https://a.example/token", true),
            ("https://a.example/", "https://a.example:5001/token", true),
            ("https://a.example/", "https://named.example/token", true),
            ("https://a.example/", "http://named.example/token", false),
            ("https://a.example/", "https://auth.example/token", false),
            ("https://a.example/", "https://a.example.evil/token", false),
            ("https://a.example/", "http://auth.example/token", false),
            ("https://a.example/", "http://a.example/token", false),
            ("https://registry-1.docker.io/", "https://auth.docker.io/token", true),
            ("https://a.example/", "https://auth.docker.io/token", false),
            ("http://a.example/", "http://a.example:5001/token", true),
            ("http://a.example/", "http://b.example/token", false),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token", true),
            ("http://127.0.0.1:5000/", "http://127.0.0.1.example/token", false),
        ] {
            let realm = Url::parse(realm).unwrap();
            let distrust = authorizer(base, &["Named.example"]).distrust(&realm);
            assert_eq!(distrust.is_none(), is_trusted, "{base} {realm} {distrust:?}");
        }
    }

    #[test]
    fn scopes_are_a_set() {
        let name = "team/app".parse().unwrap();
        let wide = Scope::pull(&name).with_text("repository:team/app:pull repository:b:pull");
        assert_eq!(wide, Scope::pull(&"b".parse().unwrap()).with(Scope::pull(&name)));
    }
}
