//! `/setup`: the first administrator, made by the code that the server has printed. A page for browsers, and JSON for the
//! command `roadstead setup`.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
};
use actix_web::web::{BytesMut, Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::body::Body;
use super::error::{self, Answer, ApiError};
use super::extract::Query;
use super::{Api, client, log};
use crate::accounts::SetupError;
use crate::oci::ErrorCode;

/// How many bytes a request may have.
const LONGEST: usize = 16 * 1024;

const JSON: &str = "application/json";

/// What the page may do: send its form to this server, and nothing else.
const POLICY: &str =
    "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const FORM: &str = "<p>This registry has no administrator yet. Enter the code that <code>roadstead serve</code> has printed, \
    and the password that the administrator is to have: 12 characters or more.</p>\n\
    <form method=\"post\" action=\"/setup\">\n\
    <p><label>Code<br><input name=\"code\" autocomplete=\"off\" required></label></p>\n\
    <p><label>Password<br><input name=\"password\" type=\"password\" autocomplete=\"new-password\" minlength=\"12\" \
    required></label></p>\n\
    <p><button>Set up</button></p>\n</form>\n";

/// What a request has.
struct Setup {
    code: SecretString,
    password: SecretString,
}

/// The same as JSON has it.
#[derive(Deserialize)]
struct Sent {
    code: String,
    password: String,
}

/// `GET`: the page, as long as there is something to set up.
pub(super) async fn get(request: HttpRequest, api: Data<Api>) -> Answer {
    let Some(administration) = &api.administration else { return error::not_found(request).await };
    if !administration.needs_setup().await? {
        return Err(SetupError::Done.into());
    }
    Ok(page(HttpResponse::Ok(), FORM))
}

/// `POST`: makes the administrator.
pub(super) async fn post(request: HttpRequest, payload: Payload, api: Data<Api>) -> Answer {
    let Some(administration) = &api.administration else { return error::not_found(request).await };
    let is_json = is_json(&request);
    let Setup { code, password } = read(&request, payload, &api, is_json).await?;
    let client = client::of(&request).group();
    match administration.set_up(client, &code, password).await {
        Ok(name) if is_json => Ok(HttpResponse::Created()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(json!({ "user": name }))),
        // Of the name of an account nothing has to be escaped.
        Ok(name) => Ok(page(
            HttpResponse::Created(),
            &format!(
                "<p>Done: <code>{name}</code> is an administrator. Sign in with <code>roadstead login HOST -u {name}</code>, or with <code>docker login</code> to push and pull.</p>\n"
            ),
        )),
        Err(error) if is_json => Err(error.into()),
        Err(error) => {
            let error = ApiError::from(error);
            let status = error.status();
            let form = if status == StatusCode::NOT_FOUND { "" } else { FORM };
            let why = format!(
                "<p><strong>Not done: {}</strong></p>\n{form}",
                escaped(&error.to_string())
            );
            Ok(page(HttpResponse::build(status), &why))
        }
    }
}

fn is_json(request: &HttpRequest) -> bool {
    let text = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = text.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(JSON)
}

/// Reads JSON, or a form.
async fn read(
    request: &HttpRequest,
    payload: Payload,
    api: &Api,
    is_json: bool,
) -> Result<Setup, ApiError> {
    let mut body = Body::new(payload, api.manifest_idle);
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await? {
        log::received(request, piece.len());
        if bytes.len() + piece.len() > LONGEST {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            let message = format!("the request is longer than {LONGEST} bytes");
            return Err(ApiError::new(status, ErrorCode::SizeInvalid, message));
        }
        bytes.extend_from_slice(&piece);
    }
    let malformed = || {
        let message = "cannot read the request: send `code` and `password`, as JSON or as a form";
        ApiError::malformed(ErrorCode::Unsupported, message)
    };
    if is_json {
        let Sent { code, password } = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
        return Ok(Setup { code: code.into(), password: password.into() });
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed())?;
    let form = Query::parse_text(text).map_err(|_| malformed())?;
    let field = |name| form.get(name).map(SecretString::from).ok_or_else(malformed);
    Ok(Setup { code: field("code")?, password: field("password")? })
}

/// Writes a page, which no cache stores and no other page shows.
fn page(mut response: HttpResponseBuilder, body: &str) -> HttpResponse {
    response
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .body(format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>Set up Roadstead</title>\n<h1>Set up Roadstead</h1>\n{body}</html>\n"
        ))
}

fn escaped(text: &str) -> String {
    let replaced = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    replaced.replace('"', "&quot;").replace('\'', "&#39;")
}

impl From<SetupError> for ApiError {
    fn from(error: SetupError) -> Self {
        let message = error.to_string();
        match error {
            SetupError::Done => Self::new(StatusCode::NOT_FOUND, ErrorCode::Unsupported, message),
            SetupError::Wrong => Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message),
            SetupError::Taken(_) => Self::new(StatusCode::CONFLICT, ErrorCode::Denied, message),
            SetupError::Password(_) => Self::malformed(ErrorCode::Unsupported, message),
            SetupError::Busy(error) => error.into(),
            SetupError::Index(error) => error.into(),
        }
    }
}
