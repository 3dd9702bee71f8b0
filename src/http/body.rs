//! Reading what a client sends.

use std::pin::pin;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Bytes, BytesMut, Payload};
use actix_web::{HttpRequest, rt};
use futures_util::StreamExt;

use super::error::ApiError;
use super::log;
use super::memory::{Loan, ManifestMemory};
use crate::oci::ErrorCode;
use crate::registry::{Beside, Ending, RegistryError, Upload};

/// How long it takes at the most until the answer to a body that rested is on its way.
const ANSWERED: Duration = Duration::from_secs(10);

/// Returns the announced length, if there is one.
pub(super) fn length(request: &HttpRequest) -> Result<Option<u64>, ApiError> {
    let Some(value) = request.headers().get(CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| {
        ApiError::malformed(ErrorCode::SizeInvalid, "the Content-Length is not a number")
    })
}

/// The body of a request, as it comes.
pub(super) struct Body {
    /// None once it has rested for too long.
    payload: Option<Payload>,
    /// How long the client may send nothing.
    idle: Duration,
    /// What was looked at before it was needed.
    first: Option<Bytes>,
}

impl Body {
    /// Takes the body of a request that may rest for so long.
    pub(super) fn new(payload: Payload, idle: Duration) -> Self {
        Self { payload: Some(payload), idle, first: None }
    }

    /// Waits for the next piece; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(payload) = &mut self.payload else {
            return Err(RegistryError::BodyRested(self.idle));
        };
        match tokio::time::timeout(self.idle, payload.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
            Ok(Some(Err(error))) => Err(RegistryError::BodyBroken(error.to_string())),
            Err(_) => {
                let rested = self.payload.take();
                // actix goes on reading a chunked body that is dropped, and keeps the connection for it. One
                // that is there when the answer goes ends the connection.
                rt::spawn(async move {
                    tokio::time::sleep(ANSWERED).await;
                    drop(rested);
                });
                Err(RegistryError::BodyRested(self.idle))
            }
        }
    }

    /// Tells whether there is anything in it; waits for the first bytes, where no length is announced.
    pub(super) async fn has_bytes(&mut self, request: &HttpRequest) -> Result<bool, ApiError> {
        if let Some(length) = length(request)? {
            return Ok(length > 0);
        }
        while let Some(bytes) = self.next().await? {
            if !bytes.is_empty() {
                self.first = Some(bytes);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads it to its end, for nothing.
    pub(super) async fn drain(&mut self, request: &HttpRequest) -> Result<(), RegistryError> {
        while let Some(bytes) = self.next().await? {
            log::received(request, bytes.len());
        }
        Ok(())
    }

    /// Appends it to an upload, and to what comes beside that. What arrived before it broke off is part
    /// of the upload. Returns how the request has to end, where a newer one goes on with the upload.
    pub(super) async fn append(
        &mut self,
        request: &HttpRequest,
        upload: &mut Upload,
        mut beside: Option<&mut Beside>,
    ) -> Result<Option<Ending>, RegistryError> {
        // What cannot be read of it is refused elsewhere.
        if let Ok(Some(announced)) = length(request) {
            upload.expect_room(announced).await?;
        }
        let mut ending = pin!(upload.ending());
        loop {
            let piece = tokio::select! {
                biased;
                ending = &mut ending => return Ok(Some(ending)),
                piece = self.next() => piece?,
            };
            let Some(bytes) = piece else { return Ok(None) };
            log::received(request, bytes.len());
            if let Some(beside) = &mut beside {
                beside.append(bytes.clone()).await?;
            }
            upload.append(bytes).await?;
        }
    }
}

/// Reads the body of a manifest.
pub(super) async fn read(
    request: &HttpRequest,
    mut body: Body,
    limit: usize,
    memory: &ManifestMemory,
) -> Result<(Bytes, Loan), ApiError> {
    let too_large = || {
        let message = format!("the body has more than {limit} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid, message)
    };
    if length(request)?.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let (mut bytes, mut loan) = (BytesMut::new(), Loan::default());
    let broken = |error| ApiError::from(error).coded(ErrorCode::ManifestInvalid);
    while let Some(piece) = body.next().await.map_err(broken)? {
        if bytes.len() + piece.len() > limit {
            return Err(too_large());
        }
        log::received(request, piece.len());
        memory.raise(&mut loan, bytes.len() + piece.len()).await?;
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes.freeze(), loan))
}
