//! Over a Kubo node and a Postgres, beside what the same node does when it is asked directly.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use crate::common::pair::Pair;
use crate::common::replicas::Replicas;
use crate::common::{Server, succeed};
use crate::content::{Content, EMPTY, digest, image, image_of};
use crate::pulls::requests_per_second;
use crate::subject::{Subject, peak_memory_of};
use crate::table::Row;
use crate::{Arguments, BEFORE, MB, rounds, rows, timed};

const REPOSITORY: &str = "bench/kubo";

/// Whom the figures of the node itself belong to.
const NODE: &str = "the node, by curl";

/// How many layers an image has whose commit is timed, and how many such images there are.
const LAYERS: usize = 10;
const COMMITS: usize = 20;

/// How many push small images at the same time, and how many each.
const CLIENTS: usize = 8;
const IMAGES: usize = 15;

/// Measures all; skips where there is no Kubo or no Postgres.
pub(crate) fn measure(arguments: &Arguments) -> Vec<Row> {
    let Some(replicas) = Replicas::start() else { return Vec::new() };
    let subjects = [
        Subject::other("Roadstead", replicas.servers[0].address()),
        Subject::other(NODE, replicas.servers[0].address()),
    ];
    let subjects: Vec<&Subject> = subjects.iter().collect();
    let is_selected = |name: &str| name.contains(&arguments.only);
    let mut found = Vec::new();
    if is_selected("push") {
        found.extend(pushes(arguments, &replicas, &subjects));
    }
    if is_selected("pull") {
        found.extend(pulls(arguments, &replicas, &subjects));
    }
    if is_selected("commit") {
        // Each alone over a pair of its own: of several processes the others look at each commit, too.
        let alone = |name, binary| {
            let (node, database) = (&replicas.node, replicas.postgres.url());
            let pair = Pair::make_on(&node.api(), &node.gateway(), &database);
            Subject::over(&arguments.folder, name, binary, pair)
        };
        let now = alone("Roadstead", env!("CARGO_BIN_EXE_roadstead").into());
        let before = arguments.before.clone().map(|binary| alone(BEFORE, binary));
        let subjects: Vec<&Subject> = std::iter::once(&now).chain(&before).collect();
        found.extend(commits(&subjects));
    }
    if is_selected("manifest") {
        found.extend(manifests(arguments, subjects[0]));
    }
    if is_selected("replicas") {
        found.extend(small_images(arguments, &replicas));
    }
    let peaks = replicas.servers.iter().filter_map(|server| peak_memory_of(server.id()));
    let peaks = [peaks.collect()];
    let goal = [("Roadstead", "≤ 64 MB each")];
    found.extend(rows("peak memory of each process", &goal, "MiB", &subjects[..1], &peaks));
    found
}

#[allow(clippy::cast_precision_loss, reason = "a figure of three digits")]
fn megabytes(arguments: &Arguments) -> f64 {
    arguments.size as f64
}

/// A blob goes in.
fn pushes(arguments: &Arguments, replicas: &Replicas, subjects: &[&Subject]) -> Vec<Row> {
    type Push = fn(&Subject, &Content);

    let ways: [(&str, Push); 2] = [
        ("push, one PUT", |subject, content| {
            subject.client().push(REPOSITORY, &content.digest, &content.bytes);
        }),
        ("push, one streamed PATCH", |subject, content| {
            subject.client().push_streamed(REPOSITORY, &content.digest, &content.bytes, 1);
        }),
    ];
    let folder = TempDir::new_in(&arguments.folder).expect("a folder can be made");
    let file = folder.path().join("content");
    let content = RefCell::new(Content::new(arguments.size * MB));
    let mut found = Vec::new();
    for (work, push) in ways {
        let renew = || {
            replicas.node.rpc("repo/gc", &[("silent", "true")]);
            content.borrow_mut().renew();
            fs::write(&file, &content.borrow().bytes).expect("a file can be written");
        };
        let figures = rounds(arguments.rounds, subjects, renew, |subject| {
            // Nobody pays for what the one before left to the disk.
            rustix::fs::sync();
            let seconds = timed(|| match subject.name.as_str() {
                NODE => add(replicas, &file),
                _ => push(subject, &content.borrow()),
            });
            megabytes(arguments) / seconds
        });
        found.extend(rows(work, &[(NODE, "≥ 0.75")], "MB/s", subjects, &figures));
    }
    found
}

/// Adds a file to the node with the CID that a registry gives it.
fn add(replicas: &Replicas, file: &Path) {
    let options = "pin=false&cid-version=1&raw-leaves=true&chunker=size-1048576&silent=true";
    let url = format!("{}/api/v0/add?{options}", replicas.node.api());
    let form = format!("file=@{}", file.display());
    succeed(Command::new("curl").args(["-sSf", "-X", "POST", "-F", &form, &url]));
}

/// A blob comes out, by curl from everybody.
fn pulls(arguments: &Arguments, replicas: &Replicas, subjects: &[&Subject]) -> Vec<Row> {
    let content = Content::new(arguments.size * MB);
    subjects[0].client().push(REPOSITORY, &content.digest, &content.bytes);
    let target = format!("/v2/{REPOSITORY}/blobs/{}", content.digest);
    let head = succeed(Command::new("curl").args(["-sSfI"]).arg(subjects[0].url(&target)));
    let cid = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix(CID).map(str::to_owned));
    let cid = cid.expect("a blob tells its CID").trim().to_owned();
    let gateway = format!("{}/ipfs/{cid}", replicas.node.gateway());
    let redirecting = Server::start_over(&replicas.pair, {
        let gateway = replicas.node.gateway();
        move |command| {
            command.env("ROADSTEAD_STORAGE__KUBO__REDIRECT", &gateway);
        }
    });
    let mut found = Vec::new();
    for (work, address, goal) in [
        ("blob GET", subjects[0].address.clone(), "≥ 0.6"),
        ("blob GET, redirected to the node", redirecting.address().to_owned(), "≥ 0.95"),
    ] {
        let figures = rounds(
            arguments.rounds,
            subjects,
            || (),
            |subject| {
                let url = match subject.name.as_str() {
                    NODE => gateway.clone(),
                    _ => format!("http://{address}{target}"),
                };
                let pull = || {
                    succeed(Command::new("curl").args(["-sSfL", "-o", "/dev/null", &url]));
                };
                megabytes(arguments) / timed(pull)
            },
        );
        found.extend(rows(work, &[(NODE, goal)], "MB/s", subjects, &figures));
    }
    found
}

/// What stands before a blob's CID in the headers of an answer.
const CID: &str = "x-ipfs-path: /ipfs/";

/// Manifests of images whose layers are there.
fn commits(subjects: &[&Subject]) -> Vec<Row> {
    let mut content = Content::new(20_000);
    let number = Cell::new(0);
    let figures = rounds(
        COMMITS,
        subjects,
        || number.set(number.get() + 1),
        |subject| {
            let mut client = subject.client();
            let repository = format!("bench/commit-{}", number.get());
            client.push(&repository, &digest(EMPTY), EMPTY);
            let mut layers = Vec::new();
            for _ in 0..LAYERS {
                content.renew();
                client.push(&repository, &content.digest, &content.bytes);
                layers.push((content.digest.clone(), content.bytes.len()));
            }
            let manifest = image_of(&layers);
            timed(|| client.push_manifest(&repository, "v1", manifest.as_bytes())) * 1e3
        },
    );
    let work = "commit of an image of 10 layers";
    rows(work, &[("Roadstead", "≤ 60"), (BEFORE, "≤ 0.8")], "ms", subjects, &figures)
}

/// Manifests by tag, beside the embedded store and its index.
fn manifests(arguments: &Arguments, pair: &Subject) -> Vec<Row> {
    const NAME: &str = "Roadstead, embedded";

    let mut embedded = Subject::roadstead(&arguments.folder);
    NAME.clone_into(&mut embedded.name);
    let subjects = [pair, &embedded];
    let layer = b"layer";
    let manifest = image(&digest(layer), layer.len());
    for subject in subjects {
        let mut client = subject.client();
        client.push(REPOSITORY, &digest(layer), layer);
        client.push(REPOSITORY, &digest(EMPTY), EMPTY);
        client.push_manifest(REPOSITORY, "v1", manifest.as_bytes());
    }
    let target = format!("/v2/{REPOSITORY}/manifests/v1");
    let figures = rounds(
        arguments.rounds,
        &subjects,
        || (),
        |subject| {
            requests_per_second(&subject.url(&target), None)
                .map_or(f64::NAN, |(requests, _)| requests)
        },
    );
    let work = "manifest GET by tag, 64 connections";
    rows(work, &[(NAME, "≥ 0.8")], "requests/s", &subjects, &figures)
}

/// Small images by several clients, through three processes and through one.
fn small_images(arguments: &Arguments, replicas: &Replicas) -> Vec<Row> {
    const ONE: &str = "one process";

    let all = Subject::other("three processes", "");
    let one = Subject::other(ONE, "");
    let subjects = [&all, &one];
    let addresses = replicas.addresses();
    let figures = rounds(
        arguments.rounds,
        &subjects,
        || (),
        |subject| {
            let addresses = if subject.name == ONE { &addresses[..1] } else { &addresses[..] };
            let seconds = timed(|| {
                thread::scope(|scope| {
                    for number in 0..CLIENTS {
                        let address = &addresses[number % addresses.len()];
                        scope.spawn(move || push_images(address, number));
                    }
                });
            });
            #[allow(clippy::cast_precision_loss, reason = "there are few")]
            let images = (CLIENTS * IMAGES) as f64;
            images / seconds
        },
    );
    let work = "small images pushed by 8 clients";
    rows(work, &[(ONE, "≥ 1.0")], "images/s", &subjects, &figures)
}

fn push_images(address: &str, number: usize) {
    let mut client = crate::client::Client::open(address);
    let mut layer = Content::new(4096);
    for image_number in 0..IMAGES {
        let repository = format!("bench/small-{number}");
        layer.renew();
        client.push(&repository, &layer.digest, &layer.bytes);
        client.push(&repository, &digest(EMPTY), EMPTY);
        let manifest = image(&layer.digest, layer.bytes.len());
        client.push_manifest(&repository, &format!("v{image_number}"), manifest.as_bytes());
    }
}
