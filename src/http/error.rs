//! The one map from errors to the answers that clients get.

use std::borrow::Cow;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_RANGE, RANGE, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde_json::json;

use super::challenge;
use crate::auth::AuthError;
use crate::dnslink::{DnslinkError, DnslinkErrorKind};
use crate::index::{IndexError, IndexErrorKind, QuotaExceeded};
use crate::oci::{DigestError, ErrorCode, NameError, ReferenceError, TagError};
use crate::registry::RegistryError;
use crate::remote::{RemoteError, RemoteErrorKind};
use crate::storage::{StorageError, StorageErrorKind};

/// How many digests an error names in its `detail`: clients read no answer of any length.
const MAX_LISTED: usize = 100;

/// How many bytes of an error's text are sent from its beginning, and from its end, which says what to do: what a client
/// sent may stand between.
const TEXT: (usize, usize) = (700, 300);

/// An error as a client sees it (distribution-spec, "Error codes").
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: ErrorCode,
    message: String,
    headers: Vec<(&'static str, String)>,
    detail: serde_json::Value,
}

/// What a handler answers.
pub(super) type Answer = Result<HttpResponse, ApiError>;

impl ApiError {
    pub(super) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            headers: Vec::new(),
            detail: serde_json::Value::Null,
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Returns its status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Says in `detail` what programs may read.
    fn detailed(self, detail: serde_json::Value) -> Self {
        Self { detail, ..self }
    }

    /// The same with another code.
    pub(super) fn coded(self, code: ErrorCode) -> Self {
        Self { code, ..self }
    }

    /// The same in other words.
    pub(super) fn saying(self, message: &str) -> Self {
        Self { message: message.to_owned(), ..self }
    }

    /// A header or parameter that cannot be read.
    pub(super) fn malformed(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A range that lies outside of content of that size.
    pub(super) fn unsatisfiable(size: u64) -> Self {
        Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            ErrorCode::RangeInvalid,
            format!("the content has {size} bytes"),
        )
        .with(CONTENT_RANGE.as_str(), format!("bytes */{size}"))
    }

    /// Something that the registry cannot do now; the cause goes to the log.
    pub(super) fn unavailable(status: StatusCode, message: &str) -> Self {
        Self::new(status, ErrorCode::Unavailable, message).with(RETRY_AFTER.as_str(), "5")
    }

    /// Too much of something; the client may come back after so many seconds.
    pub(super) fn too_many(message: impl Into<String>, seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, message)
            .with(RETRY_AFTER.as_str(), seconds.to_string())
    }

    fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %chain(error), "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Unknown,
            "internal error: see the server's log",
        )
    }
}

/// Leaves the middle of a long text out.
fn shortened(text: &str) -> Cow<'_, str> {
    let (first, last) = TEXT;
    if text.len() <= first + last {
        return text.into();
    }
    let start = &text[..text.floor_char_boundary(first)];
    let end = &text[text.ceil_char_boundary(text.len() - last)..];
    format!("{start} … {end}").into()
}

/// Writes an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::REQUEST_TIMEOUT {
            // The rest of the body may come at any time, or never.
            response.force_close();
        }
        for (name, value) in &self.headers {
            response.insert_header((*name, value.as_str()));
        }
        let message = shortened(&self.message);
        let error =
            json!({ "code": self.code.as_str(), "message": message, "detail": self.detail });
        response.json(json!({ "errors": [error] }))
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        use RegistryError as E;
        let message = error.to_string();
        let (status, code) = match error {
            E::BlobUnknown(..) => (StatusCode::NOT_FOUND, ErrorCode::BlobUnknown),
            E::UploadUnknown(_) => (StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown),
            E::UploadOffset { offset } | E::UploadTakenOver { offset } => {
                return Self::new(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    ErrorCode::RangeInvalid,
                    message,
                )
                .with(RANGE.as_str(), super::range::received(offset));
            }
            E::UploadBusy | E::Purged(_) => {
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message)
                    .with(RETRY_AFTER.as_str(), "1");
            }
            E::UploadsFull => return Self::too_many(message, 5),
            E::BodyBroken => (StatusCode::BAD_REQUEST, ErrorCode::BlobUploadInvalid),
            E::BodyRested(_) => (StatusCode::REQUEST_TIMEOUT, ErrorCode::BlobUploadInvalid),
            E::SizeMismatch { .. } => (StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid),
            E::DigestMismatch(_) => (StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid),
            // The code that clients know for this request, whichever of the two is absent.
            E::ManifestUnknown(..) | E::RepositoryAbsent(_) | E::NothingStored(_) => {
                (StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown)
            }
            E::ManifestInvalid(_) => (StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid),
            E::ManifestTooLarge { .. } | E::UploadTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid)
            }
            E::MissingReferences { missing, .. } => {
                let first = &missing[..missing.len().min(MAX_LISTED)];
                return Self::new(StatusCode::BAD_REQUEST, ErrorCode::ManifestBlobUnknown, message)
                    .detailed(json!(first));
            }
            E::Referenced { by, .. } => {
                return Self::new(StatusCode::CONFLICT, ErrorCode::Referenced, message)
                    .detailed(json!(by));
            }
            E::ConditionFailed { current, .. } => {
                let (status, code) =
                    (StatusCode::PRECONDITION_FAILED, ErrorCode::PreconditionFailed);
                return Self::new(status, code, message)
                    .detailed(json!(current.and_then(|current| *current)));
            }
            E::NameUnknown(_) => (StatusCode::NOT_FOUND, ErrorCode::NameUnknown),
            E::NotPublic(_) => (StatusCode::NOT_FOUND, ErrorCode::Unsupported),
            E::FederationDenied(_)
            | E::MustBePublic(_)
            | E::NoAccounts(_)
            | E::PurgeTooLarge(_)
            | E::TagFixed(..)
            | E::TagProtected(..) => (StatusCode::FORBIDDEN, ErrorCode::Denied),
            E::OverQuota(exceeded) => return exceeded.into(),
            E::NotFetched(error) => return error.into(),
            E::Unresolved(error) => return error.into(),
            E::NamespaceUnserved { error, .. } => {
                return Self { message, ..error.into() };
            }
            E::Remote(error) => return error.into(),
            E::PathUnreadable(_) => (StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
            E::Waiting | E::RootBehind => {
                return Self::unavailable(StatusCode::SERVICE_UNAVAILABLE, &message);
            }
            E::Storage(error) => return error.into(),
            E::Index(error) => return error.into(),
            E::TreeLost | E::Record(_) | E::Collection(_) | E::Mending(_) => {
                return Self::internal(&error);
            }
        };
        Self::new(status, code, message)
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        match error.kind {
            StorageErrorKind::Full => {
                tracing::error!(error = %chain(&error), "the storage is full");
                Self::unavailable(StatusCode::INSUFFICIENT_STORAGE, "the storage is full")
            }
            StorageErrorKind::Stuck => {
                tracing::error!(error = %chain(&error), "the storage is full");
                Self::unavailable(StatusCode::SERVICE_UNAVAILABLE, "the storage is full")
            }
            StorageErrorKind::ReadOnly => {
                tracing::error!(error = %chain(&error), "the storage is read-only");
                Self::unavailable(StatusCode::SERVICE_UNAVAILABLE, "the storage is read-only")
            }
            StorageErrorKind::Unavailable => {
                tracing::error!(error = %chain(&error), "the storage is not available");
                Self::unavailable(StatusCode::SERVICE_UNAVAILABLE, "the storage is not available")
            }
            StorageErrorKind::NotFound | StorageErrorKind::Damaged => {
                Self::internal(&error).saying("the stored content is damaged: see the server's log")
            }
            StorageErrorKind::DigestMismatch
            | StorageErrorKind::Unusable
            | StorageErrorKind::Failed => Self::internal(&error),
        }
    }
}

impl From<DnslinkError> for ApiError {
    fn from(error: DnslinkError) -> Self {
        let message = error.to_string();
        let (status, code) = match error.kind {
            DnslinkErrorKind::NotFound => (StatusCode::NOT_FOUND, ErrorCode::NameUnknown),
            DnslinkErrorKind::Invalid | DnslinkErrorKind::Loop | DnslinkErrorKind::TooLong => {
                (StatusCode::BAD_GATEWAY, ErrorCode::Unavailable)
            }
            DnslinkErrorKind::Unavailable => (StatusCode::GATEWAY_TIMEOUT, ErrorCode::Unavailable),
            DnslinkErrorKind::TooMany => {
                tracing::debug!(%error, "refused to resolve a new name");
                return Self::too_many(message, 5);
            }
        };
        if error.kind == DnslinkErrorKind::NotFound {
            // A client that mistypes a name gets an answer, and that is all.
            tracing::debug!(%error, "a foreign name has no root");
        } else {
            tracing::warn!(error = %chain(&error), "failed to resolve a foreign root");
        }
        Self::new(status, code, message)
    }
}

impl From<RemoteError> for ApiError {
    fn from(error: RemoteError) -> Self {
        tracing::warn!(error = %chain(&error), "failed to read below a foreign root");
        let status = match error.kind {
            RemoteErrorKind::NoSource
            | RemoteErrorKind::Absent
            | RemoteErrorKind::Unreachable
            | RemoteErrorKind::Invalid => StatusCode::BAD_GATEWAY,
            RemoteErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            RemoteErrorKind::Busy | RemoteErrorKind::Abandoned => {
                return Self::unavailable(StatusCode::SERVICE_UNAVAILABLE, &error.to_string());
            }
            RemoteErrorKind::Full => StatusCode::INSUFFICIENT_STORAGE,
            RemoteErrorKind::Failed => return Self::internal(&error),
        };
        Self::new(status, ErrorCode::Unavailable, error.to_string())
    }
}

impl From<QuotaExceeded> for ApiError {
    fn from(exceeded: QuotaExceeded) -> Self {
        let QuotaExceeded { namespace, kind, used, allowed } = &exceeded;
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, exceeded.to_string()).detailed(json!({
            "namespace": namespace, "quota": kind.as_str(), "used": used, "allowed": allowed,
        }))
    }
}

impl From<IndexError> for ApiError {
    fn from(error: IndexError) -> Self {
        if let Some(exceeded) = error.exceeded() {
            return exceeded.clone().into();
        }
        match error.kind {
            IndexErrorKind::Full => {
                tracing::error!(error = %chain(&error), "the index is full");
                Self::unavailable(StatusCode::INSUFFICIENT_STORAGE, "the index is full")
            }
            IndexErrorKind::ReadOnly => {
                tracing::error!(error = %chain(&error), "the index is read-only");
                Self::unavailable(StatusCode::SERVICE_UNAVAILABLE, "the index is read-only")
            }
            IndexErrorKind::Unavailable => {
                tracing::error!(error = %chain(&error), "the index is not available");
                Self::unavailable(StatusCode::SERVICE_UNAVAILABLE, "the index is not available")
            }
            IndexErrorKind::Newer
            | IndexErrorKind::Older
            | IndexErrorKind::Damaged
            | IndexErrorKind::OverQuota
            | IndexErrorKind::Removed
            | IndexErrorKind::Failed => Self::internal(&error),
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let message = error.to_string();
        match error {
            AuthError::Unauthorized(challenge) => {
                Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message)
                    .with(WWW_AUTHENTICATE.as_str(), challenge::header(&challenge))
                    // Another client, and this one once it signs in, is answered otherwise.
                    .with(CACHE_CONTROL.as_str(), "no-store")
                    .with(VARY.as_str(), "Authorization")
            }
            AuthError::Busy { retry_after, .. } => {
                let rest = u64::from(retry_after.subsec_nanos() > 0);
                Self::too_many(message, (retry_after.as_secs() + rest).max(1))
            }
            AuthError::Unavailable => Self::unavailable(StatusCode::SERVICE_UNAVAILABLE, &message),
            AuthError::Denied(_) => Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message),
        }
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        Self::malformed(ErrorCode::NameInvalid, error.to_string())
    }
}

impl From<DigestError> for ApiError {
    fn from(error: DigestError) -> Self {
        Self::malformed(ErrorCode::DigestInvalid, error.to_string())
    }
}

impl From<ReferenceError> for ApiError {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Digest(error) => error.into(),
            ReferenceError::Tag(error) => error.into(),
        }
    }
}

impl From<TagError> for ApiError {
    fn from(error: TagError) -> Self {
        Self::malformed(ErrorCode::TagInvalid, error.to_string())
    }
}

/// Answers a path that is none of the API's.
pub(super) async fn not_found(request: HttpRequest) -> Answer {
    let message = format!("no route matches {}", request.path());
    Err(ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, message))
}

/// Answers a method that a path does not have; `methods` are those that it has.
pub(super) fn method_not_allowed(request: &HttpRequest, methods: &'static str) -> Answer {
    let message = format!("{} is not supported at {}", request.method(), request.path());
    let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, message);
    Err(error.with(ALLOW.as_str(), methods))
}
