//! What must not grow with how much is stored: memory throughout, and the pages of lists.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Body, Client};
use crate::content::{EMPTY, digest, image};
use crate::subject::Subject;
use crate::table::{Figures, Row};
use crate::{Arguments, MANIFEST_TYPE, rows, timed};

/// How many repositories, blobs and tags there are, of which `--percent` are made.
const REPOSITORIES: usize = 100_000;
const BLOBS: usize = 1_000_000;
const TAGS: usize = 100_000;

/// How many of the manifests name one subject.
const REFERRERS: usize = 100_000;

const LAYER: &[u8] = b"the layer of every image";

/// How many clients push at a time.
const CLIENTS: usize = 8;

/// How often a page is read.
const READS: usize = 40;

/// Longer than the root waits to be computed when nobody asks for it.
const SETTLED: Duration = Duration::from_secs(35);

pub(crate) fn measure(arguments: &Arguments) -> Vec<Row> {
    let part = |count: usize| (count * arguments.percent / 100).max(CLIENTS);
    let (repositories, blobs, tags) = (part(REPOSITORIES), part(BLOBS), part(TAGS));
    let mut subject = Subject::roadstead(&arguments.folder);
    let mut found = Vec::new();

    // A tenth first, to see what the others add.
    for (first, end) in [(0, repositories / 10), (repositories / 10, repositories)] {
        push(&subject, end - first, |client, number| {
            let number = first + number;
            push_image(client, &format!("team-{}/app-{number}", number % 100), "v1");
        });
        thread::sleep(SETTLED);
        found.extend(memory(&subject, &format!("pushes into {end} repositories")));
    }

    subject.stop();
    let begun = Instant::now();
    subject.launch();
    while !crate::growth::is_there(&subject.address, "/v2/team-0/app-0/manifests/v1") {
        assert!(begun.elapsed() < Duration::from_mins(1), "it is silent");
        thread::sleep(Duration::from_micros(500));
    }
    let first = vec![vec![begun.elapsed().as_secs_f64() * 1e3]];
    found.extend(rows("first answer after a restart", &[], "ms", &[&subject], &first));

    push(&subject, tags, |client, number| {
        push_image(client, "bench/tags", &format!("v{number}"));
    });
    let image = image(&digest(LAYER), LAYER.len());
    let named = digest(image.as_bytes());
    push(&subject, part(REFERRERS), |client, number| {
        push_referrer(client, "bench/tags", image.as_bytes(), number);
    });
    push(&subject, blobs, |client, number| {
        let blob = format!("blob {number}");
        client.push("bench/blobs", &digest(blob.as_bytes()), blob.as_bytes());
    });
    thread::sleep(SETTLED);
    found.extend(memory(&subject, &format!("a restart, {tags} tags and {blobs} blobs")));
    for (what, target) in [
        ("the first page of the catalog", "/v2/_catalog?n=1000".to_owned()),
        ("a later page of the catalog", "/v2/_catalog?n=1000&last=team-50/app-50".to_owned()),
        ("the first page of tags", "/v2/bench/tags/tags/list?n=1000".to_owned()),
        ("a later page of tags", "/v2/bench/tags/tags/list?n=1000&last=v5".to_owned()),
        ("the first page of referrers", format!("/v2/bench/tags/referrers/{named}")),
    ] {
        found.extend(page(&subject, what, &target));
    }
    found
}

/// Has clients do something so many times.
pub(crate) fn push(subject: &Subject, count: usize, work: impl Fn(&mut Client, usize) + Sync) {
    thread::scope(|scope| {
        for worker in 0..CLIENTS {
            let (mut client, work) = (subject.client(), &work);
            scope.spawn(move || {
                for number in (worker..count).step_by(CLIENTS) {
                    work(&mut client, number);
                }
            });
        }
    });
}

/// The most memory since the last start, and the present one.
fn memory(subject: &Subject, after: &str) -> Vec<Row> {
    let now = subject.memory().map(|[all, own]| [("memory", all), ("memory of no file", own)]);
    let peak = subject.peak_memory().map(|peak| ("peak memory", peak));
    let row = |(what, figure): (&str, f64)| {
        let goals = [(subject.name.as_str(), if what == "peak memory" { "≤ 64 MB" } else { "" })];
        rows(&format!("{what}, {after}"), &goals, "MiB", &[subject], &[vec![figure]])
    };
    peak.into_iter().chain(now.into_iter().flatten()).flat_map(row).collect()
}

fn page(subject: &Subject, what: &str, target: &str) -> Vec<Row> {
    let mut client = subject.client();
    let times = (0..READS).map(|_| {
        timed(|| {
            let answer = client.ask("GET", target, &[], Body::Whole(b""));
            assert_eq!(answer.status, 200, "{target}");
        }) * 1e3
    });
    let figures = vec![vec![Figures::new(times.collect()).median()]];
    rows(what, &[(subject.name.as_str(), "≤ 5 ms")], "ms", &[subject], &figures)
}

/// Pushes a manifest that names another one as its subject.
fn push_referrer(client: &mut Client, repository: &str, subject: &[u8], number: usize) {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": "application/vnd.example.note",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": digest(EMPTY),
            "size": EMPTY.len(),
        },
        "layers": [],
        "subject": { "mediaType": MANIFEST_TYPE, "digest": digest(subject), "size": subject.len() },
        "annotations": { "number": number.to_string() },
    });
    let manifest = manifest.to_string();
    client.push_manifest(repository, &digest(manifest.as_bytes()), manifest.as_bytes());
}

/// Pushes the same small image, whose blobs are mounted where they are stored.
pub(crate) fn push_image(client: &mut Client, repository: &str, tag: &str) {
    for blob in [LAYER, EMPTY] {
        let digest = digest(blob);
        let target = format!("/v2/{repository}/blobs/uploads/?mount={digest}");
        if client.ask("POST", &target, &[], Body::Whole(b"")).status != 201 {
            client.push(repository, &digest, blob);
        }
    }
    let manifest = image(&digest(LAYER), LAYER.len());
    client.push_manifest(repository, tag, manifest.as_bytes());
}
