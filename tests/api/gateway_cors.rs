//! Pages of any origin read what is public by its CID, and nothing else (case B6 of faults.md).

use reqwest::Method;
use reqwest::header::{ACCEPT, IF_NONE_MATCH, ORIGIN};

use crate::common::connection::Connection;
use crate::common::http::{self, Response};
use crate::common::repository::{Repository, wait};
use crate::common::{Server, succeed};

const PAGE: &str = "https://page.example";

fn filled() -> (Server, String) {
    let server = Server::start();
    Repository::of(&server, "team/app").push_image("v1", "word");
    let root = succeed(&mut server.command(["root"])).trim().to_owned();
    (server, root)
}

fn send(server: &Server, method: &Method, path: &str, headers: &[(&str, &str)]) -> Response {
    http::send(|client| {
        let request = client.request(method.clone(), server.url(path)).header(ORIGIN, PAGE);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    })
}

fn has(answer: &Response, header: &str, expected: &[&str]) {
    let listed: Vec<String> =
        answer.header(header).split(',').map(|it| it.trim().to_ascii_lowercase()).collect();
    for name in expected {
        assert!(listed.contains(&name.to_ascii_lowercase()), "{header} has no {name}: {listed:?}");
    }
}

fn assert_shared(answer: &Response) {
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    has(answer, "access-control-allow-methods", &["GET", "HEAD", "OPTIONS"]);
    let allowed =
        ["Content-Type", "Range", "User-Agent", "X-Requested-With", "If-None-Match", "Accept"];
    has(answer, "access-control-allow-headers", &allowed);
    let exposed = [
        "Content-Range",
        "Content-Length",
        "X-Ipfs-Path",
        "X-Ipfs-Roots",
        "X-Chunked-Output",
        "X-Stream-Output",
        "ETag",
    ];
    has(answer, "access-control-expose-headers", &exposed);
}

#[test]
fn every_answer_below_the_gateway_and_the_routing_may_be_read() {
    let (server, root) = filled();
    let tag = format!("\"{root}.raw\"");
    let raw = format!("/ipfs/{root}?format=raw");
    for (method, path, headers, status) in [
        (Method::GET, raw.clone(), vec![], 200),
        (Method::HEAD, raw.clone(), vec![], 200),
        (Method::GET, format!("/ipfs/{root}/?format=car"), vec![], 200),
        (Method::GET, format!("/ipfs/{root}/docker?format=car"), vec![], 200),
        (Method::GET, raw.clone(), vec![(IF_NONE_MATCH.as_str(), tag.as_str())], 304),
        (Method::GET, format!("/ipfs/{root}"), vec![(ACCEPT.as_str(), "text/html")], 406),
        (Method::GET, "/ipfs/nonsense?format=raw".to_owned(), vec![], 400),
        (
            Method::GET,
            "/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy?format=raw"
                .to_owned(),
            vec![],
            404,
        ),
        (Method::GET, "/ipfs/".to_owned(), vec![], 404),
        (Method::GET, "/ipns/example.com?format=ipns-record".to_owned(), vec![], 400),
        (Method::GET, "/ipns/".to_owned(), vec![], 404),
        (Method::GET, format!("/routing/v1/providers/{root}"), vec![], 200),
        (Method::HEAD, format!("/routing/v1/providers/{root}"), vec![], 200),
        (Method::GET, "/routing/v1/providers/nonsense".to_owned(), vec![], 422),
        (Method::GET, "/routing/v1/peers/nonsense".to_owned(), vec![], 422),
        (Method::GET, "/routing/v1/other".to_owned(), vec![], 404),
    ] {
        let answer = send(&server, &method, &path, &headers);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_shared(&answer);
    }
}

/// Before a request comes to its route it may be refused: because of its `Origin`, or because too much is under way.
#[test]
fn a_refusal_may_be_read_by_the_page_too() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_SERVER__LIMITS__TRANSFERS_PER_CLIENT", "1");
    });
    let paths =
        ["/ipfs/bafkqaaa?format=raw", "/ipns/k51?format=ipns-record", "/routing/v1/peers/a"];
    for path in paths {
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let answer = send(&server, &method, path, &[]);
            assert!([403, 405].contains(&answer.status), "{method} {path}: {}", answer.status);
            assert_shared(&answer);
        }
    }
    // An upload whose bytes do not come is all that may be under way.
    let mut upload = Connection::open(&server);
    let path = format!("/v2/team/app/blobs/uploads/?digest=sha256:{:064}", 0);
    upload.ask("POST", &path, &[("Content-Length", "9")]);
    for path in paths {
        wait(|| send(&server, &Method::GET, path, &[]).status == 429, "it is not refused");
        let answer = send(&server, &Method::GET, path, &[]);
        assert_shared(&answer);
        assert!(!answer.header("retry-after").is_empty());
        // What a browser asks before the request opens nothing.
        assert_eq!(send(&server, &Method::OPTIONS, path, &[]).status, 204, "{path}");
    }
    let answer = send(&server, &Method::GET, "/v2/team/app/tags/list", &[]);
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[test]
fn a_preflight_of_a_browser_is_answered() {
    let (server, root) = filled();
    for path in [
        format!("/ipfs/{root}"),
        format!("/ipfs/{root}/docker"),
        "/ipfs/nonsense".to_owned(),
        "/ipns/k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r".to_owned(),
        format!("/routing/v1/providers/{root}"),
        "/routing/v1/peers/12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF".to_owned(),
    ] {
        let preflight = [
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "range,if-none-match"),
        ];
        for headers in [&preflight[..], &[]] {
            let answer = send(&server, &Method::OPTIONS, &path, headers);
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}: {}", answer.text());
            assert_shared(&answer);
            has(&answer, "allow", &["GET", "HEAD", "OPTIONS"]);
            assert!(answer.header("access-control-max-age").parse::<u32>().is_ok());
        }
    }
}

#[test]
fn nothing_else_may_be_read_by_other_pages() {
    let (server, _root) = filled();
    for path in [
        "/",
        "/v2/",
        "/v2/_catalog",
        "/v2/team/app/tags/list",
        "/v2/team/app/manifests/v1",
        "/v2/token",
        "/v2/ipfs/a/tags/list",
        "/metrics",
        "/healthz",
        "/readyz",
        "/routing",
        "/routing/v2/providers/a",
        "/ipfsx/a",
        "/v2/ipfs/nonsense",
    ] {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST] {
            let answer = send(&server, &method, path, &[("access-control-request-method", "GET")]);
            for (name, _) in &answer.headers {
                assert!(!name.as_str().starts_with("access-control-"), "{method} {path}: {name}");
            }
            assert!(method != Method::OPTIONS || answer.status >= 400, "{path}: {}", answer.status);
        }
    }
}

#[test]
fn where_there_is_no_gateway_a_page_learns_that() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_GATEWAY__ENABLED", "false");
    });
    for path in ["/ipfs/bafkqaaa?format=raw", "/routing/v1/providers/bafkqaaa"] {
        let answer = send(&server, &Method::GET, path, &[]);
        assert_eq!(answer.status, 404);
        assert_shared(&answer);
    }
}
