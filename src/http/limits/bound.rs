//! Requests within the limits: one that is too much is refused before anything is opened.

use std::rc::Rc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::RETRY_AFTER;
use actix_web::http::{Method, StatusCode, Version};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse, ResponseError};

use super::super::error::ApiError;
use super::super::{Api, client};
use super::answer::Answer;
use super::connection::{Connection, UnderWay};
use super::count::{Counted, Full};

/// The paths of requests that open nothing, and are answered however much is under way; so is the preflight
/// request of a browser (`OPTIONS`).
const LIGHT: [&str; 6] = ["/healthz", "/readyz", "/metrics", "/v2", "/v2/", "/v2/token"];

/// Refuses a request where too much is under way already; else counts it until its answer was sent.
///
/// # Errors
/// Those of what it wraps.
pub async fn bound(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let api = Data::clone(api(&request));
    let under_way = request.conn_data::<Rc<Connection>>().map(Connection::begin);
    let send_timeout = api.limits.settings.send_timeout;
    let is_multiplexed = request.version() == Version::HTTP_2;
    let transfer = match admit(&api, &request, under_way.as_ref()) {
        Ok(transfer) => transfer,
        Err(refusal) => {
            let response = request.into_response(refusal.response());
            let answer =
                |_: &mut _, body| Answer::new(body, None, under_way, send_timeout, is_multiplexed);
            return Ok(response.map_body(answer).map_into_right_body());
        }
    };
    let response = next.call(request).await?;
    let answer =
        |_: &mut _, body| Answer::new(body, transfer, under_way, send_timeout, is_multiplexed);
    Ok(response.map_body(answer).map_into_left_body())
}

/// Counts a request, or says why it is too much. One that opens nothing is not counted.
fn admit(
    api: &Api,
    request: &ServiceRequest,
    under_way: Option<&UnderWay>,
) -> Result<Option<Counted>, Refusal> {
    let most = api.limits.settings.requests_per_connection;
    if under_way.is_some_and(UnderWay::is_refused) {
        return Err(Refusal::Said(ApiError::too_many("too many connections", 1)));
    }
    if let Some(number) = under_way.map(UnderWay::number).filter(|number| *number > most) {
        api.metrics.refused("requests_per_connection");
        if number > 2 * most {
            // The reason would wait until the client reads it, and such a client never does.
            return Err(Refusal::Bare);
        }
        let message = "too many requests at once on this connection";
        return Err(Refusal::Said(ApiError::too_many(message, 1)));
    }
    if *request.method() == Method::OPTIONS || LIGHT.contains(&request.path()) {
        return Ok(None);
    }
    let client = client::of(request.request()).group();
    let refusal = match api.limits.transfers.take(Some(client)) {
        Ok(transfer) => return Ok(Some(transfer)),
        Err(Full::Client) => {
            api.metrics.refused("transfers_per_client");
            ApiError::too_many("too many transfers at once from this client", 1)
        }
        Err(Full::All) => {
            api.metrics.refused("transfers");
            let message = "too many transfers at once";
            ApiError::unavailable(StatusCode::SERVICE_UNAVAILABLE, message)
        }
    };
    Err(Refusal::Said(refusal))
}

/// How a request is refused.
enum Refusal {
    /// Without a text.
    Bare,
    /// With an error that says why.
    Said(ApiError),
}

impl Refusal {
    fn response(&self) -> HttpResponse {
        match self {
            Self::Bare => {
                HttpResponse::TooManyRequests().insert_header((RETRY_AFTER, "1")).finish()
            }
            Self::Said(error) => error.error_response(),
        }
    }
}

fn api(request: &ServiceRequest) -> &Data<Api> {
    request.app_data().expect("the server is made with it")
}
