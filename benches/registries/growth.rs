//! What must not grow: memory, the time to start, the time of one more push.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Body, Client};
use crate::content::{Content, EMPTY, digest, image};
use crate::subject::Subject;
use crate::table::{Figures, Row};
use crate::{Arguments, MANIFEST_TYPE, rounds, rows, timed};

/// How many tags there are when the time to start is taken.
const TAGS: usize = 10_000;

/// How many repositories there are when the time of one more is taken.
const REPOSITORIES: [usize; 2] = [10, 20_000];

/// How many more pushes are timed at either.
const MORE: usize = 40;

/// How long a server does nothing before its memory is looked at.
const IDLE: Duration = Duration::from_secs(5);

/// The piece of which the large blob is made, and how many there are: 5 GB.
const PIECE: usize = 50_000_000;
const PIECES: usize = 100;

pub(crate) fn measure(arguments: &Arguments, subjects: &mut [Subject]) -> Vec<Row> {
    // First, since a start begins to count anew.
    let mut found = large_blob(subjects);
    found.extend(idle(subjects));
    found.extend(start(arguments, subjects));
    found.extend(one_more_push(arguments));
    found
}

/// A blob of 5 GB, and the most memory over all that was done so far.
fn large_blob(subjects: &[Subject]) -> Vec<Row> {
    let content = Content::new(PIECE);
    let whole = content.digest_of(PIECES);
    for subject in subjects {
        subject.client().push_streamed("bench/large", &whole, &content.bytes, PIECES);
        subject.client().get(&format!("/v2/bench/large/blobs/{whole}"));
    }
    let memory = |subject: &Subject| subject.peak_memory().into_iter().collect();
    let figures: Vec<Vec<f64>> = subjects.iter().map(memory).collect();
    let goals = [("Roadstead", "≤ 64 MB")];
    rows("peak memory, a blob of 5 GB and all before it", &goals, "MiB", &all(subjects), &figures)
}

/// The memory of ours that it holds on to after all that, beside that of a fresh start.
fn idle(subjects: &mut [Subject]) -> Vec<Row> {
    let ours = &mut subjects[0];
    thread::sleep(IDLE);
    let after = ours.memory();
    ours.stop();
    ours.run();
    ours.client().get("/v2/");
    thread::sleep(IDLE);
    let (Some(after), Some(fresh)) = (after, ours.memory()) else { return Vec::new() };
    let labels = [Subject::other("after all before it", ""), Subject::other("fresh", "")];
    let labels: Vec<&Subject> = labels.iter().collect();
    let row = |what: &str, goal: &str, index: usize| {
        let figures = [vec![after[index]], vec![fresh[index]]];
        rows(what, &[("fresh", goal)], "MiB", &labels, &figures)
    };
    let whole = row("memory when idle", "≤ 1.3", 0);
    whole.into_iter().chain(row("memory of no file when idle", "≤ 16 MB more", 1)).collect()
}

/// The time from the start of the process to the first manifest.
fn start(arguments: &Arguments, subjects: &mut [Subject]) -> Vec<Row> {
    for subject in &*subjects {
        let mut client = subject.client();
        let manifest = push_image(&mut client, "bench/tags", 0);
        for tag in 0..TAGS {
            client.push_manifest("bench/tags", &format!("v{tag}"), manifest.as_bytes());
        }
    }
    let mut figures = vec![Vec::new(); subjects.len()];
    for _ in 0..arguments.rounds {
        for (subject, figures) in subjects.iter_mut().zip(&mut figures) {
            subject.stop();
            let begun = Instant::now();
            subject.launch();
            while !is_there(&subject.address, "/v2/bench/tags/manifests/v7") {
                assert!(begun.elapsed() < Duration::from_mins(1), "{} is silent", subject.name);
                thread::sleep(Duration::from_micros(500));
            }
            figures.push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    let goals = [("Roadstead", "≤ 50 ms")];
    rows("first answer after the start, 10,000 tags", &goals, "ms", &all(subjects), &figures)
}

/// The time of one more push into a repository of its own, where there are few and where there are many.
fn one_more_push(arguments: &Arguments) -> Vec<Row> {
    let subjects = REPOSITORIES.map(|count| {
        let mut subject = Subject::roadstead(&arguments.folder);
        subject.name = format!("with {count} repositories");
        thread::scope(|scope| {
            for worker in 0..8 {
                let mut client = subject.client();
                scope.spawn(move || {
                    for number in (worker..count).step_by(8) {
                        push_image(&mut client, &format!("team-{}/app-{number}", number % 100), 0);
                    }
                });
            }
        });
        subject
    });
    let mut more = 0;
    let figures = rounds(
        MORE,
        &all(&subjects),
        || (),
        |subject| {
            more += 1;
            let mut client = subject.client();
            timed(|| drop(push_image(&mut client, &format!("more/app-{more}"), 0))) * 1e3
        },
    );
    // The first subject is what the others are compared to.
    let median = |index: usize| Figures::new(figures[index].clone()).median();
    let mut rows = rows("one more push of one image", &[], "ms", &all(&subjects), &figures);
    "≤ 1.2".clone_into(&mut rows[1].goal);
    rows[1].ratio = Some(Figures::new(vec![median(1) / median(0)]));
    rows
}

fn all(subjects: &[Subject]) -> Vec<&Subject> {
    subjects.iter().collect()
}

/// Pushes a small image as a client does to whom no blob is new; returns its manifest.
fn push_image(client: &mut Client, repository: &str, number: usize) -> String {
    let layer = format!("the layer of image {number}");
    for blob in [layer.as_bytes(), EMPTY] {
        let digest = digest(blob);
        let target = format!("/v2/{repository}/blobs/uploads/?mount={digest}");
        let answer = client.ask("POST", &target, &[], Body::Whole(b""));
        if answer.status != 201 {
            client.push(repository, &digest, blob);
        }
    }
    let manifest = image(&digest(layer.as_bytes()), layer.len());
    client.push_manifest(repository, "v1", manifest.as_bytes());
    manifest
}

pub(crate) fn is_there(address: &str, target: &str) -> bool {
    let headers = [("Accept", MANIFEST_TYPE)];
    Client::try_open(address)
        .and_then(|mut client| client.try_ask("GET", target, &headers, Body::Whole(b"")))
        .is_ok_and(|answer| answer.status == 200)
}
