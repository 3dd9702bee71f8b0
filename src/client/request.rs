//! One request: signed in as the registry demands, repeated once after a challenge, within time limits.

use std::pin::pin;
use std::sync::Arc;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use reqwest::{Method, Url};
use tokio::time::{Instant, timeout_at};

use super::challenge::Challenge;
use super::connection::Client;
use super::content::{Part, Progress, Streamed};
use super::error::{ClientError, ClientErrorKind, Result};
use super::response::Answer;
use super::token::Scope;

/// The media type of bytes.
const OCTETS: &str = "application/octet-stream";

/// What is sent with a request.
pub(super) enum Body {
    Empty,
    /// It can be sent again.
    Part(Part),
    /// It can be sent once, and its length is unknown.
    Streamed(Option<Streamed>),
}

/// A request that is being put together.
pub(super) struct Request<'a> {
    client: &'a Client,
    method: Method,
    url: Url,
    scope: Scope,
    context: String,
    headers: Vec<(HeaderName, String)>,
    body: Body,
}

impl Client {
    /// Checks that there is a registry, and that it lets the client in (distribution-spec, "Determining support").
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// Client::new("https://registry.example")?.ping().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::Unauthorized`] if the credentials are missing or wrong; [`ClientErrorKind::NotFound`] and
    /// others if there is no registry.
    pub async fn ping(&self) -> Result<()> {
        let context = format!("cannot reach the registry {}", self.host());
        let request = self.request(Method::GET, self.url("/v2/", &[]), Scope::default(), context);
        request.expect(&[200]).await.map(drop)
    }

    /// Tells whether the registry takes requests without signing in: no challenge is answered, not even by an anonymous token.
    ///
    /// # Errors
    /// As [`Client::ping`], but for what a challenge is.
    pub(crate) async fn is_open(&self) -> Result<bool> {
        Ok(self.answers().await? == 200)
    }

    /// Returns the status by which the registry answers a client that does not sign in.
    ///
    /// # Errors
    /// As [`Client::ping`], but for what a challenge is.
    pub(crate) async fn answers(&self) -> Result<u16> {
        let context = format!("cannot reach the registry {}", self.host());
        let mut request =
            self.request(Method::GET, self.url("/v2/", &[]), Scope::default(), context);
        Ok(request.exchange(None).await?.status())
    }

    /// Begins a request that needs a token of that scope; `context` says what fails when it does.
    pub(super) fn request(
        &self,
        method: Method,
        url: Url,
        scope: Scope,
        context: impl Into<String>,
    ) -> Request<'_> {
        let (context, headers, body) = (context.into(), Vec::new(), Body::Empty);
        Request { client: self, method, url, scope, context, headers, body }
    }
}

impl Request<'_> {
    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn accept(self, media_types: &str) -> Self {
        self.header(ACCEPT, media_types)
    }

    /// Sends bytes of that media type.
    pub(super) fn typed(self, media_type: &str, part: Part) -> Self {
        Self { body: Body::Part(part), ..self.header(CONTENT_TYPE, media_type) }
    }

    /// Sends bytes.
    pub(super) fn part(self, part: Part) -> Self {
        self.typed(OCTETS, part)
    }

    pub(super) fn streamed(self, streamed: Streamed) -> Self {
        Self { body: Body::Streamed(Some(streamed)), ..self.header(CONTENT_TYPE, OCTETS) }
    }

    /// Sends it, and returns the answer if it has one of these statuses.
    pub(super) async fn expect(self, statuses: &[u16]) -> Result<Answer> {
        self.send().await?.expect(statuses).await
    }

    /// Sends it without signing in, and returns the answer.
    pub(super) async fn send_unsigned(mut self) -> Result<Answer> {
        self.exchange(None).await
    }

    /// Sends it, and returns the answer, whatever its status.
    pub(super) async fn send(mut self) -> Result<Answer> {
        let client = self.client;
        // Uploads may go to another host by a signed URL, which gets nothing of ours.
        if self.url.origin() != client.shared.base.origin() {
            return self.exchange(None).await;
        }
        let authorizer = &client.shared.authorizer;
        let ahead = authorizer.ahead(&self.scope).await?;
        let answer = self.exchange(ahead.as_ref()).await?;
        // The challenge of another host, to which the registry redirected, decides nothing about its password.
        if answer.status() != 401
            || answer.is_foreign()
            || matches!(self.body, Body::Streamed(None))
        {
            return Ok(answer);
        }
        let challenges = Challenge::of(answer.headers());
        match authorizer.after(&challenges, &self.scope, ahead.as_ref()).await? {
            Some(header) => self.exchange(Some(&header)).await,
            None => Ok(answer),
        }
    }

    async fn exchange(
        &mut self,
        authorization: Option<&reqwest::header::HeaderValue>,
    ) -> Result<Answer> {
        let shared = &self.client.shared;
        let reads = matches!(self.method, Method::GET | Method::HEAD);
        let http = if reads { &shared.following } else { &shared.direct };
        let mut request = http.request(self.method.clone(), self.url.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(header) = authorization {
            request = request.header(AUTHORIZATION, header);
        }
        let progress = Arc::new(Progress::new());
        request = match &mut self.body {
            Body::Empty if reads => request,
            Body::Empty => request.header(CONTENT_LENGTH, 0),
            Body::Part(part) => {
                // With a length, since not every registry takes a body without one.
                request.header(CONTENT_LENGTH, part.length()).body(part.body(&progress))
            }
            Body::Streamed(streamed) => {
                let Some(streamed) = streamed.take() else {
                    let reason = "a stream cannot be sent again";
                    return Err(ClientError::new(ClientErrorKind::Input, &*self.context, reason));
                };
                request.body(streamed.body(&progress))
            }
        };
        let limit = shared.timeouts.answer;
        let mut sending = pin!(request.send());
        // A long body is no silence: the time counts from when the connection took its last piece.
        let response = loop {
            let until = Instant::from_std(progress.last()) + limit;
            match timeout_at(until, &mut sending).await {
                Ok(sent) => break sent,
                Err(_) if progress.last().elapsed() >= limit => {
                    return Err(ClientError::timed_out(&*self.context, limit));
                }
                Err(_) => {}
            }
        };
        let response = response.map_err(|error| match progress.take_failure() {
            Some(failure) => {
                let reason = "what is to be sent cannot be read";
                ClientError::caused_by(ClientErrorKind::Input, &*self.context, reason, failure)
            }
            None => ClientError::transport(&*self.context, error),
        })?;
        let is_foreign = response.url().origin() != shared.base.origin();
        let answer = Answer::new(response, self.context.clone(), shared.timeouts);
        Ok(if is_foreign { answer.foreign() } else { answer })
    }
}
