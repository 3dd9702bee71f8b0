//! Registries that take the tokens of a token service: ours those of another Roadstead and those that an independent
//! library makes, and the stock registry ours.

use std::process::Command;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::team::{PASSWORD, Sender, Team, push, send, token_of, user};
use crate::clients::image::Image;
use crate::clients::skopeo::Skopeo;
use crate::clients::stock_registry::StockRegistry;
use crate::clients::target::{Target, User};
use crate::common::http;
use crate::common::repository::assert_refused;
use crate::common::{Server, require, succeed};

/// Starts a registry that takes the tokens of another one.
fn taking(issuer: &Server) -> Server {
    let settings = [
        ("REALM", issuer.url("/v2/token")),
        ("SERVICE", "roadstead".to_owned()),
        ("ISSUER", "roadstead".to_owned()),
        ("JWKS_URL", issuer.url("/.well-known/jwks.json")),
        ("ALLOW_PRIVATE_ADDRESSES", "true".to_owned()),
    ];
    Server::start_with(move |command| {
        command.env("ROADSTEAD_AUTH__METHOD", "token");
        for (name, value) in &settings {
            command.env(format!("ROADSTEAD_AUTH__TOKEN__{name}"), value);
        }
    })
}

#[test]
fn another_roadstead_is_the_token_service() {
    let team = Team::start();
    let server = taking(&team.server);
    let status = |method, path, sender: &Sender| send(&server, method, path, sender, Vec::new());
    let manifest = "/v2/team/app/manifests/v1";
    let challenge = status(Method::GET, manifest, &Sender::Nobody);
    assert_refused(&challenge, 401, "UNAUTHORIZED");
    let expected = format!(
        "Bearer realm=\"{}\",service=\"roadstead\",scope=\"repository:team/app:pull\"",
        team.server.url("/v2/token")
    );
    assert_eq!(challenge.header("www-authenticate"), expected);

    let all = ["repository:team/app:pull,push,delete"];
    let anna = team.bearer(&user("anna"), &all);
    assert_eq!(push(&server, "team/app", &anna), [201, 201]);
    assert_eq!(status(Method::GET, manifest, &anna).status, 200);
    // What is at the token service is not here, and the other way round.
    assert_eq!(team.get(manifest, &anna).status, 404);
    let rita = team.bearer(&user("rita"), &all);
    assert_eq!(push(&server, "team/app", &rita)[0], 401, "she may pull alone");
    let will = team.bearer(&user("will"), &all);
    assert_eq!(push(&server, "team/app", &will), [201, 201]);
    assert_refused(&status(Method::DELETE, manifest, &will), 401, "UNAUTHORIZED");
    let carl = team.bearer(&user("carl"), &all);
    assert_refused(&status(Method::GET, manifest, &carl), 401, "UNAUTHORIZED");
    let nobody = team.bearer(&Sender::Nobody, &all);
    assert_refused(&status(Method::GET, manifest, &nobody), 401, "UNAUTHORIZED");
    // A password is for the token service alone, and so is a refresh token.
    assert_refused(&status(Method::GET, manifest, &user("anna")), 401, "UNAUTHORIZED");
    let url = team.server.url("/v2/token?offline_token=true");
    let login = http::send(|client| client.get(url).basic_auth("anna", Some(PASSWORD)));
    let refresh = login.json()["refresh_token"].as_str().expect("there is one").to_owned();
    assert_refused(&status(Method::GET, "/v2/", &Sender::Bearer(refresh)), 401, "UNAUTHORIZED");
    assert_eq!(status(Method::DELETE, manifest, &anna).status, 202);
}

#[test]
fn skopeo_signs_in_at_another_roadstead() {
    let team = Team::start();
    let server = taking(&team.server);
    let anna = Some(User { name: "anna", password: PASSWORD });
    let Some(skopeo) = Skopeo::find(&Target::of(&server).of_user(anna)) else { return };
    pushes_and_pulls(&skopeo, server.address());
}

fn pushes_and_pulls(skopeo: &Skopeo, address: &str) {
    let Some(busybox) = require("busybox") else { return };
    let image = Image::new(&busybox);
    let reference = format!("{address}/team/pushed:v1");
    skopeo.push(&image.write_layout(), &reference);
    let pulled = skopeo.pull(&reference).contents().blobs;
    assert!(pulled.len() > 10 && pulled.iter().all(|(name, digest)| name == digest), "{pulled:?}");
}

#[test]
fn the_stock_registry_takes_our_tokens_by_each_algorithm() {
    let Some(program) = require("registry") else { return };
    for algorithm in ["EdDSA", "RS256", "ES256"] {
        let server = Server::start_with(move |command: &mut Command| {
            command
                .env("ROADSTEAD_AUTH__METHOD", "accounts")
                .env("ROADSTEAD_AUTH__ACCOUNTS__ADMIN", "anna")
                .env("ROADSTEAD_AUTH__ACCOUNTS__ADMIN_PASSWORD", PASSWORD)
                .env("ROADSTEAD_AUTH__ACCOUNTS__TOKEN_ALGORITHM", algorithm);
        });
        let folder = TempDir::new().expect("a temporary folder can be made");
        let keys = http::get(&server.url("/.well-known/jwks.json")).text();
        let file = folder.path().join("jwks.json");
        std::fs::write(&file, &keys).expect("the folder is ours");
        let auth = json!({ "token": {
            "realm": server.url("/v2/token"), "service": "roadstead", "issuer": "roadstead",
            "jwks": file, "signingalgorithms": [algorithm],
        }});
        let root = folder.path().join("root");
        let stock = StockRegistry::start_with(&program, &root, false, Some(auth));
        let status = |sender: &Sender, path: &str| {
            let url = format!("http://{}{path}", stock.address());
            let answer = http::send(|client| match sender {
                Sender::Bearer(token) => client.get(&url).bearer_auth(token),
                _ => client.get(&url),
            });
            answer.status
        };
        let bearer = |sender: &Sender, scope: &str| {
            let answer = token_of(&server, sender, &[scope]).json();
            Sender::Bearer(answer["token"].as_str().expect("it is a text").to_owned())
        };
        let tags = "/v2/team/pushed/tags/list";
        let scope = "repository:team/pushed:pull,push";
        assert_eq!(status(&Sender::Nobody, "/v2/"), 401, "{algorithm}");
        assert_eq!(status(&bearer(&user("anna"), ""), "/v2/"), 200, "{algorithm}: {keys}");
        assert_eq!(status(&bearer(&Sender::Nobody, scope), tags), 401, "{algorithm}");
        assert_eq!(status(&bearer(&user("anna"), scope), tags), 404, "{algorithm}");
        let anna = Some(User { name: "anna", password: PASSWORD });
        let target = Target::open(stock.address()).of_user(anna);
        let Some(skopeo) = Skopeo::find(&target) else { return };
        pushes_and_pulls(&skopeo, stock.address());
        assert_eq!(status(&bearer(&user("anna"), scope), tags), 200, "{algorithm}");
    }
}

/// Makes a set of keys, and tokens of which each has one thing that the first ones have otherwise.
const SCRIPT: &str = r#"
import base64, hashlib, hmac, json, sys, time
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

def new(algorithm):
    return {
        "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }[algorithm]()

by = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
private = {algorithm: new(algorithm) for algorithm in by}
keys = []
for algorithm, key in private.items():
    entry = json.loads(by[algorithm].to_jwk(key.public_key()))
    entry.pop("key_ops", None)
    keys.append({**entry, "kid": algorithm, "alg": algorithm, "use": "sig"})
open(sys.argv[1], "w").write(json.dumps({"keys": keys}))

now = int(time.time())
usual = {
    "iss": "https://auth.example", "sub": "anna", "aud": "registry.example", "exp": now + 300,
    "nbf": now - 5, "iat": now, "jti": "1",
    "access": [{"type": "repository", "name": "team/app", "actions": ["pull", "push"]}],
}
cases = []

def case(name, status, edits={}, algorithm="RS256", key=None, **headers):
    claims = {name: value for name, value in {**usual, **edits}.items() if value is not None}
    headers = {"kid": algorithm, **headers}
    token = jwt.encode(claims, key or private[algorithm], algorithm=algorithm, headers=headers)
    cases.append({"name": name, "token": token, "status": status})

for algorithm in private:
    case(f"good, {algorithm}", 201, algorithm=algorithm)
    case(f"of another key, {algorithm}", 401, algorithm=algorithm, key=new(algorithm))
case("for several services", 201, {"aud": ["other", "registry.example"]})
case("without nbf, iat and jti", 201, {"nbf": None, "iat": None, "jti": None})
case("with times that have a fraction", 201, {"exp": now + 300.5, "nbf": now - 0.5})
case("without a type", 201, typ=None)
case("within the leeway", 201, {"exp": now - 5})
case("expired", 401, {"exp": now - 120})
case("without an end", 401, {"exp": None})
case("not valid yet", 401, {"nbf": now + 3600})
case("for another service", 401, {"aud": "other"})
case("for no service", 401, {"aud": None})
case("of another issuer", 401, {"iss": "https://auth.example/"})
case("of no issuer", 401, {"iss": None})
case("for another repository", 401, {"access": [{**usual["access"][0], "name": "team/other"}]})
case("to pull only", 401, {"access": [{**usual["access"][0], "actions": ["pull"]}]})
case("for nothing", 401, {"access": []})
case("without access", 401, {"access": None})
case("with a malformed access", 401, {"access": "repository:team/app:pull,push"})
case("by an unknown key", 401, kid="other")
case("by the key of another algorithm", 401, kid="ES256")

def forge(name, header, sign):
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")
    message = part(header) + b"." + part(usual)
    signature = base64.urlsafe_b64encode(sign(message)).rstrip(b"=")
    cases.append({"name": name, "token": (message + b"." + signature).decode(), "status": 401})

forge("without a signature", {"alg": "none", "kid": "RS256"}, lambda message: b"")
pem = private["RS256"].public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
secret = lambda message: hmac.new(pem, message, hashlib.sha256).digest()
forge("the public key as a secret", {"alg": "HS256", "kid": "RS256"}, secret)
print(json.dumps(cases))
"#;

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    token: String,
    status: u16,
}

#[test]
fn tokens_of_an_independent_library_are_taken_as_they_say() {
    let Some(python) = require("pyjwt-python") else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let keys = folder.path().join("jwks.json");
    let cases = succeed(Command::new(python).args(["-c", SCRIPT]).arg(&keys));
    let cases: Vec<Case> = serde_json::from_str(&cases).expect("it prints them");
    assert!(cases.len() > 20, "{cases:?}");
    let settings = json!({
        "REALM": "https://auth.example/token", "SERVICE": "registry.example",
        "ISSUER": "https://auth.example", "JWKS_FILE": keys,
    });
    let server = Server::start_with(move |command| {
        command.env("ROADSTEAD_AUTH__METHOD", "token");
        for (name, value) in settings.as_object().into_iter().flatten() {
            let value = value.as_str().expect("they are texts");
            command.env(format!("ROADSTEAD_AUTH__TOKEN__{name}"), value);
        }
    });
    for Case { name, token, status } in &cases {
        let bearer = Sender::Bearer(token.clone());
        // The second time it may be remembered.
        for _ in 0..2 {
            let pushed = push(&server, "team/app", &bearer);
            assert_eq!(pushed, [*status; 2], "{name}");
        }
    }
    let signed_in =
        send(&server, Method::GET, "/v2/", &Sender::Bearer(cases[0].token.clone()), vec![]);
    assert_eq!((signed_in.status, signed_in.json()), (200, Value::Object(serde_json::Map::new())));
}
