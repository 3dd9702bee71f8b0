//! The token service: what real clients send, and what they need in the answer.

use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::team::{PASSWORD, Sender, Team, claims, user};
use crate::common::Server;
use crate::common::http::{self, Response};
use crate::common::repository::assert_refused;

/// Sends a form, as containerd and docker do.
fn post(team: &Team, fields: &[(&str, &str)]) -> Response {
    post_to(&team.server, fields)
}

/// The same to any server.
pub(super) fn post_to(server: &Server, fields: &[(&str, &str)]) -> Response {
    let url = server.url("/v2/token");
    let mut form = Url::parse(&url).expect("it is a URL");
    form.query_pairs_mut().extend_pairs(fields);
    let form = form.query().unwrap_or_default().to_owned();
    http::send(|client| {
        let request = client.post(url).body(form);
        request.header("Content-Type", "application/x-www-form-urlencoded")
    })
}

fn password_form<'a>(user: &'a str, password: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "password"),
        ("client_id", "containerd-client"),
        ("service", "roadstead"),
        ("username", user),
        ("password", password),
    ]
}

/// The repositories that a token is good for, and the acts.
pub(super) fn access(answer: &Response) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let access = claims(answer)["access"].clone();
    let entries = access.as_array().expect("it is a list").iter();
    let entry = |entry: &Value| json!([entry["name"], entry["actions"]]);
    entries.map(entry).collect::<Vec<Value>>().into()
}

#[test]
fn every_answer_has_both_names_of_the_token_and_its_lifetime() {
    let team = Team::start();
    let mut answers = vec![
        team.token(&user("anna"), &["repository:team/secret:pull"]),
        team.token(&Sender::Nobody, &["repository:team/open:pull"]),
        team.token(&user("anna"), &[]),
        post(&team, &password_form("anna", PASSWORD)),
    ];
    let login = [&password_form("anna", PASSWORD)[..], &[("offline_token", "true")]].concat();
    let signed_in = post(&team, &login);
    let refresh = signed_in.json()["refresh_token"].as_str().expect("there is one").to_owned();
    for _ in 0..2 {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &refresh),
            ("scope", "repository:team/secret:pull"),
        ];
        let answer = post(&team, &form);
        assert_eq!(access(&answer), json!([["team/secret", ["pull"]]]));
        answers.push(answer);
    }
    for answer in &answers {
        let body = answer.json();
        assert_eq!(answer.status, 200);
        assert_eq!(body["token"], body["access_token"]);
        assert_eq!(body["expires_in"], 300);
        assert_eq!((&body["issued_at"], &body["refresh_token"]), (&Value::Null, &Value::Null));
        assert_eq!(answer.header("cache-control"), "no-store");
        let claims = claims(answer);
        let number = |name: &str| claims[name].as_u64().expect("it is a number");
        assert_eq!(number("exp") - number("iat"), 300);
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!("roadstead"), &json!("roadstead")));
    }
    // As `docker login` asks by GET.
    let url = team.server.url("/v2/token?account=anna&client_id=docker&offline_token=true");
    let login = http::send(|client| client.get(url).basic_auth("anna", Some(PASSWORD)));
    assert!(login.json()["refresh_token"].is_string());
    let url = team.server.url("/v2/token?offline_token=true");
    assert_eq!(http::get(&url).json()["refresh_token"], Value::Null, "of an anonymous client");
}

#[test]
fn scopes_are_taken_as_clients_write_them_and_less_is_granted_without_a_word() {
    let team = Team::start();
    let robot = Sender::Basic("ci".to_owned(), team.secrets.of_robot.clone());
    let personal = Sender::Basic("anna".to_owned(), team.secrets.of_anna.clone());
    let [secret, open] = ["team/secret", "team/open"];
    let all = json!(["pull", "push", "delete"]);
    for (sender, scopes, expected) in [
        (user("anna"), &["repository:team/secret:*"][..], json!([[secret, all]])),
        (
            user("anna"),
            &["repository:team/secret:push,pull repository:team/secret:pull"],
            json!([[secret, ["pull", "push"]]]),
        ),
        (
            user("anna"),
            &["repository:team/secret:pull", "repository:team/open:push", "other:x:y", "x"],
            json!([[open, ["push"]], [secret, ["pull"]]]),
        ),
        (user("will"), &["repository:team/secret:*"], json!([[secret, ["pull", "push"]]])),
        (user("rita"), &["repository:team/secret:pull,push"], json!([[secret, ["pull"]]])),
        (
            user("carl"),
            &["repository:team/secret:pull,push repository:team/absent:pull,push"],
            json!([]),
        ),
        (user("carl"), &["repository:team/inner:pull"], json!([["team/inner", ["pull"]]])),
        (user("carl"), &["repository:carl/new:pull,push"], json!([["carl/new", ["pull", "push"]]])),
        (user("carl"), &["registry:catalog:*"], json!([["catalog", ["*"]]])),
        (robot, &["repository:team/secret:*"], json!([[secret, ["pull", "push"]]])),
        (personal, &["repository:team/secret:*"], json!([[secret, ["pull"]]])),
        (
            Sender::Nobody,
            &["repository:team/open:pull,push repository:team/inner:pull registry:catalog:*"],
            json!([[open, ["pull"]]]),
        ),
    ] {
        let answer = team.token(&sender, scopes);
        assert_eq!(access(&answer), expected, "{sender:?} {scopes:?}");
        if let Sender::Basic(name, password) = &sender {
            let mut form = password_form(name, password);
            form.extend(scopes.iter().map(|scope| ("scope", *scope)));
            assert_eq!(access(&post(&team, &form)), expected, "{sender:?} {scopes:?}");
        }
    }
}

#[test]
fn a_token_is_good_for_what_was_requested_alone() {
    let team = Team::start();
    let sender = team.bearer(&user("anna"), &["repository:team/secret:pull,push"]);
    assert_eq!(team.push("team/secret", &sender), [201, 201]);
    let only_pulls = team.bearer(&user("anna"), &["repository:team/secret:pull"]);
    assert_eq!(team.get("/v2/team/secret/manifests/v1", &only_pulls).status, 200);
    for (method, path, scope) in [
        (Method::POST, "/v2/team/secret/blobs/uploads/", "repository:team/secret:pull,push"),
        (Method::DELETE, "/v2/team/secret/manifests/v1", "repository:team/secret:pull,push,delete"),
        (Method::GET, "/v2/team/open/tags/list", "repository:team/open:pull,push"),
        (Method::GET, "/v2/_catalog", "registry:catalog:*"),
    ] {
        let refused = team.send(method, path, &only_pulls, Vec::new());
        assert_refused(&refused, 401, "UNAUTHORIZED");
        let challenge = refused.header("www-authenticate");
        let expected = format!("scope=\"{scope}\",error=\"insufficient_scope\"");
        assert!(challenge.ends_with(&expected), "{challenge}");
    }
    // A token is no way to get the next one.
    let refused = team.token(&only_pulls, &["repository:team/secret:pull"]);
    assert_refused(&refused, 401, "UNAUTHORIZED");
}

#[test]
fn forms_that_are_not_understood_are_refused() {
    let team = Team::start();
    for (fields, status, code) in [
        (&[("grant_type", "client_credentials")][..], 400, "UNSUPPORTED"),
        (&[], 400, "UNSUPPORTED"),
        (&[("grant_type", "refresh_token"), ("refresh_token", "x")], 401, "UNAUTHORIZED"),
        (&[("grant_type", "refresh_token")], 401, "UNAUTHORIZED"),
        (
            &[("grant_type", "password"), ("username", "anna"), ("password", "wrong")],
            401,
            "UNAUTHORIZED",
        ),
        (&[("grant_type", "password"), ("username", "anna")], 401, "UNAUTHORIZED"),
    ] {
        let refused = post(&team, fields);
        assert_refused(&refused, status, code);
    }
    let long = "x".repeat(100_000);
    assert_refused(&post(&team, &[("grant_type", &long)]), 413, "SIZE_INVALID");
}

#[test]
fn others_find_the_keys_of_tokens() {
    use base64::Engine;

    let team = Team::start();
    let keys = http::get(&team.server.url("/.well-known/jwks.json"));
    assert_eq!(keys.status, 200);
    let keys = keys.json();
    let key = &keys["keys"][0];
    assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")), "{keys}");
    assert_eq!(key["d"], Value::Null, "no private part");
    let answer = team.token(&user("anna"), &[]).json();
    let header = answer["token"].as_str().expect("it is a text").split('.').next();
    let header = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(header.expect("it has one"));
    let header: Value = serde_json::from_slice(&header.expect("it is base64")).expect("it is JSON");
    assert_eq!((&header["kid"], &header["alg"]), (&key["kid"], &json!("EdDSA")));
    let open = crate::common::Server::start();
    assert_eq!(http::get(&open.url("/.well-known/jwks.json")).status, 404);
}
