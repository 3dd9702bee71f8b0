//! Who asks: found out before anything else of a request below `/v2/` is looked at.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, ResponseError};

use super::error::ApiError;
use super::{Api, log};
use crate::auth::{AuthError, Identity};

/// Answers whoever may not ask anything, and passes everybody else on, with who it is. It stands
/// around all of `/v2/`, so a path that is malformed or is none tells nothing to a stranger.
///
/// # Errors
/// Those of what it wraps.
pub(super) async fn identify(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    match identity(request.request()).await {
        Ok(identity) => {
            log::from(request.request(), &identity);
            request.extensions_mut().insert(identity);
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(error) => {
            let response = ApiError::from(error).error_response();
            Ok(request.into_response(response).map_into_right_body())
        }
    }
}

async fn identity(request: &HttpRequest) -> Result<Identity, AuthError> {
    let api = request.app_data::<Data<Api>>().expect("the server is made with it").clone();
    let header = request.headers().get(AUTHORIZATION);
    // What is no text is malformed like any other nonsense.
    let authorization = header.map(|value| value.to_str().unwrap_or_default());
    api.authority.identify(authorization).await
}

/// Returns who asks.
pub(super) fn of(request: &HttpRequest) -> Identity {
    request.extensions().get::<Identity>().expect("`identify` stands around all of `/v2/`").clone()
}
