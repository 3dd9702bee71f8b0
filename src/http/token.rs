//! `/v2/token`: where clients are sent that need a token (the token authentication of the stock registry, and its form
//! of OAuth 2, as clients know them), and the keys that tokens are verified with.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use secrecy::ExposeSecret;
use serde_json::json;

use super::body::Body;
use super::error::{self, Answer, ApiError};
use super::extract::{Query, Read};
use super::{Api, caller, client, credentials, form, log};
use crate::auth::{AuthError, Caller, Credentials, Meant, Scopes};
use crate::oci::ErrorCode;

/// How many bytes a form may have: as many scopes as a token may have, and a password.
const LONGEST: usize = 64 * 1024;

/// `GET`: a token for the caller, good for no more than what is requested (`scope`). What a client may not
/// do is left out without a word: clients request several things at once, and end at a refusal. When it was issued is
/// not returned, since clients would compare that with clocks of their own; each counts from when it came.
pub(super) async fn get(request: HttpRequest, api: Data<Api>) -> Answer {
    let query = Query::read(&request)?;
    issue(request.clone(), &api, &credentials::of(&request), &query).await
}

/// `POST` of a form: the same, with a password or a refresh token in it.
pub(super) async fn post(request: HttpRequest, body: Payload, api: Data<Api>) -> Answer {
    let form = read(Body::new(body, api.manifest_idle)).await?;
    let credentials = form::credentials(|name| form.get(name)).ok_or_else(|| {
        let message = "unsupported grant_type: expected password or refresh_token";
        ApiError::malformed(ErrorCode::Unsupported, message)
    })?;
    issue(request, &api, &credentials, &form).await
}

async fn issue(
    request: HttpRequest,
    api: &Api,
    credentials: &Credentials,
    fields: &Query,
) -> Answer {
    let authority = &api.authority;
    let signed_in = authority.sign_in(credentials, client::of(&request).group()).await;
    let signed_in = signed_in.map_err(|error| {
        note_refusal(&request, api, credentials, &error);
        caller::refusal(error, credentials)
    })?;
    let Some(signed_in) = signed_in else { return error::not_found(request).await };
    log::from(&request, &signed_in.caller);
    let requested = Scopes::requested(fields.all("scope"));
    let meant = meant(&request, api, &signed_in.caller, &requested).await?;
    let granted = authority.grantable(&signed_in.caller, &requested, &meant).await;
    let refresh_for = refresh_for(fields)?;
    let Some(token) = authority.token(&signed_in, granted, refresh_for).await? else {
        return error::not_found(request).await;
    };
    let text = token.text.expose_secret();
    let mut answer = json!({
        "token": text,
        "access_token": text,
        "expires_in": token.lifetime.as_secs(),
    });
    if let Some(refresh) = &token.refresh {
        answer["refresh_token"] = refresh.expose_secret().into();
    }
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(answer))
}

/// Returns how long a refresh token may be good for at most (`offline_lifetime`, in seconds; ours alone); none where none is
/// requested.
fn refresh_for(fields: &Query) -> Result<Option<Duration>, ApiError> {
    if fields.get("offline_token") != Some("true") {
        return Ok(None);
    }
    let Some(text) = fields.get("offline_lifetime") else { return Ok(Some(Duration::MAX)) };
    let seconds = text.parse().map_err(|_| {
        let message = "malformed offline_lifetime: expected a number of seconds";
        ApiError::malformed(ErrorCode::Unsupported, message)
    })?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// Notes whose password was refused, or not looked at.
fn note_refusal(request: &HttpRequest, api: &Api, credentials: &Credentials, error: &AuthError) {
    let Credentials::Basic { user, .. } = credentials else { return };
    match error {
        AuthError::Unauthorized(_) => log::tried(request, user),
        AuthError::Busy { limit, .. } => {
            log::unchecked_user(request, user);
            api.metrics.refused(limit);
        }
        AuthError::Denied(_) | AuthError::Unavailable => {}
    }
}

/// Finds the repositories that scopes name, as a request to this host means them.
async fn meant(
    request: &HttpRequest,
    api: &Api,
    caller: &Caller,
    requested: &Scopes,
) -> Result<Vec<Meant>, ApiError> {
    let names = api.authority.names();
    let mut found = Vec::new();
    for name in requested.repositories() {
        let Ok(mut meant) = names.meant(name.clone(), client::host(request), None) else {
            continue;
        };
        if let Some(local) = names.local(&meant) {
            meant.record = api.registry.record_for(caller, local).await?;
        }
        found.push(meant);
    }
    Ok(found)
}

/// Reads a form.
async fn read(mut body: Body) -> Result<Query, ApiError> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await? {
        if bytes.len() + piece.len() > LONGEST {
            let message = format!("form too large: at most {LONGEST} bytes are accepted");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Err(ApiError::new(status, ErrorCode::SizeInvalid, message));
        }
        bytes.extend_from_slice(&piece);
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        ApiError::malformed(ErrorCode::Unsupported, "cannot read the form: it is not UTF-8")
    })?;
    Query::parse_text(&text)
}

/// `GET /.well-known/jwks.json`: the public keys that tokens are verified with (RFC 7517, 5).
pub(super) async fn public_keys(request: HttpRequest, api: Data<Api>) -> Answer {
    match api.authority.public_keys().await? {
        // Others fetch them anew where they meet a key that they do not know.
        Some(keys) => {
            Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "public, max-age=300")).json(keys))
        }
        None => error::not_found(request).await,
    }
}
