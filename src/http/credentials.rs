//! The credentials of a request, as the `Authorization` header has them.

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;

use super::authorization::{basic, parse};
use crate::auth::Credentials;

/// Returns the credentials of a request.
pub(super) fn of(request: &HttpRequest) -> Credentials {
    match request.headers().get(AUTHORIZATION) {
        None => Credentials::None,
        Some(value) => value.to_str().ok().and_then(parse).unwrap_or(Credentials::Malformed),
    }
}

/// Returns the user whose password a request has, if it has one, as well as the name can be read.
pub(super) fn user(request: &HttpRequest) -> Option<String> {
    let bytes = basic(request.headers().get(AUTHORIZATION)?.to_str().ok()?)?;
    let text = String::from_utf8_lossy(&bytes);
    let (user, _) = text.split_once(':')?;
    Some(user.to_owned())
}
