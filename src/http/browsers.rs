//! Pages in browsers: they change nothing here by requests of their own.
//!
//! A browser sends requests for any page that is open in it, also to servers that only its own machine
//! reaches. It names the page's server in `Origin`, which no client of a registry sends. Where the page's
//! server has got itself an address of this machine (DNS rebinding), `Host` is a name that is not ours.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HOST, ORIGIN};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpRequest, ResponseError};

use super::Api;
use super::error::ApiError;
use crate::oci::ErrorCode;

/// Refuses what pages in browsers send to change something.
///
/// # Errors
/// Those of what it wraps.
pub async fn refuse_browsers(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    pass_or_refuse(request, next, refusal).await
}

/// Refuses each request of a page that changes something, also of one that this server has sent: no
/// page of ours needs to push.
///
/// # Errors
/// Those of what it wraps.
pub(super) async fn refuse_pages(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    pass_or_refuse(request, next, |request| {
        let is_from_page = is_changing(request) && request.headers().contains_key(ORIGIN);
        let message = "cannot change anything below /v2/ by a request with an `Origin` header: web pages may not; \
            send it without that header";
        is_from_page.then(|| forbidden(message.to_owned()))
    })
    .await
}

async fn pass_or_refuse(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
    refusal: impl FnOnce(&HttpRequest) -> Option<ApiError>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    match refusal(request.request()) {
        None => Ok(next.call(request).await?.map_into_left_body()),
        Some(error) => Ok(request.into_response(error.error_response()).map_into_right_body()),
    }
}

/// Returns why a request is refused, if it is.
fn refusal(request: &HttpRequest) -> Option<ApiError> {
    if !is_changing(request) {
        return None;
    }
    let api: &Data<Api> = request.app_data().expect("the server is made with it");
    let hosts = hosts(request);
    let origins = request.headers().get_all(ORIGIN);
    let first = hosts.first().copied();
    let is_own = |origin: &str| api.own_names.has_origin(origin, first);
    if !origins.map(|it| it.to_str().unwrap_or_default()).all(is_own) {
        let message = "cannot change anything by a request from a page of another server: if the page is this \
            registry's own, set server.external_url or list its name in server.hosts";
        return Some(forbidden(message.to_owned()));
    }
    let is_ours = !hosts.is_empty() && hosts.iter().all(|host| api.own_names.has_host(host));
    if api.own_names.is_open_on_loopback && !is_ours {
        let message = "cannot change anything by that `Host`: this registry takes changes from its own machine \
            only; use localhost, or list the name in server.hosts";
        return Some(forbidden(message.to_owned()));
    }
    None
}

/// Returns each host that a request names: that of its target, and those of `Host`.
fn hosts(request: &HttpRequest) -> Vec<&str> {
    let target = request.uri().authority().map(actix_web::http::uri::Authority::as_str);
    let headers = request.headers().get_all(HOST);
    target.into_iter().chain(headers.map(|it| it.to_str().unwrap_or_default())).collect()
}

fn is_changing(request: &HttpRequest) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(request.method())
}

fn forbidden(message: String) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message)
}
