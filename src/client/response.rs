//! An answer: its status, its headers, and a body that is read within limits.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Response, Url};
use serde::de::DeserializeOwned;

use super::deadline::Deadline;
use super::error::{ClientError, ClientErrorKind, Result};
use super::limits::Timeouts;
use crate::oci::Digest;

/// The digest of what was answered, or was stored.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// How much of the body of a failure is read.
const FAILURE: usize = 64 * 1024;

/// Reads when to try again, in both forms: seconds, or a time (RFC 9110, 10.2.3).
fn pause(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time = httpdate::parse_http_date(text.trim()).ok()?;
    Some(time.duration_since(SystemTime::now()).unwrap_or_default())
}

/// An answer whose body was not read yet.
pub(super) struct Answer {
    response: Response,
    context: String,
    timeouts: Timeouts,
    is_foreign: bool,
}

impl Answer {
    pub(super) fn new(response: Response, context: String, timeouts: Timeouts) -> Self {
        Self { response, context, timeouts, is_foreign: false }
    }

    /// Marks an answer that is not the registry's own, but that of a host to which it led.
    pub(super) fn foreign(self) -> Self {
        Self { is_foreign: true, ..self }
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns a header; nothing if it is absent or no text.
    pub(super) fn header(&self, name: impl reqwest::header::AsHeaderName) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.header(reqwest::header::CONTENT_LENGTH).and_then(|text| text.parse().ok())
    }

    /// Returns where the answer came from, after redirects.
    pub(super) fn url(&self) -> &Url {
        self.response.url()
    }

    /// Makes an error of every other status.
    pub(super) async fn expect(mut self, expected: &[u16]) -> Result<Self> {
        let status = self.status();
        if expected.contains(&status) {
            return Ok(self);
        }
        let retry_after = self.header(RETRY_AFTER).and_then(pause);
        let (mut body, mut deadline) = (BytesMut::new(), Deadline::begin(self.timeouts.whole));
        // What of it cannot be read explains nothing.
        while let Ok(Some(piece)) = deadline.wait("", self.chunk()).await {
            body.extend_from_slice(&piece[..piece.len().min(FAILURE - body.len())]);
            if body.len() == FAILURE {
                break;
            }
        }
        let mut error = ClientError::answered(self.context, status, retry_after, &body);
        // No credentials of the registry would help there.
        if self.is_foreign && error.kind == ClientErrorKind::Unauthorized {
            error.kind = ClientErrorKind::Denied;
        }
        Err(error)
    }

    /// Returns the next bytes of the body. The time limit is that of one pause, not of the whole body.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let limit = self.timeouts.silence;
        let reading = tokio::time::timeout(limit, self.response.chunk());
        let chunk = reading.await.map_err(|_| ClientError::timed_out(&*self.context, limit))?;
        chunk.map_err(|error| ClientError::transport(&*self.context, error))
    }

    /// Reads the body into memory, which may have no more than so many bytes.
    pub(super) async fn bytes(mut self, limit: usize) -> Result<Bytes> {
        let (mut body, mut deadline) = (BytesMut::new(), Deadline::begin(self.timeouts.whole));
        let context = self.context.clone();
        while let Some(piece) = deadline.wait(&context, self.chunk()).await? {
            if body.len() + piece.len() > limit {
                let reason = format!("the answer is longer than {limit} bytes");
                return Err(ClientError::new(ClientErrorKind::TooLarge, context, reason));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    pub(super) async fn json<T: DeserializeOwned>(self, limit: usize) -> Result<T> {
        let context = self.context.clone();
        let body = self.bytes(limit).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let reason = "the answer is not the expected JSON";
            ClientError::caused_by(ClientErrorKind::Protocol, context, reason, error)
        })
    }

    /// Returns the digest that the registry tells; nothing if it tells none.
    pub(super) fn digest(&self) -> Result<Option<Digest>> {
        let Some(text) = self.header(CONTENT_DIGEST) else { return Ok(None) };
        text.parse().map(Some).map_err(|error| {
            let reason = "its Docker-Content-Digest is malformed";
            ClientError::caused_by(ClientErrorKind::Protocol, &*self.context, reason, error)
        })
    }

    /// Returns where an upload goes on, or the next page is.
    pub(super) fn location(&self) -> Result<Url> {
        self.link(self.header(LOCATION).unwrap_or_default(), "Location")
    }

    /// Reads a link of a header.
    pub(super) fn link(&self, text: &str, header: &str) -> Result<Url> {
        let url = Some(text).filter(|text| !text.is_empty());
        let url = url.and_then(|text| self.url().join(text).ok()).filter(Url::has_host);
        let Some(url) = url else {
            return Err(self.protocol(format!("its answer has no usable {header}")));
        };
        if self.url().scheme() == "https" && url.scheme() != "https" {
            let reason = format!("its {header} leads from https to http");
            return Err(ClientError::new(ClientErrorKind::Insecure, &*self.context, reason));
        }
        Ok(url)
    }

    pub(super) fn protocol(&self, reason: impl Into<String>) -> ClientError {
        ClientError::new(ClientErrorKind::Protocol, &*self.context, reason)
    }
}
