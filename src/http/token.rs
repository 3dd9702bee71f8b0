//! `/v2/token`: where clients are sent that are asked for a token (the token authentication of the
//! stock registry, as clients know it).

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use secrecy::ExposeSecret;
use serde_json::json;

use super::error::{self, Answer};
use super::{Api, caller};

/// Where it is.
pub(super) const PATH: &str = "/v2/token";

/// `GET`: a token for who sends the request. What is asked for (`scope`) is not looked at: a token says
/// who its bearer is, and each request is decided when it comes.
pub(super) async fn get(request: HttpRequest, api: Data<Api>) -> Answer {
    let Some(token) = api.authority.token(caller::authorization(&request)).await? else {
        return error::not_found(request).await;
    };
    let text = token.text.expose_secret();
    let answer = json!({
        "token": text,
        "access_token": text,
        "expires_in": token.lifetime.as_secs(),
    });
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(answer))
}
