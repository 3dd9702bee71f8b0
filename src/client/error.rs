//! What can go wrong with a registry: a kind by which callers decide, and what the registry said.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use serde::Deserialize;

use crate::oci::ErrorCode;

/// What every operation of this room returns.
pub type Result<T> = std::result::Result<T, ClientError>;

/// How much of a registry's own message is shown.
const SHOWN: usize = 300;

/// How many errors of one answer are read.
const MOST_ERRORS: usize = 16;

/// A failure: its kind says what a caller can do about it.
#[derive(Debug)]
pub struct ClientError {
    /// What a caller can do about it.
    pub kind: ClientErrorKind,
    /// What failed: `cannot fetch manifest registry.example/team/app:v1`.
    pub context: String,
    /// The status, if the registry answered.
    pub status: Option<u16>,
    /// What the registry said in the JSON of its answer.
    pub errors: Vec<RegistryMessage>,
    /// When the registry wants to be tried again (`Retry-After`).
    pub retry_after: Option<Duration>,
    reason: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What a caller can do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientErrorKind {
    /// The registry does not have it, or hides it.
    NotFound,
    /// Credentials are missing or wrong, or are not good for this.
    Unauthorized,
    /// The credentials are right, but may not do this; or a host to which the registry led refuses.
    Denied,
    /// The registry does not accept the request: what was sent is malformed, or contradicts what it has.
    Refused,
    /// The registry does not answer, or not now. The request may have been carried out; it may be repeated.
    Unavailable,
    /// Nothing, or too little, came for as long as the limits allow. The request may have been carried out; it may be repeated.
    TimedOut,
    /// The bytes are not those that their digest names.
    Corrupt,
    /// The answer is longer than the limits allow.
    TooLarge,
    /// The answer is not what the distribution specification says.
    Protocol,
    /// Going on would send credentials or content to where others can read them.
    Insecure,
    /// What the caller gave cannot be used: a URL, or a file that cannot be read.
    Input,
}

/// One error of a registry's answer (distribution-spec, "Error codes").
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RegistryMessage {
    /// The code, such as `MANIFEST_UNKNOWN`. Registries have codes of their own, too.
    #[serde(default)]
    pub code: String,
    /// Text for people.
    #[serde(default)]
    pub message: String,
}

impl ClientError {
    /// Tells whether the registry gave that code.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::ErrorCode;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// let error = repository.manifest(&"no-such-tag".parse()?).await.unwrap_err();
    /// assert!(error.has_code(ErrorCode::ManifestUnknown));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn has_code(&self, code: ErrorCode) -> bool {
        self.errors.iter().any(|error| error.code == code.as_str())
    }

    /// Tells whether the same request may succeed later.
    ///
    /// ```
    /// use roadstead::client::{Client, ClientErrorKind};
    ///
    /// let error = Client::new("ftp://registry.example").unwrap_err();
    /// assert_eq!(error.kind, ClientErrorKind::Input);
    /// assert!(!error.may_succeed_later());
    /// ```
    #[must_use]
    pub fn may_succeed_later(&self) -> bool {
        matches!(self.kind, ClientErrorKind::Unavailable | ClientErrorKind::TimedOut)
    }

    /// Returns what kept content that was to be sent from being read, with what failed for that.
    ///
    /// # Errors
    /// The error itself if it is another one.
    pub(crate) fn into_content_error(mut self) -> std::result::Result<(String, io::Error), Self> {
        let Some(source) = self.source.take() else { return Err(self) };
        match source.downcast::<io::Error>() {
            Ok(error) => Ok((self.context, *error)),
            Err(source) => Err(Self { source: Some(source), ..self }),
        }
    }

    pub(crate) fn new(
        kind: ClientErrorKind,
        context: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            context: context.into(),
            status: None,
            errors: Vec::new(),
            retry_after: None,
            reason: Some(reason.into()),
            source: None,
        }
    }

    /// Makes an error of one that is its cause.
    pub(super) fn caused_by(
        kind: ClientErrorKind,
        context: impl Into<String>,
        reason: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..Self::new(kind, context, reason) }
    }

    /// Makes an error of a failure to send, or to receive all of an answer.
    pub(super) fn transport(context: impl Into<String>, source: reqwest::Error) -> Self {
        let (kind, reason) = if source.is_redirect() {
            (ClientErrorKind::Insecure, "it redirects too often, or to a place without TLS")
        } else if source.is_builder() {
            (ClientErrorKind::Input, "the request cannot be made")
        } else if source.is_timeout() {
            (ClientErrorKind::TimedOut, "no connection in time")
        } else if source.is_connect() {
            (ClientErrorKind::Unavailable, "cannot connect")
        } else {
            (ClientErrorKind::Unavailable, "the connection broke")
        };
        // Signed URLs of a redirect are secrets.
        Self::caused_by(kind, context, reason, source.without_url())
    }

    pub(super) fn timed_out(context: impl Into<String>, limit: Duration) -> Self {
        let reason = format!("no answer for {} s", limit.as_secs());
        Self::new(ClientErrorKind::TimedOut, context, reason)
    }

    /// Makes an error of an answer that comes too slowly.
    pub(super) fn too_slow(context: impl Into<String>, limit: Duration) -> Self {
        let reason = format!("the answer takes longer than {} s", limit.as_secs());
        Self::new(ClientErrorKind::TimedOut, context, reason)
    }

    /// Makes an error of an answer.
    pub(super) fn answered(
        context: impl Into<String>,
        status: u16,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> Self {
        #[derive(Deserialize)]
        struct Answer {
            errors: Vec<RegistryMessage>,
        }

        let errors = serde_json::from_slice::<Answer>(body).map(|answer| answer.errors);
        let errors: Vec<_> = errors.unwrap_or_default().into_iter().take(MOST_ERRORS).collect();
        let kind = match status {
            401 => ClientErrorKind::Unauthorized,
            403 => ClientErrorKind::Denied,
            404 => ClientErrorKind::NotFound,
            408 | 425 | 429 | 500.. => ClientErrorKind::Unavailable,
            400..=499 => ClientErrorKind::Refused,
            _ => ClientErrorKind::Protocol,
        };
        let context = context.into();
        Self {
            kind,
            context,
            status: Some(status),
            errors,
            retry_after,
            reason: None,
            source: None,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.context)?;
        if let Some(reason) = &self.reason {
            write!(formatter, ": {reason}")?;
        }
        if let Some(status) = self.status {
            write!(formatter, ": the registry answered {status}")?;
        }
        for error in &self.errors {
            write!(formatter, ": {} {}", shown(&error.code), shown(&error.message))?;
        }
        if let Some(pause) = self.retry_after.filter(|pause| !pause.is_zero()) {
            write!(formatter, ": try again in {} s", pause.as_secs().max(1))?;
        }
        Ok(())
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// Returns a registry's text as it may be shown on a terminal.
fn shown(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_decides_and_the_body_explains() {
        let body = br#"{"errors":[{"code":"DENIED","message":"quota\u001b[2J","detail":{"a":1}}]}"#;
        let error = ClientError::answered("cannot push", 403, None, body);
        assert_eq!(error.kind, ClientErrorKind::Denied);
        assert!(error.has_code(ErrorCode::Denied) && !error.has_code(ErrorCode::Unknown));
        assert!(!error.to_string().contains('\u{1b}'));
        for (status, kind) in [
            (302, ClientErrorKind::Protocol),
            (400, ClientErrorKind::Refused),
            (401, ClientErrorKind::Unauthorized),
            (404, ClientErrorKind::NotFound),
            (416, ClientErrorKind::Refused),
            (429, ClientErrorKind::Unavailable),
            (503, ClientErrorKind::Unavailable),
        ] {
            assert_eq!(ClientError::answered("", status, None, b"no JSON").kind, kind, "{status}");
        }
    }
}
