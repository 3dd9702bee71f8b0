//! Jobs that sign in by an ID token of a real `OpenID` provider.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::issuer::{AUDIENCE, BRANCH, BY_ES256, EARLY, Issuer, MAIN, OTHER, Options};
use super::team::{PASSWORD, Sender, claims, edit, push, send, token_of};
use super::tokens::{access, post_to};
use crate::common::http::{self, Response};
use crate::common::{Server, authority, roadstead, run};

/// How long a provider's new keys may take: they are looked for once a minute.
const ROTATED: Duration = Duration::from_mins(3);

const SECRET: &str = "repository:org/app:pull,push";

/// The rule for the main branch.
fn main_rule(issuer: &str) -> Value {
    json!({
        "issuer": issuer, "audience": AUDIENCE, "role": "writer", "pattern": "org/**",
        "claims": { "repository_id": "7", "ref": "refs/heads/main" },
        "allow_private_addresses": true,
    })
}

fn with(rule: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut rule = rule.clone();
    rule[name] = value.into();
    rule
}

fn without(rule: &Value, name: &str) -> Value {
    let mut rule = rule.clone();
    rule.as_object_mut().expect("it is a table").remove(name);
    rule
}

/// Starts a registry with these rules.
fn start(data: &Path, rules: &[Value]) -> Server {
    let rules = json!(rules).to_string();
    Server::start_on_with(data, move |command| configure(command, &rules))
}

fn configure(command: &mut Command, rules: &str) {
    command
        .env("ROADSTEAD_AUTH__METHOD", "accounts")
        .env("ROADSTEAD_AUTH__ACCOUNTS__ADMIN_PASSWORD", PASSWORD)
        .env("ROADSTEAD_AUTH__WORKLOAD_SESSION", "2m")
        .env("ROADSTEAD_AUTH__WORKLOADS", rules);
}

fn oidc(token: &str) -> Sender {
    Sender::Basic("oidc".to_owned(), token.to_owned())
}

/// The status of a sign-in by an ID token.
fn sign_in(server: &Server, token: &str) -> u16 {
    token_of(server, &oidc(token), &[SECRET]).status
}

fn pull(server: &Server, sender: &Sender) -> u16 {
    send(server, Method::GET, "/v2/org/app/manifests/v1", sender, Vec::new()).status
}

/// Exchanges a refresh token for a token of these scopes.
fn refreshed(server: &Server, refresh: &str, scope: &str) -> Response {
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("scope", scope)];
    post_to(server, &form)
}

#[test]
fn a_job_signs_in_by_its_id_token_and_goes_on_by_a_refresh_token() {
    let Some(mut issuer) = Issuer::start(Options::default()) else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let data = folder.path().join("data");
    let writer = main_rule(&issuer.name());
    let reader = with(&with(&writer, "audience", BY_ES256), "role", "reader");
    let reader = with(&reader, "claims", json!({ "repository_owner_id": "70" }));
    let rules = [writer.clone(), with(&reader, "pattern", "org/app")];
    let mut server = start(&data, &rules);

    let job = oidc(&issuer.token(MAIN, AUDIENCE));
    assert_eq!(push(&server, "org/app", &job), [201, 201]);
    assert_eq!(push(&server, "org/deep/app", &job), [201, 201]);
    assert_eq!(push(&server, "elsewhere/app", &job)[0], 401);
    let wide = ["repository:org/app:*", "repository:elsewhere/app:*", "repository:org:pull,push"];
    let own = json!([["org/app", ["pull", "push"]]]);
    assert_eq!(access(&token_of(&server, &job, &wide)), own);
    // A branch has no rule for this audience, and may pull by the other one.
    assert_eq!(sign_in(&server, &issuer.token(BRANCH, AUDIENCE)), 401);
    let branch = oidc(&issuer.token(BRANCH, BY_ES256));
    assert_eq!(pull(&server, &branch), 200);
    assert!(matches!(push(&server, "org/app", &branch), [401 | 403, _]));
    assert_eq!(pull(&server, &Sender::Nobody), 401, "it is private");

    // As `docker login` does.
    let url = server.url("/v2/token?account=oidc&client_id=docker&offline_token=true");
    let Sender::Basic(name, password) = &job else { unreachable!("it is a user and a password") };
    let login = http::send(|client| client.get(url).basic_auth(name, Some(password)));
    let refresh = login.json()["refresh_token"].as_str().expect("there is one").to_owned();
    let said = claims_of(&refresh);
    let number = |name: &str| said[name].as_u64().expect("it is a number");
    assert_eq!(number("exp") - number("iat"), 120, "auth.workload_session");
    assert_eq!(claims(&login)["sub"], MAIN);

    // Nobody takes a name that an issuer chose for that of an account.
    server.stop();
    let events = edit(&data, async |index| index.events_after(0, 100).await);
    let events = events.expect("they can be read");
    for kind in ["push", "refused"] {
        let of_kind = events.iter().filter(|event| event.change.kind == kind);
        let actors: Vec<_> = of_kind.filter_map(|it| it.change.actor.name.as_deref()).collect();
        assert!(actors.contains(&format!("oidc:{MAIN}").as_str()), "{kind}: {actors:?}");
        assert!(actors.iter().all(|name| name.starts_with("oidc:")), "{kind}: {actors:?}");
    }
    server.start_again();

    // From here on the job does without its issuer, and without the ID token.
    issuer.stop();
    for _ in 0..2 {
        let answer = refreshed(&server, &refresh, &wide.join(" "));
        assert_eq!(access(&answer), own);
        assert_eq!(answer.json()["refresh_token"], Value::Null, "the first one stays");
        let bearer = Sender::Bearer(answer.json()["token"].as_str().expect("it is one").to_owned());
        assert_eq!(push(&server, "org/app", &bearer), [201, 201]);
        assert_eq!(pull(&server, &bearer), 200);
    }
    assert_eq!(pull(&server, &Sender::Bearer(refresh.clone())), 401);
    assert_eq!(sign_in(&server, &refresh), 401);

    // It lasts as long as its rule.
    server.stop();
    let same = start(&data, &rules);
    assert_eq!(access(&refreshed(&same, &refresh, &wide.join(" "))), own);
    drop(same);
    let other = start(&data, &[with(&writer, "role", "reader"), rules[1].clone()]);
    assert_eq!(refreshed(&other, &refresh, &wide.join(" ")).status, 401);
}

/// What a token says, whoever signed it.
fn claims_of(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("it has three parts");
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).expect("it is base64");
    serde_json::from_slice(&claims).expect("they are JSON")
}

/// A token of that header and those claims, with the signature that `sign` makes.
fn forged(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let [header, claims] =
        [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = format!("{header}.{claims}");
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// Tokens that anyone can make who knows what the issuer publishes, and a good token.
fn forgeries(issuer: &Issuer, good: &str) -> Vec<(String, String)> {
    let claims = claims_of(good);
    let kid = "key-0-RS256";
    let mut found = Vec::new();
    for name in ["none", "None", "NONE", ""] {
        for header in [json!({ "alg": name, "kid": kid }), json!({ "alg": name })] {
            found.push((format!("{header}"), forged(&header, &claims, |_| Vec::new())));
        }
    }
    // The public key as a secret that both know.
    let keys = issuer.public_keys();
    let modulus = keys["keys"][0]["n"].as_str().expect("it is of RSA").to_owned();
    let pem = issuer.public_pem();
    let raw = BASE64_URL_SAFE_NO_PAD.decode(&modulus).expect("it is base64");
    let trimmed = pem.trim().as_bytes().to_vec();
    let jwk = keys["keys"][0].to_string().into_bytes();
    for secret in [pem.into_bytes(), trimmed, raw, modulus.into_bytes(), jwk] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let header = json!({ "alg": "HS256", "typ": "JWT", "kid": kid });
        let token = forged(&header, &claims, |message| hmac::sign(&key, message).as_ref().to_vec());
        found.push((format!("HS256 by {} bytes", secret.len()), token));
    }
    // A key of one's own, in the header or under the name of another.
    let own = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any 32 bytes are a seed");
    let x = BASE64_URL_SAFE_NO_PAD.encode(own.public_key().as_ref());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA", "kid": kid });
    for header in [
        json!({ "alg": "EdDSA", "jwk": jwk }),
        json!({ "alg": "EdDSA", "jwk": jwk, "kid": kid }),
        json!({ "alg": "EdDSA", "kid": "key-0-EdDSA" }),
        json!({ "alg": "RS256", "kid": kid }),
        json!({ "alg": "EdDSA", "kid": kid, "jku": "https://evil.test/jwks" }),
    ] {
        let token = forged(&header, &claims, |message| own.sign(message).as_ref().to_vec());
        found.push((header.to_string(), token));
    }
    // Other claims below a good signature.
    let parts: Vec<&str> = good.split('.').collect();
    for (name, value) in [("repository_id", json!("7")), ("exp", json!(u32::MAX))] {
        let mut edited = claims.clone();
        edited[name] = value;
        edited["edited"] = json!(true);
        let edited = BASE64_URL_SAFE_NO_PAD.encode(edited.to_string());
        found.push((format!("another {name}"), format!("{}.{edited}.{}", parts[0], parts[2])));
    }
    found.push(("without a signature".to_owned(), format!("{}.{}.", parts[0], parts[1])));
    found
}

#[test]
fn a_token_that_is_not_good_is_refused_and_the_issuer_may_change_its_keys() {
    let Some(mut issuer) = Issuer::start(Options::default()) else { return };
    let twin = |clock, keys| {
        let issuer = Some(issuer.name());
        Issuer::start(Options { issuer, keys, clock, ..Options::default() })
            .expect("another one has been started")
    };
    let keys = Some(issuer.keys());
    let (now, earlier) = (twin(0, keys.clone()), twin(-3600, keys));
    // Another's keys under the same names.
    let evil = twin(0, None);
    let folder = TempDir::new().expect("a temporary folder can be made");
    let server = start(&folder.path().join("data"), &[main_rule(&issuer.name())]);
    let good = issuer.token(MAIN, AUDIENCE);
    for (case, token, status) in [
        ("a good one", good.clone(), 200),
        ("by the same keys", now.token(MAIN, AUDIENCE), 200),
        ("by the same keys, expired", earlier.token(MAIN, AUDIENCE), 401),
        ("not valid yet", issuer.token(EARLY, AUDIENCE), 401),
        ("for another audience", issuer.token(MAIN, OTHER), 401),
        ("of another branch", issuer.token(BRANCH, AUDIENCE), 401),
        ("by another's key of that name", evil.token(MAIN, AUDIENCE), 401),
        ("a good one, again", good.clone(), 200),
    ] {
        assert_eq!(sign_in(&server, &token), status, "{case}");
    }
    for (case, token) in forgeries(&issuer, &good) {
        assert_eq!(sign_in(&server, &token), 401, "{case}");
    }
    // Outside each of them is a 401; the log says what was wrong.
    let log = server.log();
    for reason in [
        "its audience is another",
        "it has expired",
        "it is not valid yet",
        "its signature is wrong",
        "no rule of `auth.workloads`",
    ] {
        assert!(log.contains(reason), "{reason}");
    }
    for user in ["admin", "OIDC", "oidc2"] {
        let sender = Sender::Basic(user.to_owned(), good.clone());
        assert_eq!(token_of(&server, &sender, &[SECRET]).status, 401, "{user}");
    }
    assert_eq!(token_of(&server, &Sender::Bearer(good.clone()), &[SECRET]).status, 401);
    assert_eq!(pull(&server, &Sender::Bearer(good.clone())), 401);

    issuer.rotate();
    let rotated = Instant::now();
    while sign_in(&server, &issuer.token(MAIN, AUDIENCE)) != 200 {
        assert!(rotated.elapsed() < ROTATED, "the new keys are not found");
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(sign_in(&server, &good), 401, "its key is withdrawn");
}

#[test]
fn the_keys_of_an_issuer_are_had_as_its_rule_says() {
    let bearer = "of the registry";
    let certificate = Some(authority::issue());
    let options = Options { certificate, bearer: Some(bearer), ..Options::default() };
    let Some(mut issuer) = Issuer::start(options) else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the folder is ours");
        path.display().to_string()
    };
    let authority = write("ca.pem", &authority::certificate());
    let token = write("token", &format!("{bearer}\n"));
    let wrong = write("wrong", "of another");
    let rule = main_rule(&issuer.name());
    let secured = with(&with(&rule, "ca_file", authority), "token_file", token);
    let url = format!("{}/jwks", issuer.name());
    let status = |case: &str, rule: Value, issuer: &Issuer| {
        let server = start(&folder.path().join(case), &[rule]);
        sign_in(&server, &issuer.token(MAIN, AUDIENCE))
    };
    assert_eq!(status("all", secured.clone(), &issuer), 200);
    assert_eq!(status("url", with(&secured, "jwks_url", url.as_str()), &issuer), 200);
    let unknown = without(&secured, "ca_file");
    assert_eq!(status("unknown authority", unknown, &issuer), 401);
    let unsigned = without(&secured, "token_file");
    assert_eq!(status("no token", unsigned, &issuer), 401);
    assert_eq!(status("wrong token", with(&secured, "token_file", wrong), &issuer), 401);
    let public = with(&secured, "allow_private_addresses", false);
    assert_eq!(status("private", public, &issuer), 401);

    let published = || http::send(|client| client.get(&url).bearer_auth(bearer)).text();
    let file = write("jwks.json", &published());
    let by_file = with(&with(&rule, "jwks_file", file), "allow_private_addresses", false);
    let server = start(&folder.path().join("file"), &[by_file]);
    let old = issuer.token(MAIN, AUDIENCE);
    assert_eq!(sign_in(&server, &old), 200);
    issuer.rotate();
    let new = issuer.token(MAIN, AUDIENCE);
    assert_eq!(sign_in(&server, &new), 401);
    write("jwks.json", &published());
    issuer.stop();
    let written = Instant::now();
    while sign_in(&server, &new) != 200 {
        assert!(written.elapsed() < ROTATED, "the file is not read again");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(sign_in(&server, &old), 401);
}

#[test]
fn rules_that_let_in_too_much_are_refused_or_warned_of() {
    let github = "https://token.actions.githubusercontent.com";
    let rule = |claims: Value| {
        let rule = with(&main_rule(github), "claims", claims);
        with(&rule, "allow_private_addresses", false)
    };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let good = rule(json!({ "repository_id": "7", "ref": "refs/heads/main" }));
    for (case, rule) in [
        (
            "the audience of an API server",
            with(&good, "audience", "https://kubernetes.default.svc.cluster.local"),
        ),
        ("its own issuer as audience", with(&good, "audience", github)),
        ("no claim", rule(json!({}))),
        ("no owner", rule(json!({ "ref": "refs/heads/main" }))),
        (
            "any repository can call a workflow",
            rule(json!({ "job_workflow_ref": "org/ci/x.yml@refs/heads/main", "ref": "x" })),
        ),
        ("plain HTTP", with(&good, "issuer", "http://ci.example")),
        ("a role that none may have", with(&good, "role", "owner")),
    ] {
        let mut command = roadstead(["serve", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(folder.path().join("refused"));
        configure(&mut command, &json!([rule]).to_string());
        let refused = run(&mut command);
        assert!(!refused.succeeded(), "{case}");
        assert!(refused.stderr.contains("auth.workloads"), "{case}: {refused}");
    }
    let warned = |rule: Value| {
        let server = Server::start_with(move |command| {
            configure(command, &json!([rule]).to_string());
        });
        let log = server.log();
        log.lines().filter(|line| line.contains("(auth.workloads)")).count()
    };
    assert_eq!(warned(good), 0);
    let main = "refs/heads/main";
    assert_eq!(warned(rule(json!({ "sub": "repo:org/app:ref:refs/heads/main", "ref": main }))), 1);
    assert_eq!(warned(rule(json!({ "repository_id": "7" }))), 1, "it pushes from any branch");
    assert_eq!(warned(rule(json!({ "repository": "org/app" }))), 2, "and it is a name");
}
