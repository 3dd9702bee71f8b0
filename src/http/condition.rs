//! `If-Match` and `If-None-Match` (RFC 9110, 13.1), whose entity tags are digests here.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};

use super::error::ApiError;
use super::extract::Read;
use crate::auth::PullGrant;
use crate::oci::{Digest, ErrorCode};
use crate::registry::{Condition, Expected, RegistryError};

impl Read for Condition {
    fn read(request: &HttpRequest) -> Result<Self, ApiError> {
        Ok(Self {
            only_if: entity_tags(request, &IF_MATCH)?,
            unless: entity_tags(request, &IF_NONE_MATCH)?,
        })
    }
}

/// Reads a header that names entity tags, if it is there. One that is no digest matches nothing.
pub(super) fn entity_tags(
    request: &HttpRequest,
    header: &HeaderName,
) -> Result<Option<Expected>, ApiError> {
    let values: Result<Vec<&str>, _> =
        request.headers().get_all(header).map(|value| value.to_str()).collect();
    let values = values.map_err(|_| {
        let message = format!("the header {header} is not printable ASCII");
        ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported, message)
    })?;
    let expected = match values[..] {
        [] => return Ok(None),
        [value] if value.trim() == "*" => Expected::Anything,
        _ => {
            let tags = values.iter().flat_map(|value| value.split(','));
            Expected::OneOf(tags.filter_map(|tag| digest(tag.trim(), header)).collect())
        }
    };
    Ok(Some(expected))
}

/// Refuses to send what the client does not want: it wants other content, or nothing (`If-Match`).
pub(super) fn check_expected(
    request: &HttpRequest,
    grant: &PullGrant,
    what: &impl ToString,
    digest: &Digest,
) -> Result<(), ApiError> {
    let expected = entity_tags(request, &IF_MATCH)?;
    if expected.is_none_or(|expected| expected.includes(digest)) {
        return Ok(());
    }
    let (what, repository) = (what.to_string(), grant.repository().clone());
    let current = Some(Box::new(Some(*digest)));
    Err(RegistryError::ConditionFailed { what, repository, current }.into())
}

/// Reads an entity tag; clients forget the quotes. A weak one is good enough to know content by, but
/// not to change it (RFC 9110, 8.8.3.2).
fn digest(tag: &str, header: &HeaderName) -> Option<Digest> {
    let tag = match tag.strip_prefix("W/") {
        Some(_) if *header == IF_MATCH => return None,
        Some(tag) => tag,
        None => tag,
    };
    tag.trim_matches('"').parse().ok()
}
