//! Blobs that the page cache holds, and manifests by tag.

use std::fs;
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use crate::common::{require, succeed};
use crate::content::{Content, EMPTY, digest, image};
use crate::subject::Subject;
use crate::table::Row;
use crate::{Arguments, MANIFEST_TYPE, MB, counted, rounds, rows, timed};

pub(crate) const REPOSITORY: &str = "bench/pull";

/// How many pull at the same time.
const CLIENTS: [usize; 2] = [1, 8];

/// How many pull one layer at the same time, of how many megabytes it is, and how many do for comparison.
const CROWD: usize = 1000;
const LAYER: usize = 64;
const FEW: usize = 8;

/// Over how many connections `HEAD` and `GET` come, and how many requests over each.
const CONNECTIONS: usize = 64;
const REQUESTS: usize = 2000;

/// How long manifests are asked for, each time.
const SECONDS: usize = 5;

pub(crate) fn measure(arguments: &Arguments, subjects: &mut [Subject]) -> Vec<Row> {
    let blob = Content::new(arguments.size * MB);
    let target = format!("/v2/{REPOSITORY}/blobs/{}", blob.digest);
    for subject in &*subjects {
        subject.client().push(REPOSITORY, &blob.digest, &blob.bytes);
    }
    let (_files, nginx) = nginx(arguments, &[(&target, &blob.bytes)]);
    let subjects: Vec<&Subject> = subjects.iter().chain(&nginx).collect();

    let goals = [("nginx", "≥ 0.9"), ("v3.1.1", "≥ 1.0")];
    at_once(arguments, &subjects, "blob GET", &goals, |subject| {
        subject.client().get(&target);
    })
}

/// Pulls of a blob by one client and by several at the same time.
pub(crate) fn at_once(
    arguments: &Arguments,
    subjects: &[&Subject],
    what: &str,
    goals: &[(&str, &str)],
    get: impl Fn(&Subject) + Sync,
) -> Vec<Row> {
    let mut found = Vec::new();
    for clients in CLIENTS {
        let figures = rounds(
            arguments.rounds,
            subjects,
            || (),
            |subject| {
                let seconds = timed(|| {
                    thread::scope(|scope| {
                        for _ in 0..clients {
                            scope.spawn(|| get(subject));
                        }
                    });
                });
                rate(arguments.size * clients, seconds)
            },
        );
        found.extend(rows(&format!("{what} ×{clients}"), goals, "MB/s", subjects, &figures));
    }
    found
}

/// One layer that very many pull at once, beside as many pulls by a few.
pub(crate) fn measure_thousand(arguments: &Arguments, subjects: &mut [Subject]) -> Vec<Row> {
    let layer = Content::new(LAYER * MB);
    let target = format!("/v2/{REPOSITORY}/blobs/{}", layer.digest);
    let server = &subjects[0];
    server.client().push(REPOSITORY, &layer.digest, &layer.bytes);
    let few = format!("{FEW} at a time");
    let labels = [Subject::other("all at once", ""), Subject::other(&few, "")];
    let labels: Vec<&Subject> = labels.iter().collect();
    let figures = rounds(
        arguments.rounds,
        &labels,
        || (),
        |label| {
            let clients = if label.name == few { FEW } else { CROWD };
            let seconds = timed(|| {
                thread::scope(|scope| {
                    for _ in 0..clients {
                        scope.spawn(|| {
                            let mut client = server.client();
                            for _ in 0..CROWD / clients {
                                client.get(&target);
                            }
                        });
                    }
                });
            });
            rate(LAYER * CROWD, seconds)
        },
    );
    rows(
        &format!("{CROWD} pulls of a layer of {LAYER} MB"),
        &[(few.as_str(), "≥ 0.95")],
        "MB/s",
        &labels,
        &figures,
    )
}

/// How many there are per second, such as megabytes.
#[expect(clippy::cast_precision_loss, reason = "a figure of few digits")]
pub(crate) fn rate(count: usize, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// Manifests, by tag and by digest.
pub(crate) fn measure_manifests(arguments: &Arguments, subjects: &mut [Subject]) -> Vec<Row> {
    let layer = Content::new(MB);
    let manifest = image(&layer.digest, layer.bytes.len());
    let tag_target = format!("/v2/{REPOSITORY}/manifests/v1");
    let digest_target = format!("/v2/{REPOSITORY}/manifests/{}", digest(manifest.as_bytes()));
    for subject in &*subjects {
        let mut client = subject.client();
        client.push(REPOSITORY, &layer.digest, &layer.bytes);
        client.push(REPOSITORY, &digest(EMPTY), EMPTY);
        client.push_manifest(REPOSITORY, "v1", manifest.as_bytes());
    }
    let files = [&tag_target, &digest_target].map(|target| (target.as_str(), manifest.as_bytes()));
    let (_files, nginx) = nginx(arguments, &files);
    let subjects: Vec<&Subject> = subjects.iter().chain(&nginx).collect();
    let mut found = Vec::new();
    for (what, target) in
        [("manifest GET by tag", &tag_target), ("manifest GET by digest", &digest_target)]
    {
        found.extend(manifests(arguments, &subjects, what, target));
    }
    found
}

/// `HEAD` beside `GET` of a manifest by tag, by a client that waits for no body after a `HEAD`, as wrk does.
pub(crate) fn measure_heads(arguments: &Arguments, subjects: &mut [Subject]) -> Vec<Row> {
    let server = &subjects[0];
    let layer = Content::new(MB);
    let mut client = server.client();
    for blob in [&layer.bytes[..], EMPTY] {
        client.push(REPOSITORY, &digest(blob), blob);
    }
    client.push_manifest(REPOSITORY, "head", image(&layer.digest, layer.bytes.len()).as_bytes());
    let target = format!("/v2/{REPOSITORY}/manifests/head");
    let labels = ["HEAD", "GET"].map(|method| Subject::other(method, ""));
    let labels: Vec<&Subject> = labels.iter().collect();
    let figures = rounds(
        arguments.rounds,
        &labels,
        || (),
        |label| {
            let seconds = timed(|| {
                thread::scope(|scope| {
                    for _ in 0..CONNECTIONS {
                        scope.spawn(|| {
                            let mut client = server.client();
                            for _ in 0..REQUESTS {
                                client.read(&label.name, &target);
                            }
                        });
                    }
                });
            });
            rate(CONNECTIONS * REQUESTS, seconds)
        },
    );
    let work = format!("manifest by tag, {CONNECTIONS} connections");
    rows(&work, &[("GET", "≥ 1.0")], "requests/s", &labels, &figures)
}

/// Has nginx serve the same bytes at the same paths; the folder lives as long as it does.
fn nginx(arguments: &Arguments, files: &[(&str, &[u8])]) -> (TempDir, Option<Subject>) {
    let root = TempDir::new_in(&arguments.folder).expect("a folder can be made");
    for (target, bytes) in files {
        let path = root.path().join(&target[1..]);
        fs::create_dir_all(path.parent().expect("it is below the root")).expect("it can be made");
        fs::write(path, bytes).expect("a file can be written");
    }
    let nginx = Subject::nginx(&arguments.folder, root.path().to_owned(), None);
    (root, nginx)
}

/// Requests for a manifest over 64 connections; no rows where there is no wrk.
fn manifests(arguments: &Arguments, subjects: &[&Subject], what: &str, target: &str) -> Vec<Row> {
    if require("wrk").is_none() {
        return Vec::new();
    }
    let mut slowest = Vec::new();
    let figures = rounds(
        arguments.rounds,
        subjects,
        || (),
        |subject| {
            let (requests, late) = requests_per_second(&subject.url(target), None)
                .expect("wrk was there a moment ago");
            slowest.push((subject.name.clone(), late));
            requests
        },
    );
    let work = format!("{what}, 64 connections");
    let mut found = rows(&work, &[("v3.1.1", "≥ 6")], "requests/s", subjects, &figures);
    let slowest = counted(subjects, &slowest);
    found.extend(rows("the same, p99", &[("v3.1.1", "≤ 0.33")], "ms", subjects, &slowest));
    found
}

/// Asks for a manifest over 64 connections for a while; returns how many times a second it came, and how
/// many milliseconds the slowest hundredth took at least. None where there is no wrk.
pub(crate) fn requests_per_second(url: &str, bearer: Option<&str>) -> Option<(f64, f64)> {
    let mut command = Command::new(require("wrk")?);
    command.args(["-t2", "-c64", "--latency", &format!("-d{SECONDS}s"), "-H"]);
    command.arg(format!("Accept: {MANIFEST_TYPE}"));
    if let Some(token) = bearer {
        command.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    let output = succeed(command.arg(url));
    assert!(!output.contains("Non-2xx"), "{output}");
    let requests = value(&output, "Requests/sec:").parse().expect("wrk says a number");
    Some((requests, milliseconds(value(&output, "99%"))))
}

/// The word behind a label of wrk's.
pub(crate) fn value<'text>(output: &'text str, label: &str) -> &'text str {
    let found = output.lines().find_map(|line| line.trim().strip_prefix(label));
    found.unwrap_or_else(|| panic!("wrk does not say {label}: {output}")).trim()
}

fn milliseconds(text: &str) -> f64 {
    let number = |unit| text.strip_suffix(unit).and_then(|number| number.parse::<f64>().ok());
    number("us")
        .map(|micro| micro / 1e3)
        .or_else(|| number("ms"))
        .or_else(|| number("s").map(|seconds| seconds * 1e3))
        .unwrap_or_else(|| panic!("`{text}` is no duration of wrk's"))
}
