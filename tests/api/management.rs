//! What stands around the management API: who is let in, and what is no request.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::WWW_AUTHENTICATE;
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use roadstead::accounts::Administration;
use roadstead::auth::accounts::{Bound, Bounded, CreateRule, Rights, Rules, TokenScopes};
use roadstead::auth::passwords::{Bounds, Checks};
use roadstead::auth::{
    Act, AuthError, Caller, CallerKind, Challenge, Credentials, IdentityProvider, TokenIssuer,
    TokenService,
};
use roadstead::config::Settings;
use roadstead::http::{Metrics, routes};
use roadstead::index::{Actor, FirstAdministrator};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::grants::{api_with, open_index};
use crate::common::Server;
use crate::common::connection::Connection;

/// Root has the password `right`; in its place there may be a token that is good for `metrics`, or for `admin`.
struct OnlyRoot(i64);

#[async_trait]
impl IdentityProvider for OnlyRoot {
    async fn identify(&self, credentials: &Credentials, _: IpAddr) -> Result<Caller, AuthError> {
        let kind = CallerKind::User { name: "root".to_owned(), id: Some(self.0) };
        let rights = Bounded::from(Rights::user(true, Vec::new(), Vec::new()));
        let scoped = |scope| {
            let scopes = TokenScopes::read([scope]).expect("it is a scope");
            rights.clone().within(Bound::Scopes(scopes))
        };
        let rights = match credentials {
            Credentials::None => return Ok(Caller::anonymous()),
            Credentials::Basic { password, .. } => match password.expose_secret() {
                "right" => rights,
                "rds_metrics" => scoped("metrics"),
                "rds_admin" => scoped("admin"),
                _ => return Err(AuthError::Unauthorized(Challenge::Basic)),
            },
            // As a token of /v2/token, whoever has it.
            _ => rights,
        };
        Ok(Caller { rights: Some(Arc::new(rights)), ..kind.into() })
    }

    async fn refresh(&self) {}

    fn challenge(&self, _: Act<'_>) -> Option<Challenge> {
        Some(Challenge::Token { scope: None, fault: None })
    }

    fn issuer(&self) -> Option<&dyn TokenIssuer> {
        None
    }

    fn token_service(&self) -> Option<&TokenService> {
        None
    }
}

const QUERY: &str = "{ viewer { name isAdministrator } }";

fn basic(password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("root:{password}")))
}

fn post(query: &str) -> TestRequest {
    let body = json!({ "query": query }).to_string();
    let request = TestRequest::post().uri("/graphql").set_payload(body);
    request.insert_header(("Content-Type", "application/json"))
}

macro_rules! service {
    ($data:expr) => {{
        let index = open_index($data).await;
        let (hash, nobody) = ("hash".into(), Actor::default());
        let made = index.add_first_administrator("root", &hash, &nobody, 1).await;
        let Ok(FirstAdministrator::Made(id)) = made else { panic!("the index is new") };
        let sign_ins = Settings::default().auth.sign_ins;
        let checks = Arc::new(Checks::new(Bounds::of_accounts(sign_ins)));
        let rules = Rules { create: CreateRule::Users, anonymous_foreign: false };
        let administration = Administration::new(Arc::clone(&index), checks, rules);
        let administration = Some(Arc::new(administration));
        let api = api_with($data, Box::new(OnlyRoot(id)), administration, index).await;
        let app = actix_web::App::new()
            .app_data(api)
            .wrap(from_fn(roadstead::http::refuse_browsers))
            .configure(|config| routes(config, &Metrics::new()));
        init_service(app).await
    }};
}

#[actix_web::test]
async fn who_has_signed_in_administers() {
    let data = TempDir::new().unwrap();
    let service = service!(&data);
    for password in ["right", "rds_admin", "rds_metrics"] {
        let request = post(QUERY).insert_header(("Authorization", basic(password)));
        let response = call_service(&service, request.to_request()).await;
        assert_eq!(response.status(), StatusCode::OK, "{password}");
        let answer: Value = read_body_json(response).await;
        assert_eq!(answer["data"]["viewer"]["name"], "root", "{password}");
    }
    // An act of the scope alone.
    for (password, is_allowed) in [("right", true), ("rds_admin", true), ("rds_metrics", false)] {
        let request = post("{ users { next } }").insert_header(("Authorization", basic(password)));
        let answer: Value =
            read_body_json(call_service(&service, request.to_request()).await).await;
        assert_eq!(answer.get("errors").is_none(), is_allowed, "{password}: {answer}");
    }
}

#[actix_web::test]
async fn others_are_challenged_for_a_password() {
    let data = TempDir::new().unwrap();
    let service = service!(&data);
    for authorization in [
        None,
        Some(basic("wrong")),
        Some("Bearer eyJ".to_owned()),
        Some("Bearer rds_admin".to_owned()),
    ] {
        for query in [QUERY, "{ __schema { queryType { name } } }"] {
            let mut request = post(query);
            if let Some(authorization) = &authorization {
                request = request.insert_header(("Authorization", authorization.as_str()));
            }
            let response = call_service(&service, request.to_request()).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{authorization:?}");
            let challenge = response.headers().get(WWW_AUTHENTICATE).unwrap();
            assert!(challenge.as_bytes().starts_with(b"Basic "), "{challenge:?}");
        }
    }
}

#[actix_web::test]
async fn what_is_no_request_is_refused() {
    let data = TempDir::new().unwrap();
    let service = service!(&data);
    let signed_in = |request: TestRequest| request.insert_header(("Authorization", basic("right")));
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
    {
        let request = signed_in(post(QUERY)).insert_header(("Content-Type", content_type));
        let response = call_service(&service, request.to_request()).await;
        assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
    }
    let charset = ("Content-Type", "application/json; charset=utf-8");
    let request = signed_in(post(QUERY)).insert_header(charset);
    assert_eq!(call_service(&service, request.to_request()).await.status(), StatusCode::OK);
    for (body, status) in [
        ("[]".to_owned(), StatusCode::BAD_REQUEST),
        ("{".to_owned(), StatusCode::BAD_REQUEST),
        (" ".repeat(100_000), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let request = signed_in(post(QUERY)).set_payload(body);
        assert_eq!(call_service(&service, request.to_request()).await.status(), status);
    }
    let get = signed_in(TestRequest::get().uri("/graphql?query=%7Bviewer%7Bname%7D%7D"));
    let response = call_service(&service, get.to_request()).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    let page = signed_in(post(QUERY)).insert_header(("Origin", "http://evil.example"));
    assert_eq!(call_service(&service, page.to_request()).await.status(), StatusCode::FORBIDDEN);
}

#[test]
fn an_open_registry_shows_its_schema_and_has_no_accounts() {
    let server = Server::start();
    let send = |query: &str| {
        let body = json!({ "query": query }).to_string();
        let mut connection = Connection::open(&server);
        connection.send(format!(
            "POST /graphql HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            server.address(),
            body.len()
        ));
        let answer = connection.answer();
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_str::<Value>(&answer.text()).unwrap()
    };
    let schema = send("{ __schema { queryType { name } } }");
    assert_eq!(schema["data"]["__schema"]["queryType"]["name"], "Query");
    assert_eq!(send(QUERY)["errors"][0]["extensions"]["code"], "UNSUPPORTED");
}
