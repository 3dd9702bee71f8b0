//! `/v2/token`: where clients are sent that need a token (the token authentication of the
//! stock registry, as clients know it).

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use secrecy::ExposeSecret;
use serde_json::json;

use super::error::{self, Answer};
use super::extract::{Query, Read};
use super::{Api, client, credentials};
use crate::auth::Scopes;

/// `GET`: a token for the caller, good for no more than what is requested (`scope`). What a client may not
/// do is left out without a word: clients request several things at once, and end at a refusal. When it was issued is
/// not returned, since clients would compare that with clocks of their own; each counts from when it came.
pub(super) async fn get(request: HttpRequest, api: Data<Api>) -> Answer {
    let query = Query::read(&request)?;
    let scopes = Scopes::requested(query.all("scope"));
    let client = client::of(&request).group();
    let credentials = credentials::of(&request);
    let Some(token) = api.authority.token(&credentials, client, scopes).await? else {
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
