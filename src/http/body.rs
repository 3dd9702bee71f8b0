//! Reading what a client sends.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;

use super::error::ApiError;
use super::log;
use crate::oci::ErrorCode;
use crate::registry::{RegistryError, Upload};

/// How long a client may send nothing.
const STALL: Duration = Duration::from_mins(1);

/// Returns the announced length, if there is one.
pub(super) fn length(request: &HttpRequest) -> Result<Option<u64>, ApiError> {
    let Some(value) = request.headers().get(CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| {
        ApiError::malformed(ErrorCode::SizeInvalid, "the Content-Length is not a number")
    })
}

/// Waits for the next piece; none at the end.
async fn next(body: &mut Payload) -> Result<Option<Bytes>, RegistryError> {
    match tokio::time::timeout(STALL, body.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
        Ok(Some(Err(error))) => Err(RegistryError::BodyBroken(error.to_string())),
        Err(_) => {
            Err(RegistryError::BodyBroken(format!("nothing came for {} seconds", STALL.as_secs())))
        }
    }
}

/// Appends the body to an upload. What arrived before it broke off is part of the upload.
pub(super) async fn append(
    request: &HttpRequest,
    body: &mut Payload,
    upload: &mut Upload,
) -> Result<(), RegistryError> {
    while let Some(bytes) = next(body).await? {
        log::received(request, bytes.len());
        upload.append(bytes).await?;
    }
    Ok(())
}

/// Reads a small body.
pub(super) async fn read(
    request: &HttpRequest,
    mut body: Payload,
    limit: usize,
) -> Result<Bytes, ApiError> {
    let too_large = || {
        let message = format!("the body has more than {limit} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid, message)
    };
    if length(request)?.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(piece) = next(&mut body).await? {
        if bytes.len() + piece.len() > limit {
            return Err(too_large());
        }
        log::received(request, piece.len());
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}
