//! A line in the log for each request, when its answer was sent or broke off.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::Error;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Bytes;

/// Logs a request.
///
/// # Errors
/// Those of what it wraps.
pub async fn log_requests(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let begun = Instant::now();
    let response = next.call(request).await?;
    let line = Line::of(&response, begun);
    Ok(response.map_body(|_, body| Logged { body: Box::pin(body), line }))
}

/// What the line says.
struct Line {
    method: String,
    path: String,
    repository: String,
    reference: String,
    status: u16,
    size: u64,
    begun: Instant,
}

impl Line {
    fn of(response: &ServiceResponse<impl MessageBody>, begun: Instant) -> Self {
        let request = response.request();
        let segments = request.match_info();
        let reference =
            ["digest", "reference", "upload"].into_iter().find_map(|name| segments.get(name));
        Self {
            method: request.method().to_string(),
            path: request.path().to_owned(),
            repository: segments.get("name").unwrap_or_default().to_owned(),
            reference: reference.unwrap_or_default().to_owned(),
            status: response.status().as_u16(),
            size: 0,
            begun,
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            repository = self.repository,
            reference = self.reference,
            status = self.status,
            size_bytes = self.size,
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
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.line.size += bytes.len() as u64;
        }
        polled
    }
}
