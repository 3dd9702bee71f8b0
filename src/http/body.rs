//! Reading what a client sends.

use std::pin::pin;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Bytes, BytesMut, Payload};
use actix_web::{HttpRequest, rt};
use futures_util::StreamExt;

use super::error::ApiError;
use super::memory::Loan;
use super::{Api, client, log};
use crate::oci::ErrorCode;
use crate::registry::{Beside, Ending, RegistryError, Upload};

/// How long it takes at the most until the answer to a body that rested is on its way.
const ANSWERED: Duration = Duration::from_secs(10);

/// How many times as long as it may rest a large manifest may take to arrive.
const WHOLE: u32 = 10;

/// Returns the announced length, if there is one.
pub(super) fn length(request: &HttpRequest) -> Result<Option<u64>, ApiError> {
    let Some(value) = request.headers().get(CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| {
        ApiError::malformed(ErrorCode::SizeInvalid, "Content-Length is not a number")
    })
}

/// The body of a request, as it comes.
pub(super) struct Body {
    /// None once it has rested for too long.
    payload: Option<Payload>,
    /// How long the client may send nothing.
    idle: Duration,
    /// When it has to be there, if ever.
    deadline: Option<Instant>,
    /// What was looked at before it was needed.
    first: Option<Bytes>,
}

impl Body {
    /// Takes the body of a request that may rest for so long.
    pub(super) fn new(payload: Payload, idle: Duration) -> Self {
        Self { payload: Some(payload), idle, deadline: None, first: None }
    }

    /// Has it rest no longer than that from now on, and be there in time.
    pub(super) fn hurry(&mut self, idle: Duration, deadline: Instant) {
        self.idle = self.idle.min(idle);
        self.deadline = Some(deadline);
    }

    /// Waits for the next piece; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(payload) = &mut self.payload else {
            return Err(RegistryError::BodyRested(self.idle));
        };
        let left = self.deadline.map(|deadline| deadline.duration_since(Instant::now()));
        let wait = left.map_or(self.idle, |left| left.min(self.idle));
        match tokio::time::timeout(wait, payload.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, "failed to read the body of a request");
                Err(RegistryError::BodyBroken)
            }
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
            upload.check_quota(announced).await?;
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

/// Reads the body of a manifest. A large one takes memory that others need as well, so it may not rest for long.
pub(super) async fn read(
    request: &HttpRequest,
    mut body: Body,
    api: &Api,
) -> Result<(Bytes, Loan), ApiError> {
    let limit = api.registry.manifest_limit();
    let too_large = || {
        let message = format!("body too large: at most {limit} bytes are accepted");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid, message)
    };
    // One of which no length is announced counts as the largest: those that took what they need step by step would
    // wait for each other.
    let announced = match length(request)? {
        None => limit,
        Some(length) => {
            usize::try_from(length).ok().filter(|it| *it <= limit).ok_or_else(too_large)?
        }
    };
    let memory = &api.manifest_memory;
    let (mut bytes, mut loan) = (BytesMut::new(), memory.begin(client::of(request).group()));
    let broken = |error| ApiError::from(error).coded(ErrorCode::ManifestInvalid);
    while let Some(piece) = body.next().await.map_err(broken)? {
        if bytes.len() + piece.len() > limit {
            return Err(too_large());
        }
        log::received(request, piece.len());
        let was_free = !loan.counts();
        memory.raise(&mut loan, bytes.len() + piece.len(), announced).await?;
        if was_free && loan.counts() {
            body.hurry(api.manifest_idle, Instant::now() + WHOLE * api.manifest_idle);
        }
        bytes.extend_from_slice(&piece);
    }
    loan.lower(bytes.len());
    Ok((bytes.freeze(), loan))
}
