//! `POST /graphql`

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{BytesMut, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use async_graphql::Request;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::super::body::{self, Body};
use super::super::error::{Answer, ApiError};
use super::super::{Api, caller, credentials, log};
use super::bounds::{self, FRAGMENTS};
use super::fields::Fields;
use super::schema::{READABLE_SCHEMA, SCHEMA};
use super::sender::Sender;
use crate::auth::{Act, Action, AuthError, Caller, Challenge, Credentials};
use crate::oci::ErrorCode;

const JSON: &str = "application/json";

/// The longest request in bytes.
const LONGEST: usize = 64 * 1024;

/// How long a request may take to arrive, and again to be carried out.
const TIME: Duration = Duration::from_secs(30);

/// Those of the requests that are carried out.
static PERMITS: Semaphore = Semaphore::const_new(bounds::AT_ONCE);

/// Carries out what a request has, for a caller who has signed in, or any where everybody may do everything.
pub(in crate::http) async fn post(
    request: HttpRequest,
    payload: Payload,
    api: Data<Api>,
) -> Answer {
    let caller = identify(&request, &api).await?;
    let sender = Sender::new(&request, &api);
    expect_json(&request)?;
    let text = read(&request, payload, &api).await?;
    // A list would be read as the fields of a request in their order.
    let is_object = text.trim_ascii_start().starts_with(b"{");
    let query: Option<Request> = serde_json::from_slice(&text).ok().filter(|_| is_object);
    let query = query.ok_or_else(|| {
        ApiError::malformed(
            ErrorCode::Unsupported,
            "the body is no request: send JSON with `query` and, where there are any, `variables`",
        )
    })?;
    if bounds::has_many_fragments(&query.query) {
        let message =
            format!("the request uses more than {FRAGMENTS} fragments; write the fields out");
        return Err(ApiError::malformed(ErrorCode::Unsupported, message));
    }
    let fields = Arc::new(Fields::default());
    let query = query.data(Arc::clone(&fields));
    let mut query = query.data(caller.clone()).data(sender).data(Data::clone(&api));
    if let Some(administration) = &api.administration {
        query = query.data(Arc::clone(administration));
    }
    let schema = if bounds::reads_schema(&query.query) { &READABLE_SCHEMA } else { &SCHEMA };
    let executing = async {
        let _permit = PERMITS.acquire().await;
        schema.execute(query).await
    };
    let answer = tokio::time::timeout(TIME, executing).await.map_err(|_| {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        ApiError::unavailable(status, "the request took too long; request less at a time")
    })?;
    for field in fields.denied(&answer.errors) {
        api.authority.refusals().note_act(&caller, None, field);
    }
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(answer))
}

/// Finds out who sends the request: by a password or an access token in `Basic`. A token of `/v2/token` is for images.
async fn identify(request: &HttpRequest, api: &Api) -> Result<Caller, ApiError> {
    let refused = || ApiError::from(AuthError::Unauthorized(Challenge::Basic));
    if matches!(credentials::of(request), Credentials::Bearer(_)) {
        return Err(refused());
    }
    let caller = match caller::caller(request).await {
        Ok(caller) => caller,
        Err(error) => {
            caller::note_refusal(request, &error);
            let error = match error {
                AuthError::Unauthorized(_) => AuthError::Unauthorized(Challenge::Basic),
                error => error,
            };
            return Err(caller::refusal(error, &credentials::of(request)));
        }
    };
    if caller.is_anonymous() {
        let change = Act::Any(Action::Push);
        let is_open = api.authority.decide(&caller, change).await.is_ok();
        if !is_open {
            return Err(refused());
        }
    }
    log::from(request, &caller);
    Ok(caller)
}

/// Refuses what a form of a page can send.
fn expect_json(request: &HttpRequest) -> Result<(), ApiError> {
    let mut types = request.headers().get_all(CONTENT_TYPE);
    let text = types.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(JSON) && types.next().is_none() {
        return Ok(());
    }
    let message = "cannot read the request: send it as Content-Type: application/json";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::Unsupported, message))
}

/// Reads a request, which has to arrive in time.
async fn read(request: &HttpRequest, payload: Payload, api: &Api) -> Result<BytesMut, ApiError> {
    let too_long = || {
        let message = format!("the request is longer than {LONGEST} bytes; send several");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid, message)
    };
    if body::length(request)?.is_some_and(|length| length > LONGEST as u64) {
        return Err(too_long());
    }
    let mut body = Body::new(payload, api.body_idle);
    body.hurry(api.body_idle, (Instant::now() + TIME).into_std());
    let mut text = BytesMut::new();
    while let Some(bytes) = body.next().await? {
        log::received(request, bytes.len());
        if text.len() + bytes.len() > LONGEST {
            return Err(too_long());
        }
        text.extend_from_slice(&bytes);
    }
    Ok(text)
}
