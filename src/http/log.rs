//! A line in the log for each request, when its answer was sent or broke off.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_http::ConnectionType;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage, HttpRequest};
use cid::Cid;

use super::client::{self, Client};
use super::headers::{CONTENT_DIGEST, IPFS_PATH};
use super::metrics::{Measured, RouteMetrics};
use crate::auth::Caller;

/// The most that is logged of a path, in bytes.
const LONGEST_PATH: usize = 512;

/// The most that is logged of a name, in bytes.
const LONGEST_NAME: usize = 256;

/// The routes whose requests have an event of their own, as the metrics name them.
const MANIFEST: &str = "/v2/{name}/manifests/{reference}";
const BLOB: &str = "/v2/{name}/blobs/{digest}";
const UPLOADS: &str = "/v2/{name}/blobs/uploads";
const UPLOAD: &str = "/v2/{name}/blobs/uploads/{upload}";
const TOKEN: &str = "/v2/token";

/// What is found out while a request is being answered; a client that hangs up ends that anywhere.
struct Noted {
    route: Rc<RouteMetrics>,
    user: Option<String>,
    repository: Option<String>,
    reference: Option<String>,
    ipfs_cid: Option<String>,
    digest: Option<String>,
    received: u64,
    /// How many bytes what was stored has, however many of them came with this request.
    stored: u64,
}

impl Noted {
    fn of(route: &Rc<RouteMetrics>) -> Self {
        Self {
            route: Rc::clone(route),
            user: None,
            repository: None,
            reference: None,
            ipfs_cid: None,
            digest: None,
            received: 0,
            stored: 0,
        }
    }
}

type Notes = Rc<RefCell<Noted>>;

fn note(request: &HttpRequest, note: impl FnOnce(&mut Noted)) {
    if let Some(notes) = request.extensions().get::<Notes>() {
        note(&mut notes.borrow_mut());
    }
}

/// Notes the user of a request.
pub(super) fn from(request: &HttpRequest, caller: &Caller) {
    let user = caller.subject().map(|user| cut(user, LONGEST_NAME).to_owned());
    note(request, |noted| noted.user = user);
}

/// Says whose password a request had that was refused.
pub(super) fn tried(request: &HttpRequest, user: &str) {
    unchecked_user(request, user);
    let user = shown(user);
    let client = client::of(request);
    tracing::warn!(
        service = "roadstead",
        event = "sign_in_refused",
        client_address = display(client.peer),
        forwarded_address = client.forwarded.map(display),
        user,
        "refused a sign-in"
    );
}

/// Says which user a request names whose password was not looked at.
pub(super) fn unchecked_user(request: &HttpRequest, user: &str) {
    note(request, |noted| noted.user = Some(shown(user)));
}

/// Writes a name that any client may have sent. An access token in the wrong field is not written.
fn shown(user: &str) -> String {
    if user.starts_with("rds_") {
        return "rds_...".to_owned();
    }
    cut(user, LONGEST_NAME).escape_debug().to_string()
}

/// Says which route a request took, and which repository it is about.
pub(super) fn about(request: &HttpRequest) {
    let segment = |name| request.match_info().get(name).map(|it| cut(it, LONGEST_NAME).to_owned());
    let (name, reference) = (segment("name"), segment("reference"));
    let route = Rc::clone(route(request));
    note(request, |noted| {
        noted.repository = name;
        noted.reference = reference;
        noted.route = route;
    });
}

/// Returns the handles of the innermost route that is known by now.
fn route(request: &HttpRequest) -> &Rc<RouteMetrics> {
    request.app_data().expect("every route has its own, and the server one for all others")
}

/// Says where content is in IPFS, also where clients are not to know, and how many bytes were stored of it.
pub(super) fn content(request: &HttpRequest, cid: Option<&Cid>, stored: u64) {
    note(request, |noted| {
        noted.ipfs_cid = cid.map(ToString::to_string);
        noted.stored = stored;
    });
}

/// Adds to what the line says was received.
pub(super) fn received(request: &HttpRequest, size: usize) {
    note(request, |noted| noted.received += size as u64);
}

/// Logs a request, and sees to what the HTTP library leaves open about its answer.
///
/// # Errors
/// Those of what it wraps.
pub async fn log_requests(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    // Made first: a client that hangs up ends this future, and its request still gets a line.
    let mut line = Line::of(&request);
    client::note(&request);
    line.client = Some(client::of(request.request()));
    request.extensions_mut().insert(Rc::clone(&line.notes));
    let is_upgrade = request.head().upgrade();
    let response = next.call(request).await?;
    line.read(&response);
    Ok(response.map_body(|head, body| {
        if is_upgrade {
            // Not taken up; the library would read what follows as a body without an end.
            head.set_connection_type(ConnectionType::Close);
        }
        if line.method == Method::HEAD
            && let BodySize::Sized(size) = body.size()
        {
            head.no_chunking(true);
            head.headers_mut().insert(CONTENT_LENGTH, size.into());
        }
        Logged { body: Box::pin(body), line }
    }))
}

/// Returns the beginning of a text.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// What the line says.
struct Line {
    client: Option<Client>,
    method: Method,
    path: String,
    notes: Notes,
    /// None when the client was gone before there was an answer.
    status: Option<u16>,
    sent: u64,
    begun: Instant,
}

impl Line {
    fn of(request: &ServiceRequest) -> Self {
        Self {
            client: None,
            method: request.method().clone(),
            path: cut(request.path(), LONGEST_PATH).to_owned(),
            notes: Rc::new(RefCell::new(Noted::of(route(request.request())))),
            status: None,
            sent: 0,
            begun: Instant::now(),
        }
    }

    /// Takes over what is known once there is an answer.
    fn read(&mut self, response: &ServiceResponse<impl MessageBody>) {
        let request = response.request();
        if self.notes.borrow().repository.is_none() {
            about(request);
        }
        let segments = request.match_info();
        let reported = response.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
        let requested = ["digest", "reference"].into_iter().find_map(|name| segments.get(name));
        let digest = reported.or(requested.filter(|reference| reference.contains(':')));
        let cid = response.headers().get(IPFS_PATH).and_then(|value| value.to_str().ok());
        let mut noted = self.notes.borrow_mut();
        noted.digest = digest.map(|digest| cut(digest, LONGEST_NAME).to_owned());
        if let Some(path) = cid {
            noted.ipfs_cid = Some(path.trim_start_matches("/ipfs/").to_owned());
        }
        self.status = Some(response.status().as_u16());
    }
}

impl Line {
    /// Names what has happened, for who filters logs.
    fn event(&self, noted: &Noted) -> &'static str {
        let route = noted.route.name();
        let is_sent = matches!(self.status, Some(200 | 206 | 307));
        match (route, &self.method, self.status) {
            (MANIFEST, &Method::PUT, Some(201)) => "manifest_push",
            // The latter at once, or from another repository.
            (UPLOAD, &Method::PUT, Some(201)) | (UPLOADS, &Method::POST, Some(201)) => {
                "blob_upload"
            }
            (MANIFEST | BLOB, &Method::GET, _) if is_sent => "pull",
            (MANIFEST | BLOB, &Method::DELETE, Some(202)) => "delete",
            (TOKEN, &Method::GET | &Method::POST, Some(200)) if noted.user.is_some() => "sign_in",
            _ => "http_request",
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let duration = self.begun.elapsed();
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let noted = self.notes.borrow();
        noted.route.count(&Measured {
            method: &self.method,
            status: self.status,
            received: noted.received,
            sent: self.sent,
            duration,
        });
        let client = self.client.as_ref();
        tracing::info!(
            client_address = client.map(|client| display(client.peer)),
            forwarded_address = client.and_then(|client| client.forwarded).map(display),
            user = noted.user,
            service = "roadstead",
            event = self.event(&noted),
            repository = noted.repository,
            reference = noted.reference,
            digest = noted.digest,
            ipfs_cid = noted.ipfs_cid,
            status = self.status,
            size = noted.stored.max(noted.received).max(self.sent),
            received_bytes = noted.received,
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
        // The library learns from the request it read last whether an answer has a body, which is
        // another one where requests are pipelined.
        if self.line.method == Method::HEAD { BodySize::Stream } else { self.body.size() }
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, B::Error>>> {
        if self.line.method == Method::HEAD {
            return Poll::Ready(None);
        }
        let polled = self.body.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.line.sent += bytes.len() as u64;
        }
        polled
    }
}
