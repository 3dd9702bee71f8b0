//! A line in the log for each request, when its answer was sent or broke off.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage, HttpRequest};

use super::respond::CONTENT_DIGEST;

/// How many bytes of a request's body were read.
struct Received(u64);

/// Adds to what the line says was received.
pub(super) fn received(request: &HttpRequest, size: usize) {
    let mut extensions = request.extensions_mut();
    if let Some(received) = extensions.get_mut::<Received>() {
        received.0 += size as u64;
    } else {
        extensions.insert(Received(size as u64));
    }
}

/// Logs a request.
///
/// # Errors
/// Those of what it wraps.
pub async fn log_requests(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    // Made first: a client that hangs up ends this future, and its request has a line all the same.
    let mut line = Line::of(&request);
    let response = next.call(request).await?;
    line.read(&response);
    Ok(response.map_body(|_, body| Logged { body: Box::pin(body), line }))
}

/// What the line says.
struct Line {
    method: Method,
    path: String,
    repository: Option<String>,
    digest: Option<String>,
    /// None when the client was gone before there was an answer.
    status: Option<u16>,
    received: u64,
    sent: u64,
    begun: Instant,
}

impl Line {
    fn of(request: &ServiceRequest) -> Self {
        Self {
            method: request.method().clone(),
            path: request.path().to_owned(),
            repository: None,
            digest: None,
            status: None,
            received: 0,
            sent: 0,
            begun: Instant::now(),
        }
    }

    /// Takes over what is known once there is an answer.
    fn read(&mut self, response: &ServiceResponse<impl MessageBody>) {
        let request = response.request();
        let segments = request.match_info();
        let told = response.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
        let asked = ["digest", "reference"].into_iter().find_map(|name| segments.get(name));
        let digest = told.or(asked.filter(|reference| reference.contains(':')));
        self.repository = segments.get("name").map(str::to_owned);
        self.digest = digest.map(str::to_owned);
        self.status = Some(response.status().as_u16());
        self.received = request.extensions().get::<Received>().map_or(0, |received| received.0);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            repository = self.repository,
            digest = self.digest,
            status = self.status,
            received_bytes = self.received,
            sent_bytes = self.sent,
            duration_ms,
            "{} {}",
            self.method,
            self.path
        );
    }
}

/// A body that counts what was sent of it.
struct Logged<B> {
    body: Pin<Box<B>>,
    line: Line,
}

impl<B: MessageBody> MessageBody for Logged<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, B::Error>>> {
        let polled = self.body.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled
            && self.line.method != Method::HEAD
        {
            self.line.sent += bytes.len() as u64;
        }
        polled
    }
}
