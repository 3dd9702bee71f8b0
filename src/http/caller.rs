//! The caller: identified before anything else of a request below `/v2/`, or for `/metrics`, is looked at.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, ResponseError};
use secrecy::ExposeSecret;

use super::error::ApiError;
use super::namespace::Namespace;
use super::{Api, challenge, client, credentials, log, path};
use crate::auth::accounts::AccessToken;
use crate::auth::{AuthError, Caller, Credentials};
use crate::dnslink::on_behalf_of;

/// Tells on whose behalf an answer is given.
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");

/// Refuses callers without access, and passes all others on. It stands
/// around all of `/v2/` and around `/metrics`, so a path that is malformed or is none tells nothing to a stranger.
///
/// # Errors
/// Those of what it wraps.
pub(super) async fn identify(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let mut response = match caller(request.request()).await {
        Ok(caller) => {
            log::from(request.request(), &caller);
            request.extensions_mut().insert(caller);
            let api = Data::clone(api(request.request()));
            let client = client::of(request.request()).group();
            let (response, exceeded) = on_behalf_of(client, next.call(request)).await;
            if let Some(limit) = exceeded {
                api.metrics.refused(limit);
            }
            response?.map_into_left_body()
        }
        Err(error) => {
            note_refusal(request.request(), &error);
            // Some clients fetch a token by nothing but the challenge.
            let error = match path::repository(request.request()) {
                Some((action, name)) => {
                    let error = api(request.request()).authority.about(error, action, &name);
                    path::with_source(error, request.request())
                }
                None => error,
            };
            let credentials = credentials::of(request.request());
            let response = refusal(error, &credentials).error_response();
            request.into_response(response).map_into_right_body()
        }
    };
    let namespace = response.request().extensions().get::<Namespace>().map(|it| it.0.clone());
    if let Some(namespace) = namespace.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert(NAMESPACE, namespace);
    }
    let header = response.headers().get(WWW_AUTHENTICATE);
    let header = header.and_then(|header| header.to_str().ok());
    if let Some(header) = header.and_then(|it| absolute(it, response.request())) {
        response.headers_mut().insert(WWW_AUTHENTICATE, header);
    }
    Ok(response)
}

/// Says why credentials are refused, and what to do. Whether it is the name or the password is not said.
pub(super) fn refusal(error: AuthError, credentials: &Credentials) -> ApiError {
    let why = match (&error, credentials) {
        (AuthError::Unauthorized(_), Credentials::Basic { user, password }) => {
            if user == "oidc" {
                "the ID token is not taken: it is malformed, has expired or is for another audience, or no rule of \
                 auth.workloads matches it; the registry's log says which"
            } else if AccessToken::begins(password.expose_secret()) {
                "the access token is not good for that user name: it is wrong, has expired or was revoked, or is another \
                 user's; use a new one, and the name of its owner"
            } else {
                "the user name or the password is wrong; check both, or have an administrator set a new password"
            }
        }
        (AuthError::Unauthorized(_), Credentials::Refresh(_)) => {
            "the sign-in has ended; sign in again with `docker login`"
        }
        (AuthError::Unauthorized(_), Credentials::Malformed) => {
            "cannot read the `Authorization` header; send `Basic` or `Bearer` credentials"
        }
        _ => return error.into(),
    };
    ApiError::from(error).saying(why)
}

/// Says where tokens are had by the URL that the client reaches this server by.
fn absolute(header: &str, request: &HttpRequest) -> Option<HeaderValue> {
    let api = api(request);
    let external = api.external_url.clone();
    let base = external.unwrap_or_else(|| {
        let client = client::of(request);
        let requested_host = client.host.or_else(|| client::host(request).map(str::to_owned));
        // Of what a client says, no more than is a host is said to it again.
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        let host = requested_host.filter(|host| !host.is_empty() && host.bytes().all(is_part));
        let is_encrypted = client.is_encrypted.unwrap_or(api.is_encrypted);
        let scheme = if is_encrypted { "https" } else { "http" };
        format!("{scheme}://{}", host.unwrap_or_else(|| api.address.to_string()))
    });
    let elsewhere = api.authority.token_service();
    HeaderValue::from_str(&challenge::with_realm(header, &base, elsewhere)).ok()
}

/// Logs that a caller was refused who gave a name.
pub(super) fn note_refusal(request: &HttpRequest, error: &AuthError) {
    match (error, credentials::user(request)) {
        (AuthError::Unauthorized(_), Some(user)) => log::tried(request, &user),
        (AuthError::Busy { .. }, Some(user)) => log::unchecked_user(request, &user),
        _ => {}
    }
}

/// Finds out who sends a request.
pub(super) async fn caller(request: &HttpRequest) -> Result<Caller, AuthError> {
    let api = Data::clone(api(request));
    let client = client::of(request);
    let identified = api.authority.identify(&credentials::of(request), client.group()).await;
    if let Err(AuthError::Busy { limit, .. }) = &identified {
        api.metrics.refused(limit);
    }
    Ok(Caller { address: Some(client.address()), ..identified? })
}

fn api(request: &HttpRequest) -> &Data<Api> {
    request.app_data().expect("the server is made with it")
}

/// Returns the caller.
pub(super) fn of(request: &HttpRequest) -> Caller {
    request.extensions().get::<Caller>().expect("`identify` stands around it").clone()
}
