//! Users and passwords in a file: what clients are refused with, and what they may do once they sign in.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use bcrypt::Version;
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::connection::{Connection, ask};
use crate::common::content::{NOBODYS, OCI_MANIFEST, image, sha256};
use crate::common::http::{self, Response};
use crate::common::repository::{assert_refused, wait};
use crate::common::{Server, roadstead, run};

const ANNA: (&str, &str) = ("anna", "sesame");
const BOB: (&str, &str) = ("bob", "pass:word with ü");

/// A server whose clients sign in, with its password file.
struct Guarded {
    server: Server,
    folder: TempDir,
}

/// A line of a password file.
fn line(user: &str, password: &str) -> String {
    let hash = bcrypt::hash_with_result(password, 4).expect("4 is a cost");
    format!("{user}:{}\n", hash.format_for_version(Version::TwoY))
}

impl Guarded {
    fn start(anonymous_pull: bool) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let file = folder.path().join("htpasswd");
        let text = format!("# the team\n\n{}{}", line(ANNA.0, ANNA.1), line(BOB.0, BOB.1));
        fs::write(&file, text).expect("the folder is ours");
        let server = Server::start_with(move |command| {
            command
                .env("ROADSTEAD_AUTH__METHOD", "htpasswd")
                .env("ROADSTEAD_AUTH__HTPASSWD__FILE", &file)
                .env("ROADSTEAD_AUTH__SIGN_INS__WRONG_PASSWORDS", "1000")
                .env("ROADSTEAD_AUTH__HTPASSWD__ANONYMOUS_PULL", anonymous_pull.to_string());
        });
        Self { server, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("htpasswd")
    }

    /// Sends a request without a body.
    fn ask(&self, method: Method, path: &str, credentials: Option<(&str, &str)>) -> Response {
        self.send(method, path, credentials, Vec::new())
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        credentials: Option<(&str, &str)>,
        body: Vec<u8>,
    ) -> Response {
        let url = self.server.url(path);
        http::send(|client| {
            let request = client.request(method, url).body(body);
            let request = request.header("Content-Type", OCI_MANIFEST);
            match credentials {
                Some((user, password)) => request.basic_auth(user, Some(password)),
                None => request,
            }
        })
    }

    fn get(&self, path: &str, credentials: Option<(&str, &str)>) -> Response {
        self.ask(Method::GET, path, credentials)
    }

    /// Pushes an image as Anna; gives the digest of its one blob.
    fn push(&self, name: &str) -> String {
        let digest = sha256(b"config");
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let pushed = self.send(Method::POST, &path, Some(ANNA), b"config".to_vec());
        assert_eq!(pushed.status, 201, "{}", pushed.text());
        let manifest = image(b"config", &[]).to_string().into_bytes();
        let path = format!("/v2/{name}/manifests/v1");
        let pushed = self.send(Method::PUT, &path, Some(ANNA), manifest);
        assert_eq!(pushed.status, 201, "{}", pushed.text());
        digest
    }

    /// Waits until a request has that status; the file is looked at once a second.
    fn wait(&self, credentials: Option<(&str, &str)>, status: u16) {
        let begun = Instant::now();
        while self.get("/v2/", credentials).status != status {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is never {status}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Fetches a token where the challenge says.
    fn token(&self, credentials: Option<(&str, &str)>) -> Response {
        self.token_for(credentials, &["repository:a:pull"])
    }

    /// The same, with each of these scopes.
    fn token_for(&self, credentials: Option<(&str, &str)>, scopes: &[&str]) -> Response {
        let challenge = self.get("/v2/", None).header("www-authenticate").to_owned();
        let realm = challenge.split('"').nth(1).expect("the challenge has a realm").to_owned();
        assert_eq!(realm, self.server.url("/v2/token"), "{challenge}");
        http::send(|client| {
            let scopes: Vec<_> = scopes.iter().map(|scope| ("scope", *scope)).collect();
            let request = client.get(realm).query(&[("service", "roadstead")]).query(&scopes);
            match credentials {
                Some((user, password)) => request.basic_auth(user, Some(password)),
                None => request,
            }
        })
    }

    fn with_token(&self, method: Method, path: &str, token: &str) -> Response {
        let url = self.server.url(path);
        http::send(|client| client.request(method, url).bearer_auth(token))
    }
}

/// Every method and path below `/v2/`, well-formed, malformed and senseless.
fn everything() -> Vec<(&'static str, String)> {
    let mut all = vec![("GET", "/v2".to_owned()), ("GET", "/v2/".to_owned())];
    for name in ["a", "team/app", "A", "a//b", "%00", "..", "example.com/a", "a%2fb"] {
        for rest in [
            "tags/list",
            "tags/list?n=x",
            "tags",
            "referrers/x",
            "manifests/v1",
            "manifests/.x",
            "manifests/sha256:x",
            "blobs/x",
            "blobs/uploads",
            "blobs/uploads/",
            "blobs/uploads/?digest=x",
            "blobs/uploads/?mount=x&from=A",
            "blobs/uploads/x",
            "nothing/here",
            "",
        ] {
            for method in ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "BREW"] {
                all.push((method, format!("/v2/{name}/{rest}")));
            }
        }
        all.push(("HEAD", format!("/v2/{name}/manifests/v1")));
        all.push(("HEAD", format!("/v2/{name}/blobs/{NOBODYS}")));
    }
    for path in ["/v2/_catalog", "/v2/_catalog?n=x", "/v2/token", "/v2//", "/v2/%", "/v2/x?a=%ff"] {
        all.push(("GET", path.to_owned()));
    }
    all
}

#[test]
fn an_anonymous_client_is_challenged_on_every_route() {
    let guarded = Guarded::start(false);
    guarded.push("a");
    let mut connection = Connection::open(&guarded.server);
    for (method, path) in everything() {
        connection.ask(method, &path, &[("Content-Length", "0")]);
        let answer = connection.try_answer(method == "HEAD").expect("the server answers");
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some("Basic realm=\"roadstead\""), "{method} {path}");
        assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
        if method != "HEAD" {
            assert_eq!(answer.code(), "UNAUTHORIZED", "{method} {path}");
        }
    }
    assert_eq!(guarded.get("/healthz", None).status, 200);
}

#[test]
fn a_user_may_do_everything() {
    let guarded = Guarded::start(false);
    let digest = guarded.push("team/app");
    for (credentials, status) in [(ANNA, 200), (BOB, 200), (("carol", "sesame"), 401)] {
        for path in ["", "_catalog", "team/app/tags/list", "team/app/manifests/v1"] {
            assert_eq!(
                guarded.get(&format!("/v2/{path}"), Some(credentials)).status,
                status,
                "{path}"
            );
        }
    }
    // Once signed in, errors are what they are for everybody.
    assert_refused(&guarded.get("/v2/A/tags/list", Some(BOB)), 400, "NAME_INVALID");
    assert_refused(&guarded.get("/v2/absent/tags/list", Some(BOB)), 404, "NAME_UNKNOWN");
    let foreign = guarded.ask(Method::POST, "/v2/example.com/a/blobs/uploads/", Some(BOB));
    assert_refused(&foreign, 403, "DENIED");
    assert_eq!(foreign.header("www-authenticate"), "");
    for query in [format!("mount={digest}&from=team/app"), format!("mount={digest}")] {
        let path = format!("/v2/mounted{}/blobs/uploads/?{query}", query.len());
        assert_eq!(guarded.ask(Method::POST, &path, Some(BOB)).status, 201, "{query}");
    }
    let deleted = guarded.ask(Method::DELETE, "/v2/team/app/manifests/v1", Some(BOB));
    assert_eq!(deleted.status, 202, "{}", deleted.text());
    assert!(guarded.server.log().contains(r#""user":"bob""#), "the log does not say who it was");
}

#[test]
fn wrong_credentials_are_refused_also_where_others_were_right() {
    let guarded = Guarded::start(false);
    assert_eq!(guarded.get("/v2/", Some(ANNA)).status, 200);
    for credentials in [
        ("anna", "Sesame"),
        ("anna", ""),
        ("anna", "sesame\0"),
        ("Anna", "sesame"),
        ("", "sesame"),
        ("carol", ""),
        ("bob", "sesame"),
        ("", ""),
    ] {
        let refused = guarded.get("/v2/", Some(credentials));
        assert_refused(&refused, 401, "UNAUTHORIZED");
        assert_eq!(refused.header("www-authenticate"), "Basic realm=\"roadstead\"");
    }
    for header in [
        "",
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic YW5uYQ==",
        "Basic YW5uYTpzZXNhbWU",
        "basic",
        "Digest username=\"anna\"",
        "Bearer x.y",
        "Bearer",
        "anna:sesame",
        "Basic //79",
        "Basic \u{fc}",
        "Negotiate YW5uYTpzZXNhbWU=",
    ] {
        let answer = ask(&guarded.server, "GET", "/v2/", &[("Authorization", header)]);
        assert_eq!(answer.status, 401, "{header}");
    }
    for header in ["Basic YW5uYTpzZXNhbWU=", "basic YW5uYTpzZXNhbWU=", "BASIC  YW5uYTpzZXNhbWU="] {
        let answer = ask(&guarded.server, "GET", "/v2/", &[("Authorization", header)]);
        assert_eq!(answer.status, 200, "{header}");
    }
    let log = guarded.server.log();
    assert!(!log.contains("sesame") && !log.contains("YW5uYTpzZXNhbWU"), "{log}");
}

#[test]
fn a_server_that_is_open_passes_credentials_over() {
    let server = Server::start();
    for header in ["Basic !!!!", "Bearer x", "Basic YW5uYTpzZXNhbWU=", "\u{fc}"] {
        assert_eq!(ask(&server, "GET", "/v2/", &[("Authorization", header)]).status, 200);
    }
    assert_eq!(http::get(&server.url("/v2/token")).status, 404);
}

#[test]
fn the_file_is_read_again_when_it_changes() {
    let guarded = Guarded::start(false);
    let carol = ("carol", "x");
    assert_eq!(guarded.get("/v2/", Some(ANNA)).status, 200);
    assert_eq!(guarded.get("/v2/", Some(carol)).status, 401);
    fs::write(guarded.file(), line("carol", "x")).expect("the folder is ours");
    guarded.wait(Some(carol), 200);
    assert_eq!(guarded.get("/v2/", Some(ANNA)).status, 401, "she was remembered, and has left");

    // Whatever else becomes of it, the last good state stands; and the log tells, though nobody signs in.
    fs::write(guarded.file(), "carol:{SHA}2PRZAyDhNDqRW2OUFwZQqPNdaSY=\n").expect("it is ours");
    let why = "line 1: the password of `carol` is not hashed with bcrypt";
    wait(|| guarded.server.log().contains(why), "the log does not tell");
    assert_eq!(guarded.get("/v2/", Some(carol)).status, 200);
    fs::remove_file(guarded.file()).expect("it is there");
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(guarded.get("/v2/", Some(carol)).status, 200);
    assert!(guarded.server.log().contains("failed to reload the password file"));

    // As `htpasswd` and editors do it: another file under that name.
    let other = guarded.folder.path().join("other");
    fs::write(&other, line("carol", "y")).expect("the folder is ours");
    fs::rename(other, guarded.file()).expect("the folder is ours");
    guarded.wait(Some(("carol", "y")), 200);
    assert_eq!(guarded.get("/v2/", Some(carol)).status, 401);
    fs::write(guarded.file(), "").expect("the folder is ours");
    guarded.wait(Some(("carol", "y")), 401);
}

#[test]
fn many_at_once_are_served_or_get_429() {
    let guarded = Guarded::start(false);
    thread::scope(|scope| {
        for number in 0..40 {
            let guarded = &guarded;
            scope.spawn(move || {
                let credentials = if number % 2 == 0 { ANNA } else { ("anna", "wrong") };
                let status = guarded.get("/v2/", Some(credentials)).status;
                let expected = if number % 2 == 0 { 200 } else { 401 };
                assert!(status == expected || status == 429, "{status}");
            });
        }
    });
    assert_eq!(guarded.get("/v2/", Some(ANNA)).status, 200);
}

#[test]
fn with_anonymous_pulls_a_stranger_may_pull_and_nothing_else() {
    let guarded = Guarded::start(true);
    let digest = guarded.push("a");
    for path in
        ["tags/list", "manifests/v1", &format!("blobs/{digest}"), &format!("referrers/{digest}")]
    {
        // skopeo says that it is nobody where it has no credentials.
        for credentials in [None, Some(("", ""))] {
            assert_eq!(guarded.get(&format!("/v2/a/{path}"), credentials).status, 200, "{path}");
        }
        let wrong = guarded.get(&format!("/v2/a/{path}"), Some(("anna", "wrong")));
        assert_refused(&wrong, 401, "UNAUTHORIZED");
    }
    assert_refused(&guarded.get("/v2/a/manifests/absent", None), 404, "MANIFEST_UNKNOWN");
    for (method, path) in [
        ("GET", "/v2/".to_owned()),
        ("GET", "/v2/_catalog".to_owned()),
        ("POST", "/v2/a/blobs/uploads/".to_owned()),
        ("POST", "/v2/A/blobs/uploads/".to_owned()),
        ("POST", format!("/v2/b/blobs/uploads/?mount={digest}&from=a")),
        ("POST", "/v2/a/blobs/uploads/?digest=malformed".to_owned()),
        ("PATCH", "/v2/a/blobs/uploads/x".to_owned()),
        ("PUT", "/v2/a/manifests/.x".to_owned()),
        ("DELETE", "/v2/a/manifests/v1".to_owned()),
        ("DELETE", "/v2/a/blobs/malformed".to_owned()),
    ] {
        let method = method.parse().expect("it is a method");
        let refused = guarded.ask(method, &path, None);
        assert_refused(&refused, 401, "UNAUTHORIZED");
        let challenge = refused.header("www-authenticate");
        let realm = format!("Bearer realm=\"{}\",", guarded.server.url("/v2/token"));
        assert!(challenge.starts_with(&realm), "{path}: {challenge}");
    }
    assert_eq!(guarded.get("/v2/", Some(ANNA)).status, 200, "a password will do as well");
}

/// The way of the docker daemon: `/v2/` says where tokens are had, with or without a password.
#[test]
fn clients_sign_in_by_a_token_where_anonymous_ones_may_pull() {
    let guarded = Guarded::start(true);
    guarded.push("a");
    assert_refused(&guarded.token(Some(("anna", "wrong"))), 401, "UNAUTHORIZED");
    let read = |response: &Response| {
        assert_eq!(response.status, 200, "{}", response.text());
        let answer: Value = response.json();
        assert_eq!(answer["token"], answer["access_token"]);
        assert!(answer["expires_in"].as_u64() >= Some(60), "{answer}");
        answer["token"].as_str().expect("it is text").to_owned()
    };
    let everything = ["repository:a:pull,push registry:catalog:*"];
    let token = |credentials| read(&guarded.token_for(credentials, &everything));
    let (nobodys, annas) = (token(None), token(Some(ANNA)));
    for (token, may_push) in [(&nobodys, false), (&annas, true)] {
        let ask = |method, path| guarded.with_token(method, path, token).status;
        assert_eq!(ask(Method::GET, "/v2/a/manifests/v1"), 200);
        let expected = |allowed| if may_push { allowed } else { 401 };
        assert_eq!(ask(Method::GET, "/v2/"), expected(200));
        assert_eq!(ask(Method::GET, "/v2/_catalog"), expected(200));
        assert_eq!(ask(Method::POST, "/v2/a/blobs/uploads/"), expected(202));
        assert_eq!(ask(Method::GET, "/v2/token"), 401, "a token is no way to the next one");
    }
    assert_eq!(guarded.with_token(Method::GET, "/v2/a/manifests/v1", "x.y").status, 401);
    fs::write(guarded.file(), line(BOB.0, BOB.1)).expect("the folder is ours");
    guarded.wait(Some(ANNA), 401);
    assert_eq!(guarded.with_token(Method::GET, "/v2/", &annas).status, 401, "she has left");
}

/// D4: a token that was asked for to pull pushed and deleted.
#[test]
fn a_token_is_good_for_its_scope_and_no_more() {
    let guarded = Guarded::start(true);
    let digest = guarded.push("team/app");
    guarded.push("other");
    let mut requests = 0;
    let mut check = |credentials, scopes: &[&str], allowed: &[&str]| {
        let answer = guarded.token_for(credentials, scopes).json();
        let token = answer["token"].as_str().expect("it is text").to_owned();
        for (method, path, needed) in [
            ("GET", "/v2/team/app/manifests/v1".to_owned(), "repository:team/app:pull"),
            ("HEAD", "/v2/team/app/manifests/v1".to_owned(), "repository:team/app:pull"),
            ("GET", "/v2/team/app/tags/list".to_owned(), "repository:team/app:pull"),
            ("GET", format!("/v2/team/app/blobs/{digest}"), "repository:team/app:pull"),
            ("GET", format!("/v2/team/app/referrers/{digest}"), "repository:team/app:pull"),
            ("POST", "/v2/team/app/blobs/uploads/".to_owned(), "repository:team/app:pull,push"),
            ("PUT", "/v2/team/app/manifests/v2".to_owned(), "repository:team/app:pull,push"),
            ("DELETE", "/v2/team/app/manifests/absent".to_owned(), "repository:team/app:delete"),
            ("DELETE", format!("/v2/team/app/blobs/{digest}"), "repository:team/app:delete"),
            ("GET", "/v2/other/manifests/v1".to_owned(), "repository:other:pull"),
            ("GET", "/v2/team/manifests/v1".to_owned(), "repository:team:pull"),
            ("POST", "/v2/other/blobs/uploads/".to_owned(), "repository:other:pull,push"),
            ("GET", "/v2/_catalog".to_owned(), "registry:catalog:*"),
        ] {
            requests += 1;
            let method: Method = method.parse().expect("it is a method");
            let answer = guarded.with_token(method.clone(), &path, &token);
            let is_allowed = allowed.contains(&needed);
            assert_eq!(answer.status != 401, is_allowed, "{scopes:?}: {method} {path}");
            if !is_allowed {
                let challenge = answer.header("www-authenticate");
                let end = format!(",scope=\"{needed}\",error=\"insufficient_scope\"");
                assert!(challenge.ends_with(&end), "{scopes:?}: {method} {path}: {challenge}");
            }
        }
        token
    };
    let (pull, push) = ("repository:team/app:pull", "repository:team/app:pull,push");
    check(Some(ANNA), &[pull], &[pull]);
    check(Some(ANNA), &["repository:team/app:push,pull"], &[pull, push]);
    check(Some(ANNA), &[pull, "repository:other:pull"], &[pull, "repository:other:pull"]);
    let joined = "repository:team/app:pull,push repository:other:pull";
    check(Some(ANNA), &[joined], &[pull, push, "repository:other:pull"]);
    check(Some(ANNA), &["repository:other:pull"], &["repository:other:pull"]);
    check(Some(ANNA), &["registry:catalog:*"], &["registry:catalog:*"]);
    check(Some(ANNA), &["repository:team/app:delete"], &["repository:team/app:delete"]);
    // An anonymous client gets what it may have.
    check(None, &["repository:team/app:pull,push,delete", "registry:catalog:*"], &[pull]);
    // A login asks for nothing, and is one.
    let login = check(Some(ANNA), &[], &[]);
    assert_eq!(guarded.with_token(Method::GET, "/v2/", &login).status, 200);
    // Last, since it deletes.
    check(Some(ANNA), &["repository:team/app:*"], &[pull, push, "repository:team/app:delete"]);
    assert!(requests > 100);
}

/// A shared cache must not give away what needed a sign-in.
#[test]
fn content_is_public_for_caches_only_where_strangers_may_pull() {
    for (anonymous_pull, expected) in
        [(false, "private"), (true, "public, max-age=3600, s-maxage=3600")]
    {
        let guarded = Guarded::start(anonymous_pull);
        let digest = guarded.push("a");
        let manifest = guarded.get("/v2/a/manifests/v1", Some(ANNA));
        assert_eq!(manifest.header("cache-control"), "", "a tag moves");
        let by_digest = format!("/v2/a/manifests/{}", manifest.header("docker-content-digest"));
        let blob = format!("/v2/a/blobs/{digest}");
        for path in [&blob, &by_digest] {
            for method in [Method::GET, Method::HEAD] {
                let got = guarded.ask(method, path, Some(ANNA));
                assert_eq!((got.status, got.header("cache-control")), (200, expected));
            }
        }
        let part = http::send(|client| {
            let request = client.get(guarded.server.url(&blob)).basic_auth(ANNA.0, Some(ANNA.1));
            request.header("Range", "bytes=0-0,2-2")
        });
        assert_eq!(part.status, 206);
        assert!(part.header("cache-control").starts_with(expected));
        let known = http::send(|client| {
            let request = client.get(guarded.server.url(&blob)).basic_auth(ANNA.0, Some(ANNA.1));
            request.header("If-None-Match", format!("\"{digest}\""))
        });
        assert_eq!(known.status, 304);
        assert!(known.header("cache-control").starts_with(expected));
    }
}

#[test]
fn a_mount_needs_a_token_that_is_good_for_its_source() {
    let guarded = Guarded::start(true);
    let digest = guarded.push("from");
    let mount = |scope: &str, query: &str| {
        let answer = guarded.token_for(Some(ANNA), &[scope]).json();
        let path = format!("/v2/to/blobs/uploads/?mount={digest}{query}");
        guarded
            .with_token(Method::POST, &path, answer["token"].as_str().expect("it is text"))
            .status
    };
    for query in ["&from=from", ""] {
        assert_eq!(mount("repository:to:pull,push", query), 401, "the challenge names the source");
    }
    assert_eq!(mount("repository:to:pull,push", "&from=absent"), 202, "the client uploads then");
    let both = "repository:to:pull,push repository:from:pull";
    assert_eq!(mount(both, "&from=from"), 201);
    assert_eq!(mount(both, ""), 201);
}

#[test]
fn a_token_that_is_none_of_ours_is_challenged_as_such() {
    let guarded = Guarded::start(true);
    guarded.push("a");
    let answer = guarded.token(Some(ANNA)).json();
    let token = answer["token"].as_str().expect("it is text");
    let flipped = format!("{}x", &token[..token.len() - 1]);
    for bad in ["x.y", "opaque", &flipped] {
        let refused = guarded.with_token(Method::GET, "/v2/a/manifests/v1", bad);
        assert_refused(&refused, 401, "UNAUTHORIZED");
        let challenge = refused.header("www-authenticate");
        assert!(challenge.ends_with("error=\"invalid_token\""), "{challenge}");
    }
    // Who sends no token has not sent a bad one.
    let refused = guarded.ask(Method::POST, "/v2/a/blobs/uploads/", None);
    let challenge = refused.header("www-authenticate");
    assert!(challenge.ends_with(",scope=\"repository:a:pull,push\""), "{challenge}");
}

#[test]
fn a_token_is_good_after_a_restart() {
    let mut guarded = Guarded::start(true);
    let answer = guarded.token(Some(ANNA)).json();
    let token = answer["token"].as_str().expect("it is text");
    guarded.server.stop();
    guarded.server.start_again();
    assert_eq!(guarded.with_token(Method::GET, "/v2/", token).status, 200);
}

#[test]
fn without_anonymous_pulls_there_are_no_tokens() {
    let guarded = Guarded::start(false);
    assert_refused(&guarded.get("/v2/token", Some(ANNA)), 404, "NAME_UNKNOWN");
}

#[test]
fn a_file_that_cannot_be_used_is_refused_at_start() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let file = folder.path().join("htpasswd");
    let refusal = || {
        let mut command = roadstead(["serve", "--listen", "127.0.0.1:0"]);
        command.current_dir(folder.path()).env("ROADSTEAD_AUTH__METHOD", "htpasswd");
        let refused = run(command.env("ROADSTEAD_AUTH__HTPASSWD__FILE", &file));
        assert_eq!(refused.code, Some(1), "{refused}");
        let named = format!("cannot use the file {} of `auth.htpasswd.file`", file.display());
        assert!(refused.stderr.contains(&named), "{refused}");
        assert!(!folder.path().join("data").exists(), "nothing is made before that");
        refused.stderr
    };
    assert!(refusal().contains("No such file"));
    for (text, reason) in [
        ("s3cret\n".to_owned(), "line 1: expected `user:hash`"),
        (format!("{}bob:$apr1$s3cret$x\n", line("anna", "x")), "line 2: the password of `bob`"),
    ] {
        fs::write(&file, text).expect("the folder is ours");
        let refusal = refusal();
        assert!(refusal.contains(reason) && !refusal.contains("s3cret"), "{refusal}");
    }
}
