//! Pages in browsers, which can reach a registry that nobody else can: they change nothing.

use crate::abuse::with_anna;
use crate::common::Server;
use crate::common::connection::{Answer, Connection};
use crate::common::content::{OCI_MANIFEST, sha256};
use crate::common::repository::Repository;

/// The routes that change something, and methods that none has.
const CHANGES: [(&str, &str); 8] = [
    ("POST", "/v2/team/app/blobs/uploads/"),
    ("PUT", "/v2/team/app/manifests/v2"),
    ("DELETE", "/v2/team/app/manifests/v1"),
    ("PATCH", "/v2/team/app/blobs/uploads/0190a5a0-0000-7000-8000-000000000000"),
    ("DELETE", "/v2/team/app/blobs/uploads/0190a5a0-0000-7000-8000-000000000000"),
    ("POST", "/v2/"),
    ("PUT", "/v2/nothing"),
    ("POST", "/%762/team/app/blobs/uploads/"),
];

/// Sends a request with just these headers.
fn send(server: &Server, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut connection = Connection::open(server);
    let mut head = format!("{method} {target} HTTP/1.1\r\nContent-Length: 0\r\n");
    for (name, value) in headers {
        head.extend([*name, ": ", *value, "\r\n"]);
    }
    connection.send(format!("{head}\r\n"));
    connection.answer()
}

fn assert_denied(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 403, "{what}: {}", answer.text());
    assert_eq!(answer.code(), "DENIED", "{what}");
}

#[test]
fn a_page_in_a_browser_changes_nothing() {
    let server = Server::start();
    let own = server.address();
    let team = Repository::of(&server, "team/app");
    let pushed = team.push_image("v1", "word");
    for (method, target) in CHANGES {
        for origin in ["http://evil.example", "null", "", &format!("http://{own}"), "x", "\u{e4}"] {
            let answer = send(&server, method, target, &[("Host", own), ("Origin", origin)]);
            assert_denied(&answer, &format!("{method} {target} of {origin}"));
        }
        // A page whose server has got itself an address of this machine is of the same origin.
        let rebound = [("Host", "evil.example:5000"), ("Origin", "http://evil.example:5000")];
        assert_denied(&send(&server, method, target, &rebound), target);
        let silent = [("Host", "evil.example:5000")];
        assert_denied(&send(&server, method, target, &silent), target);
    }
    // Nor does one that sends a body, as a form does.
    let blob = b"of a page";
    let target = team.path(&format!("blobs/uploads/?digest={}", sha256(blob)));
    let mut connection = Connection::open(&server);
    connection.send(format!(
        "POST {target} HTTP/1.1\r\nHost: {own}\r\nOrigin: http://evil.example\r\nContent-Length: {}\r\n\r\n",
        blob.len()
    ));
    connection.send(blob);
    assert_denied(&connection.answer(), "a body");
    assert_eq!(team.get(&format!("blobs/{}", sha256(blob))).status, 404);
    // Reading changes nothing, and what was there is there.
    let read = [("Host", own), ("Origin", "http://evil.example")];
    assert_eq!(send(&server, "GET", &team.path("manifests/v1"), &read).body, pushed.manifest);
    assert_eq!(team.get("manifests/v2").status, 404);
}

#[test]
fn an_open_registry_on_loopback_takes_changes_by_its_own_names() {
    let server = Server::start_with(|command| {
        command
            .env("ROADSTEAD_SERVER__HOSTS", "registry.test,192.0.2.7")
            .env("ROADSTEAD_SERVER__DOMAINS", "own.example")
            .env("ROADSTEAD_FEDERATION__HOSTS", "front.example")
            .env("ROADSTEAD_SERVER__EXTERNAL_URL", "https://out.example:8443");
    });
    let begin = "/v2/team/app/blobs/uploads/";
    for host in [
        "localhost",
        "LOCALHOST:5000",
        "127.0.0.1",
        "127.1.2.3:80",
        "[::1]:5000",
        "registry.test:5000",
        "Registry.test",
        "192.0.2.7:1",
        "own.example",
        "out.example",
        "out.example:443",
    ] {
        let answer = send(&server, "POST", begin, &[("Host", host)]);
        assert_eq!(answer.status, 202, "{host}: {}", answer.text());
    }
    // That of another domain is let through, and its repository is not ours to write to.
    let foreign = send(&server, "POST", begin, &[("Host", "front.example")]);
    assert!(foreign.text().contains("front.example"), "{}", foreign.text());
    for host in [
        "evil.example",
        "evil.example:5000",
        "0.0.0.0:5000",
        "192.0.2.8",
        "localhost.evil.example",
        "registry.test.evil.example",
        "",
        "[::2]",
        "a b",
    ] {
        assert_denied(&send(&server, "POST", begin, &[("Host", host)]), host);
    }
    // The target may name another host than the header.
    let target = format!("http://evil.example{begin}");
    assert_denied(&send(&server, "POST", &target, &[("Host", "localhost")]), "target");
    // Reading is not changing.
    assert_eq!(send(&server, "GET", "/v2/_catalog", &[("Host", "evil.example")]).status, 200);
}

#[test]
fn where_clients_sign_in_the_host_may_be_any_but_an_origin_is_refused() {
    let server = Server::start_with(with_anna);
    let anna = ("Authorization", "Basic YW5uYTpzZWNyZXQ=");
    let begin = "/v2/team/app/blobs/uploads/";
    let by_any = send(&server, "POST", begin, &[("Host", "any.example"), anna]);
    assert_eq!(by_any.status, 202, "{}", by_any.text());
    let page = ("Origin", "http://any.example");
    let denied = send(&server, "POST", begin, &[("Host", "any.example"), anna, page]);
    assert_denied(&denied, "with a password");
    // Refused before a password is looked at.
    assert_denied(&send(&server, "POST", begin, &[("Host", "any.example"), page]), "without");
    // Elsewhere a page of this server may come through, to what there is (nothing yet).
    assert_eq!(send(&server, "POST", "/pages", &[("Host", "any.example"), page]).status, 404);
    for origin in ["http://evil.example", "null", "https://any.example:444"] {
        let other = [("Host", "any.example"), ("Origin", origin)];
        assert_denied(&send(&server, "POST", "/pages", &other), origin);
    }
}

#[test]
fn an_image_is_pushed_by_a_name_that_is_listed() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_SERVER__HOSTS", "registry.test");
    });
    let by_name = |host: &str| {
        let mut connection = Connection::open(&server);
        connection.send(format!(
            "PUT /v2/team/app/manifests/v1 HTTP/1.1\r\nHost: {host}\r\nContent-Type: {OCI_MANIFEST}\r\nContent-Length: 2\r\n\r\n{{}}"
        ));
        connection.answer().status
    };
    assert_eq!(by_name("registry.test:5000"), 400, "it is looked at, and is no manifest");
    assert_eq!(by_name("other.test:5000"), 403);
}
