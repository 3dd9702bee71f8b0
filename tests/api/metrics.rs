//! `/metrics`: in the format that Prometheus reads, and without a name that anybody gave anything.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use bcrypt::Version;
use reqwest::Method;
use reqwest::header::ACCEPT;
use tempfile::TempDir;

use crate::common::connection::Connection;
use crate::common::content::{NOBODYS, noise};
use crate::common::repository::Repository;
use crate::common::{Server, http};

/// What Prometheus asks for.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";

/// Samples by name and labels as they are written, each of a family that was described before.
struct Metrics(HashMap<String, String>);

impl Metrics {
    fn of(server: &Server) -> Self {
        let response = http::get(&server.url("/metrics"));
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        Self::parse(&response.text())
    }

    fn parse(text: &str) -> Self {
        let (mut described, mut samples) = (HashMap::new(), HashMap::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a family has a help");
                assert!(!help.is_empty() && described.insert(name, None).is_none(), "{line}");
                continue;
            }
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a family has a type");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert_eq!(described.insert(name, Some(kind)), Some(None), "{line}");
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            let name = series.split('{').next().expect("a text has a beginning");
            let labels = series.strip_prefix(name).expect("it begins with it");
            let is_well = labels.is_empty() || labels.starts_with('{') && labels.ends_with("\"}");
            assert!(is_well, "{line}");
            let family = ["_bucket", "_sum", "_count"]
                .into_iter()
                .find_map(|end| name.strip_suffix(end))
                .filter(|family| described.get(family) == Some(&Some("histogram")))
                .unwrap_or(name);
            assert!(described.get(family).is_some_and(Option::is_some), "not described: {line}");
            assert!(value.parse::<f64>().is_ok(), "no number: {line}");
            let before = samples.insert(series.to_owned(), value.to_owned());
            assert!(before.is_none(), "twice: {line}");
        }
        Self(samples)
    }

    fn number(&self, series: &str) -> f64 {
        self.0.get(series).map_or(0.0, |value| value.parse().expect("it was looked at"))
    }

    fn count(&self, series: &str) -> u64 {
        self.0.get(series).map_or(0, |value| value.parse().expect("it is a whole number"))
    }

    /// How many requests were counted.
    fn requests(&self, route: &str, method: &str, status: &str) -> u64 {
        self.count(&format!(
            "roadstead_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}"
        ))
    }

    fn of_route(&self, name: &str, route: &str, method: &str) -> u64 {
        self.count(&format!("{name}{{route=\"{route}\",method=\"{method}\"}}"))
    }
}

/// Reads until a request is counted, which it is once its answer was sent.
fn wait(server: &Server, route: &str, method: &str, status: &str, count: u64) -> Metrics {
    let begun = Instant::now();
    loop {
        let metrics = Metrics::of(server);
        let found = metrics.requests(route, method, status);
        if found == count {
            return metrics;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{found} of {method} {route} {status}: {:?}",
            metrics.0
        );
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn requests_are_counted_by_route_and_status() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(100_000, 1);
    let digest = repository.push_blob(&content);
    for _ in 0..3 {
        assert_eq!(repository.get(&format!("blobs/{digest}")).status, 200);
    }
    assert_eq!(repository.get(&format!("blobs/{NOBODYS}")).status, 404);
    assert_eq!(http::get(&server.url("/nothing/here")).status, 404);
    wait(&server, "/v2/{name}/blobs/{digest}", "GET", "404", 1);
    let metrics = wait(&server, "other", "GET", "404", 1);

    let (blobs, uploads) = ("/v2/{name}/blobs/{digest}", "/v2/{name}/blobs/uploads");
    assert_eq!(metrics.requests(blobs, "GET", "200"), 3);
    assert_eq!(metrics.requests(uploads, "POST", "201"), 1);
    let size = content.len() as u64;
    assert_eq!(metrics.of_route("roadstead_http_request_bytes_total", uploads, "POST"), size);
    let sent = metrics.of_route("roadstead_http_response_bytes_total", blobs, "GET");
    assert!(sent > 3 * size && sent < 3 * size + 1000, "{sent}");
    let name = "roadstead_http_request_duration_seconds";
    assert_eq!(metrics.of_route(&format!("{name}_count"), blobs, "GET"), 4);
    let sum = metrics.number(&format!("{name}_sum{{route=\"{blobs}\",method=\"GET\"}}"));
    assert!(sum > 0.0, "{sum}");
    let infinite = format!("{name}_bucket{{le=\"+Inf\",route=\"{blobs}\",method=\"GET\"}}");
    assert_eq!(metrics.count(&infinite), 4, "{:?}", metrics.0);
}

#[test]
fn uploads_root_changes_and_the_process_are_measured() {
    let server = Server::start();
    let before = Metrics::of(&server);
    assert_eq!(before.0["roadstead_uploads"], "0");
    assert_eq!(before.0["roadstead_root_changes_total"], "0");
    assert_eq!(
        before.count(&format!("roadstead_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))),
        1
    );
    assert!(before.number("process_resident_memory_bytes") > 1e6);
    assert!(before.number("process_open_fds") > 3.0);
    assert!(before.number("process_max_fds") > before.number("process_open_fds"));
    assert!(before.number("process_start_time_seconds") > 1.7e9);
    assert!(before.number("process_cpu_seconds_total") > 0.0);

    let repository = Repository::of(&server, "team/app");
    let upload = repository.begin();
    repository.push_image("v1", "word");
    repository.push_blob(b"not in the tree yet");
    let after = Metrics::of(&server);
    assert_eq!(after.count("roadstead_uploads"), 1);
    assert_eq!(after.count("roadstead_root_changes_total"), 1);
    assert_eq!(http::send(|client| client.delete(server.url(&upload.location))).status, 204);
    assert_eq!(repository.delete("manifests/v1").status, 202);
    assert_eq!(repository.delete("manifests/v1").status, 404, "a refusal changes nothing");
    let after = Metrics::of(&server);
    assert_eq!(after.count("roadstead_uploads"), 0);
    assert_eq!(after.count("roadstead_root_changes_total"), 2);
}

#[test]
fn what_clients_send_is_no_label() {
    let server = Server::start();
    let mut series = HashSet::new();
    for round in 0..3 {
        let repository = Repository::of(&server, &format!("secret{round}/hidden{round}"));
        repository.push_image(&format!("veiled{round}"), &format!("word {round}"));
        repository.get(&format!("manifests/veiled{round}"));
        repository.get(&format!("blobs/{NOBODYS}"));
        http::get(&server.url(&format!("/secret{round}?hidden=veiled")));
        let method = Method::from_bytes(format!("SECRET{round}").as_bytes()).expect("it is one");
        assert_eq!(repository.send(method, "tags/list", |request| request).status, 405);
        let count = round + 1;
        let metrics = wait(&server, "/v2/{name}/tags/list", "other", "405", count);
        let names = metrics.0.keys();
        let own = names.filter(|name| !name.contains("/metrics")).cloned().collect::<HashSet<_>>();
        for name in &own {
            let text = name.to_lowercase();
            for word in ["secret", "hidden", "veiled", "sha256"] {
                assert!(!text.contains(word), "{name}");
            }
        }
        if round > 0 {
            assert_eq!(own, series, "a repository more is no series more");
        }
        series = own;
    }
}

#[test]
fn who_hangs_up_is_counted_too() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let location = repository.begin().location;
    let mut connection = Connection::open(&server);
    connection.send(format!(
        "PATCH {location} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\nfive!"
    ));
    drop(connection);
    let route = "/v2/{name}/blobs/uploads/{upload}";
    let begun = Instant::now();
    while Metrics::of(&server).of_route("roadstead_http_request_bytes_total", route, "PATCH") < 5 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn prometheus_gets_the_format_that_it_accepts() {
    let server = Server::start();
    let response =
        http::send(|client| client.get(server.url("/metrics")).header(ACCEPT, PROMETHEUS));
    assert_eq!(
        response.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = response.text();
    assert!(text.contains("# TYPE roadstead_http_requests counter\n"), "{text}");
    assert!(text.contains("\nroadstead_http_requests_total{"), "{text}");
    assert!(text.ends_with("\n# EOF\n"), "{text}");
}

#[test]
fn where_clients_sign_in_only_they_read_the_metrics() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let file = folder.path().join("htpasswd");
    let hash = bcrypt::hash_with_result("sesame", 4).expect("4 is a cost");
    fs::write(&file, format!("anna:{}\n", hash.format_for_version(Version::TwoY)))
        .expect("the folder is ours");
    for anonymous_pull in ["false", "true"] {
        let file = file.clone();
        let server = Server::start_with(move |command| {
            command
                .env("ROADSTEAD_AUTH__METHOD", "htpasswd")
                .env("ROADSTEAD_AUTH__HTPASSWD__FILE", &file)
                .env("ROADSTEAD_AUTH__HTPASSWD__ANONYMOUS_PULL", anonymous_pull);
        });
        let url = server.url("/metrics");
        assert_eq!(http::get(&url).status, 401, "{anonymous_pull}");
        let ask = |password| {
            http::send(|client| client.get(&url).basic_auth("anna", Some(password))).status
        };
        assert_eq!((ask("wrong"), ask("sesame")), (401, 200), "{anonymous_pull}");
    }
}
