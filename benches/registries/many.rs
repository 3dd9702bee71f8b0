//! What must not grow with how much is stored: memory throughout, and the pages of lists.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Body, Client};
use crate::content::{EMPTY, digest, image};
use crate::subject::Subject;
use crate::table::{Figures, Row};
use crate::{Arguments, rows, timed};

/// How many repositories, blobs and tags there are, of which `--percent` are made.
const REPOSITORIES: usize = 100_000;
const BLOBS: usize = 1_000_000;
const TAGS: usize = 10_000;

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

    push(&subject, repositories, |client, number| {
        let repository = format!("team-{}/app-{number}", number % 100);
        push_image(client, &repository, "v1");
    });
    thread::sleep(SETTLED);
    found.extend(memory(&subject, &format!("pushes into {repositories} repositories")));

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
    push(&subject, blobs, |client, number| {
        let blob = format!("blob {number}");
        client.push("bench/blobs", &digest(blob.as_bytes()), blob.as_bytes());
    });
    thread::sleep(SETTLED);
    found.extend(memory(&subject, &format!("a restart, {tags} tags and {blobs} blobs")));
    for (what, target) in [
        ("the first page of the catalog", "/v2/_catalog?n=100".to_owned()),
        ("a later page of the catalog", "/v2/_catalog?n=100&last=team-50/app-50".to_owned()),
        ("the first page of tags", "/v2/bench/tags/tags/list?n=100".to_owned()),
        ("a later page of tags", "/v2/bench/tags/tags/list?n=100&last=v5".to_owned()),
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

/// The most memory since the last start.
fn memory(subject: &Subject, after: &str) -> Vec<Row> {
    let figures = vec![subject.peak_memory().into_iter().collect()];
    let goals = [(subject.name.as_str(), "≤ 64 MB")];
    rows(&format!("peak memory, {after}"), &goals, "MiB", &[subject], &figures)
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
    rows(what, &[(subject.name.as_str(), "≤ 10 ms")], "ms", &[subject], &figures)
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
