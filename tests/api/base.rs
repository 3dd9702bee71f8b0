//! What holds for every path: the base, the headers, the methods.

use crate::common::connection::{Connection, ask};
use crate::common::content::NOBODYS;
use crate::common::repository::{Repository, assert_refused};
use crate::common::{Server, http};

#[test]
fn the_base_says_that_this_is_a_registry() {
    let server = Server::start();
    for path in ["/v2/", "/v2", "/v2/?ns=example.com"] {
        let response = http::get(&server.url(path));
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.header("docker-distribution-api-version"), "registry/2.0");
        assert_eq!(response.header("content-type"), "application/json");
        assert_eq!(response.json(), serde_json::json!({}));
        let head = ask(&server, "HEAD", path, &[]);
        assert_eq!((head.status, head.header("content-length")), (200, Some("2")), "{path}");
    }
}

#[test]
fn every_answer_names_the_version_of_the_api() {
    let server = Server::start();
    let blob = Repository::of(&server, "a").push_blob(b"blob");
    let present = format!("/v2/a/blobs/{blob}");
    for (method, path, status) in [
        ("GET", "/v2/", 200),
        ("GET", &present, 200),
        ("HEAD", &present, 200),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("POST", "/v2/a/blobs/uploads/", 202),
        ("GET", "/v2/A/tags/list", 400),
        ("GET", "/v2/absent/tags/list", 404),
        ("GET", "/nothing", 404),
        ("HEAD", "/v2/a/manifests/absent", 404),
        ("TRACE", "/v2/", 405),
        ("POST", "/v2/example.com/a/blobs/uploads/", 403),
    ] {
        let answer = ask(&server, method, path, &[("Content-Length", "0")]);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let version = answer.header("docker-distribution-api-version");
        assert_eq!(version, Some("registry/2.0"), "{method} {path}");
    }
}

#[test]
fn a_method_that_a_path_does_not_have_is_405_and_the_others_are_named() {
    let server = Server::start();
    let blob = format!("/v2/a/blobs/{NOBODYS}");
    let referrers = format!("/v2/a/referrers/{NOBODYS}");
    for (path, method, allowed) in [
        ("/v2/", "POST", "GET, HEAD"),
        ("/v2", "DELETE", "GET, HEAD"),
        ("/v2/_catalog", "PUT", "GET, HEAD"),
        ("/v2/a/tags/list", "DELETE", "GET, HEAD"),
        ("/v2/a/manifests/v1", "PATCH", "GET, HEAD, PUT, DELETE"),
        ("/v2/a/manifests/v1", "POST", "GET, HEAD, PUT, DELETE"),
        (&blob, "PUT", "GET, HEAD, DELETE"),
        (&blob, "POST", "GET, HEAD, DELETE"),
        (&referrers, "PUT", "GET, HEAD"),
        ("/v2/a/blobs/uploads/", "GET", "POST"),
        ("/v2/a/blobs/uploads", "PUT", "POST"),
        ("/v2/a/blobs/uploads/some-upload", "POST", "GET, HEAD, PATCH, PUT, DELETE"),
        ("/v2/", "OPTIONS", "GET, HEAD"),
        ("/v2/", "NONSENSE", "GET, HEAD"),
        ("/healthz", "DELETE", "GET, HEAD"),
    ] {
        let answer = ask(&server, method, path, &[("Content-Length", "0")]);
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.code(), "UNSUPPORTED", "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
}

/// RFC 9110, 9.1: what can be read answers a `HEAD` as well, with the same headers and without a body.
#[test]
fn a_head_says_what_a_get_would() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    let referrers = repository.path(&format!("referrers/{}", pushed.digest));
    let upload = repository.begin();
    let location = upload.location.strip_prefix(&server.url("")).unwrap_or(&upload.location);
    for path in [
        "/v2/",
        "/v2",
        "/v2/_catalog",
        "/v2/team/app/tags/list",
        "/v2/team/app/manifests/v1",
        &referrers,
        location,
        "/healthz",
        "/readyz",
    ] {
        let read = ask(&server, "GET", path, &[]);
        let mut connection = Connection::open(&server);
        connection.ask("HEAD", path, &[]);
        let head = connection.answer_to_head();
        assert_eq!(head.status, read.status, "{path}");
        for name in ["content-type", "content-length", "link", "range", "location", "etag"] {
            assert_eq!(head.header(name), read.header(name), "{name} of {path}");
        }
        // Nothing of a body stands before the next answer.
        connection.ask("GET", "/healthz", &[]);
        assert_eq!(connection.answer().status, 200, "{path}");
    }
    assert_eq!(ask(&server, "HEAD", "/metrics", &[]).status, 200);
    assert_eq!(ask(&server, "HEAD", "/v2/absent/tags/list", &[]).status, 404);
}

#[test]
fn a_path_that_is_nothing_is_404_in_json() {
    let server = Server::start();
    for path in ["/", "/v1/", "/v2/a", "/v2/a/blobs", "/v2/a/tags", "/v2/a/b/c", "/v2/a/_catalog"] {
        assert_refused(&http::get(&server.url(path)), 404, "NAME_UNKNOWN");
    }
}

#[test]
fn health_is_answered_without_a_name() {
    let server = Server::start();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(http::get(&server.url(path)).status, 200, "{path}");
        assert_eq!(ask(&server, "HEAD", path, &[]).status, 200, "{path}");
    }
    let ready = http::get(&server.url("/readyz")).json();
    assert_eq!(ready, serde_json::json!({ "index": "ok", "storage": "ok" }));
}

#[test]
fn a_connection_serves_many_requests() {
    let server = Server::start();
    let repository = Repository::of(&server, "a");
    let blob = repository.push_blob(b"content");
    let path = repository.path(&format!("blobs/{blob}"));
    let mut connection = Connection::open(&server);
    for _ in 0..3 {
        connection.ask("HEAD", &path, &[]);
        let head = connection.answer_to_head();
        assert_eq!((head.status, head.header("content-length")), (200, Some("7")));
        connection.ask("GET", &path, &[("If-None-Match", &format!("\"{blob}\""))]);
        assert_eq!(connection.answer().status, 304);
        connection.ask("GET", "/v2/a/manifests/absent", &[]);
        assert_eq!(connection.answer().status, 404);
        connection.ask("GET", &path, &[]);
        assert_eq!(connection.answer().body, b"content");
    }
}

#[test]
fn requests_may_be_sent_before_the_answers_have_come() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(b"content");
    let blob = repository.path(&format!("blobs/{digest}"));
    let absent = repository.path("manifests/absent");
    for _ in 0..20 {
        let mut connection = Connection::open(&server);
        // Not a HEAD behind a GET, to which the HTTP library then gives no body (docs/ARCHITECTURE.md).
        let requests = [("HEAD", &blob), ("HEAD", &absent), ("HEAD", &blob), ("GET", &blob)];
        let heads = requests.map(|(method, target)| {
            format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        });
        connection.send(heads.concat());
        for (method, target) in requests {
            let answer =
                if method == "HEAD" { connection.answer_to_head() } else { connection.answer() };
            let is_there = target == &blob;
            assert_eq!(answer.status, if is_there { 200 } else { 404 }, "{method} {target}");
            if is_there {
                assert_eq!(answer.header("content-length"), Some("7"), "{method} {target}");
            }
            if method == "GET" {
                assert_eq!(answer.body, b"content");
            }
        }
    }
}

#[test]
fn an_offer_to_upgrade_is_answered_and_the_connection_ends() {
    let server = Server::start();
    let mut connection = Connection::open(&server);
    let offer =
        [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AA")];
    connection.ask("GET", "/v2/", &offer);
    let answer = connection.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    assert_eq!(answer.header("connection"), Some("close"));
}
