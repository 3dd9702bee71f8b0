//! Requests that are broken: refused, never a crash, never a 500.

use reqwest::Method;
use reqwest::header::CONTENT_RANGE;

use crate::common::Server;
use crate::common::connection::{Connection, ask};
use crate::common::content::{MIB, NOBODYS, OCI_MANIFEST, noise, sha256};
use crate::common::repository::{Repository, assert_refused};

fn assert_alive(server: &Server) {
    assert_eq!(ask(server, "GET", "/v2/", &[]).status, 200);
    let log = server.log();
    assert!(!log.contains("panicked") && !log.contains("\"ERROR\""), "{log}");
}

#[test]
fn a_malformed_content_range_is_refused_and_the_upload_stays() {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    for range in [
        "",
        "-",
        "0",
        "0-",
        "-4",
        "4-0",
        "a-b",
        "0-4-5",
        "0x0-0x4",
        "+0-4",
        "0-18446744073709551615",
        "0-99999999999999999999999999",
        "items 0-4",
        "1.0-4",
    ] {
        for method in [Method::PATCH, Method::PUT] {
            let response = upload.send(method, |request| {
                let request = request.query(&[("digest", sha256(b"01234"))]);
                request.header(CONTENT_RANGE, range).body("01234")
            });
            assert_refused(&response, 400, "BLOB_UPLOAD_INVALID");
        }
    }
    let response = upload.send(Method::PATCH, |request| {
        request.header(CONTENT_RANGE, b"\xff-4".as_slice()).body("01234")
    });
    assert_refused(&response, 400, "BLOB_UPLOAD_INVALID");
    assert_eq!(upload.status().header("range"), "0-0");
    assert_eq!(upload.chunk(0, b"01234").status, 202);
    assert_eq!(upload.finish(&sha256(b"01234")).status, 201);
}

#[test]
fn a_length_that_is_none_is_refused() {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    for headers in [
        [("Content-Length", "abc"), ("X-Other", "")],
        [("Content-Length", "-5"), ("X-Other", "")],
        [("Content-Length", "+5"), ("X-Other", "")],
        [("Content-Length", "5 5"), ("X-Other", "")],
        [("Content-Length", "99999999999999999999999999"), ("X-Other", "")],
        [("Content-Length", "5"), ("Content-Length", "6")],
        [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "gzip"), ("X-Other", "")],
    ] {
        let mut connection = Connection::open(&server);
        connection.ask("PATCH", &upload.location, &headers);
        connection.send("01234");
        connection.end();
        let answer = connection.answer();
        assert_eq!(answer.status, 400, "{headers:?}");
    }
    assert_eq!(upload.status().header("range"), "0-0", "nothing was taken");
    assert_alive(&server);
}

#[test]
fn a_broken_chunk_of_a_stream_is_refused() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    for body in ["5\r\n01234\r\nnonsense\r\n", "5\r\n0123456789\r\n", "-5\r\n01234\r\n"] {
        let upload = repository.begin();
        let mut connection = Connection::open(&server);
        connection.ask("PATCH", &upload.location, &[("Transfer-Encoding", "chunked")]);
        connection.send(body);
        connection.end();
        // Hanging up on such a stream is right, too.
        if let Some(answer) = connection.try_answer(false) {
            assert_eq!(answer.status, 400, "{body}");
        }
        let last = upload.status().header("range").to_owned();
        assert!(["0-0", "0-4"].contains(&last.as_str()), "{body}: {last}");
    }
    assert_alive(&server);
}

#[test]
fn a_very_long_path_or_query_is_refused() {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    let long = "x".repeat(50_000);
    for (target, status) in [
        (format!("/v2/{long}/manifests/v1"), 400),
        (format!("/v2/a/manifests/{long}"), 404),
        (format!("/v2/a/blobs/sha256:{long}"), 400),
        (format!("/v2/a/referrers/{long}"), 400),
        (format!("{}{long}", upload.location), 404),
        (format!("/v2/{}", "a/".repeat(25_000)), 404),
        (format!("/v2/{}/tags/list", "tags/list/".repeat(5_000)), 400),
        (format!("/v2/a/tags/list?n={long}"), 400),
        (format!("/v2/a/tags/list?last={long}"), 404),
        (format!("/v2/a/referrers/{NOBODYS}?artifactType={long}"), 200),
        (format!("/v2/?{}", "a=b&".repeat(12_000)), 200),
    ] {
        let answer = ask(&server, "GET", &target, &[]);
        assert_eq!(answer.status, status, "{}", &target[..60.min(target.len())]);
    }
    for target in [format!("/v2/{}", "x".repeat(MIB)), format!("/v2/?x={}", "x".repeat(MIB))] {
        let mut connection = Connection::open(&server);
        connection.ask("GET", &target, &[]);
        // Closing the connection on such a head is right, too.
        if let Some(answer) = connection.try_answer(false) {
            assert!([400, 414, 431].contains(&answer.status), "{}", answer.status);
        }
    }
    let header = "x".repeat(MIB);
    let mut connection = Connection::open(&server);
    connection.ask("GET", "/v2/", &[("X-Long", &header)]);
    if let Some(answer) = connection.try_answer(false) {
        assert!([400, 431].contains(&answer.status), "{}", answer.status);
    }
    assert_alive(&server);
}

#[test]
fn an_odd_query_is_read_or_ignored() {
    // With it, `ns` names another registry.
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_FEDERATION__ENABLED", "false");
    });
    let repository = Repository::of(&server, "a");
    repository.push_image("v1", "word");
    for query in ["&&&", "=", "x", "n", "%", "%ff=%fe", "last=%00", "ns=example.com", "n=1&n=2"] {
        let answer = ask(&server, "GET", &format!("/v2/a/tags/list?{query}"), &[]);
        let expected = if query == "n" { 400 } else { 200 };
        assert_eq!(answer.status, expected, "{query}: {}", answer.text());
    }
    assert_alive(&server);
}

#[test]
fn what_is_no_http_is_refused() {
    let server = Server::start();
    for request in [
        "nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET /v2/ HTTP/9.9\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /v2/\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v2/ä HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03",
    ] {
        let mut connection = Connection::open(&server);
        connection.send(request);
        connection.end();
        if let Some(answer) = connection.try_answer(false) {
            assert_eq!(answer.status, 400, "{request:?}");
        }
    }
    assert_alive(&server);
}

#[test]
fn bodies_where_none_belongs_do_no_harm() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    let body = noise(MIB, 1);
    let with_body = |method: Method, rest: &str| {
        repository.send(method, rest, |request| request.body(body.clone()))
    };
    assert!(with_body(Method::GET, "manifests/v1").body == pushed.manifest);
    assert_eq!(with_body(Method::GET, "tags/list").status, 200);
    assert_eq!(with_body(Method::DELETE, "manifests/v1").status, 202);
    let begun = with_body(Method::POST, "blobs/uploads/");
    assert_eq!((begun.status, begun.header("range")), (202, "0-0"), "only ?digest= takes a body");
    assert_eq!(repository.put("v1", OCI_MANIFEST, &pushed.manifest).status, 201);
    assert_alive(&server);
}
