//! Which of the answers that there are a client is given: `Accept` is a list (case B7 of faults.md).

use reqwest::header::{ACCEPT, HeaderValue};

use crate::common::http::{self, Response};
use crate::common::repository::Repository;
use crate::common::{Server, succeed};

const RAW: &str = "application/vnd.ipld.raw";
const CAR: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=y";
const CAR_WITHOUT: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=n";

fn filled() -> (Server, String) {
    let server = Server::start();
    Repository::of(&server, "team/app").push_image("v1", "word");
    let root = succeed(&mut server.command(["root"])).trim().to_owned();
    let url = server.url(&format!("/ipfs/{root}"));
    (server, url)
}

/// Asks with a header for each line.
fn ask(url: &str, accept: &str) -> Response {
    http::send(|client| {
        // The first replaces the one that the library adds.
        let mut request = client.get(url);
        for (number, line) in accept.lines().enumerate() {
            let value = HeaderValue::from_str(line.trim()).expect("a header");
            request = match number {
                0 => {
                    let mut headers = reqwest::header::HeaderMap::new();
                    headers.insert(ACCEPT, value);
                    request.headers(headers)
                }
                _ => request.header(ACCEPT, value),
            };
        }
        request
    })
}

fn given(url: &str, accept: &str) -> String {
    let answer = ask(url, accept);
    match answer.status {
        200 => answer.header("content-type").to_owned(),
        status => status.to_string(),
    }
}

#[test]
fn the_best_range_that_can_be_served_is() {
    let (_server, url) = filled();
    for (accept, expected) in [
        (
            "application/vnd.ipld.car;order=zzz, application/vnd.ipld.car;order=dfs;dups=n;q=0.4",
            CAR_WITHOUT,
        ),
        ("application/vnd.ipld.car;order=zzz\n application/vnd.ipld.car;dups=n;q=0.4", CAR_WITHOUT),
        ("application/vnd.ipld.car;version=2, application/vnd.ipld.raw;q=0.1", RAW),
        ("application/vnd.ipld.car;dups=maybe, application/vnd.ipld.car", CAR),
        ("application/vnd.ipld.raw;q=0.3, application/vnd.ipld.car;q=0.4", CAR),
        ("application/vnd.ipld.raw, application/vnd.ipld.car", RAW),
        ("application/vnd.ipld.car, application/vnd.ipld.raw", CAR),
        ("text/html, application/vnd.ipld.car;q=0.001, */*;q=0.8", CAR),
        // Case, spaces and quotes.
        ("Application/Vnd.IPLD.Raw", RAW),
        ("APPLICATION/VND.IPLD.CAR ; DUPS=n ; Order=DFS", CAR_WITHOUT),
        ("application/vnd.ipld.car;order=\"dfs\";dups=\"n\"", CAR_WITHOUT),
        ("text/x;a=\"1, application/vnd.ipld.raw\", application/vnd.ipld.car", CAR),
        ("application/vnd.ipld.car;order=unk", CAR),
        ("application/vnd.ipld.car;order=;dups=", CAR),
        (" , application/vnd.ipld.raw,", RAW),
        // What is refused, and the rest.
        ("application/vnd.ipld.raw;q=0, application/vnd.ipld.car;q=0.1", CAR),
        ("application/vnd.ipld.car;dups=y;q=0, application/vnd.ipld.car", CAR_WITHOUT),
        ("application/vnd.ipld.raw;q=0, */*", CAR),
        ("application/vnd.ipld.car;q=0, application/*;q=0.5", RAW),
        ("application/vnd.ipld.car;order=zzz, */*;q=0.1", CAR),
        ("application/vnd.ipld.raw;q=0.0", "406"),
        ("application/vnd.ipld.raw;q=0, */*;q=0", "406"),
        ("application/vnd.ipld.car;order=zzz, application/*;q=0, */*", "406"),
        ("application/vnd.ipld.car;order=zzz, text/*", "406"),
        ("application/vnd.ipld.car;order=zzz", "406"),
        ("application/vnd.ipld.car;dups=maybe", "406"),
        ("application/vnd.ipld.car;version=2", "406"),
        // Of a client that names nothing that can be verified, it is not known that it verifies.
        ("*/*", "406"),
        ("application/*", "406"),
        ("text/html, */*;q=0.8", "406"),
        ("application/vnd.ipld.dag-cbor", "406"),
        ("", "406"),
    ] {
        assert_eq!(given(&url, accept), expected, "{accept}");
    }
}

#[test]
fn what_the_url_says_replaces_what_the_header_says_before_it_is_judged() {
    let (_server, url) = filled();
    let car = "application/vnd.ipld.car";
    for (query, accept, expected) in [
        ("format=car&car-order=dfs", format!("{car};order=zzz"), CAR),
        ("car-order=dfs", format!("{car};order=zzz"), CAR),
        ("format=car&car-dups=y", format!("{car};dups=n"), CAR),
        ("format=car&car-dups=n", format!("{car};dups=maybe"), CAR_WITHOUT),
        ("car-dups=n", format!("{car};dups=y;q=0.2"), CAR_WITHOUT),
        ("format=car&car-version=1", format!("{car};version=2"), CAR),
        ("format=car", format!("{car};dups=n"), CAR_WITHOUT),
        ("format=car", format!("{car};order=zzz, {car};dups=n;q=0.4"), CAR_WITHOUT),
        ("format=car", format!("{car};order=zzz, */*"), CAR),
        ("format=car", format!("{car};order=zzz"), "406"),
        ("format=car", format!("{car};q=0"), CAR),
        ("format=car", RAW.to_owned(), CAR),
        ("format=raw", car.to_owned(), RAW),
        ("format=raw&car-order=zzz", "*/*".to_owned(), RAW),
        ("format=RAW", "*/*".to_owned(), RAW),
        ("format=Car", "*/*".to_owned(), CAR),
        ("format=", RAW.to_owned(), RAW),
        ("format=car&car-order=&car-dups=&car-version=", "*/*".to_owned(), CAR),
        ("car-order=zzz", format!("{car}, {RAW};q=0.1"), RAW),
        ("format=car&car-order=zzz", format!("{car};order=dfs"), "406"),
        ("format=car&car-version=2", car.to_owned(), "406"),
        ("format=car&car-dups=maybe", format!("{car};dups=y"), "400"),
        ("car-dups=maybe", car.to_owned(), "400"),
        ("format=tar", RAW.to_owned(), "406"),
    ] {
        assert_eq!(given(&format!("{url}?{query}"), &accept), expected, "{query} {accept}");
    }
}

#[test]
fn caches_learn_which_answers_depend_on_the_header() {
    let (_server, url) = filled();
    for (query, accept, vary) in [
        ("", RAW, "Accept"),
        ("", CAR, "Accept"),
        ("?format=car", "*/*", "Accept"),
        ("?format=raw", "*/*", ""),
    ] {
        let answer = ask(&format!("{url}{query}"), accept);
        assert_eq!((answer.status, answer.header("vary")), (200, vary), "{query} {accept}");
    }
}

#[test]
fn lists_of_peers_and_metrics_come_in_the_type_that_is_liked_best() {
    let (server, _url) = filled();
    for (path, accept, expected) in [
        ("/routing/v1/providers/bafkqaaa", "Application/X-NDJSON", "application/x-ndjson"),
        ("/routing/v1/providers/bafkqaaa", "application/x-ndjson;q=0", "application/json"),
        (
            "/routing/v1/providers/bafkqaaa",
            "application/x-ndjson;q=0.5, application/json",
            "application/json",
        ),
        (
            "/routing/v1/providers/bafkqaaa",
            "application/json;q=0.5\napplication/x-ndjson",
            "application/x-ndjson",
        ),
        ("/metrics", "text/plain, application/openmetrics-text;q=0.5", "text/plain"),
        ("/metrics", "application/openmetrics-text;q=0", "text/plain"),
        (
            "/metrics",
            "Application/OpenMetrics-Text;version=1.0.0;q=0.6,text/plain;q=0.3,*/*;q=0.2",
            "application/openmetrics-text",
        ),
    ] {
        let answer = ask(&server.url(path), accept);
        assert_eq!(answer.status, 200, "{path} {accept}: {}", answer.text());
        let found = answer.header("content-type").split(';').next().unwrap_or_default();
        assert_eq!(found, expected, "{path} {accept}");
    }
}
