//! Blobs, in the ways in which clients push them.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard};
use std::thread;

use crate::client::Client;
use crate::content::{Content, EMPTY, digest, image_of};
use crate::subject::Subject;
use crate::table::Row;
use crate::{Arguments, MB, counted, rounds, rows, timed};

/// The chunks of clients that push in chunks.
const CHUNK: usize = 16 * 1024 * 1024;

const REPOSITORY: &str = "bench/push";

type Push = fn(&mut Client, &str, &[u8]);

const WAYS: [(&str, &str, Push); 3] = [
    ("push, one PUT", "≥ 1.8", |client, digest, bytes| client.push(REPOSITORY, digest, bytes)),
    ("push, one streamed PATCH", "≥ 2.2", |client, digest, bytes| {
        client.push_streamed(REPOSITORY, digest, bytes, 1);
    }),
    ("push, 16 MiB PATCHes", "≥ 2.4", |client, digest, bytes| {
        client.push_chunked(REPOSITORY, digest, bytes, CHUNK);
    }),
];

/// How many push at a time, and what part of the usual size each pushes.
const CLIENTS: usize = 8;
const PART: usize = 5;

/// Small images: how many, of how many layers of how many bytes.
const IMAGES: usize = 1000;
const LAYERS: usize = 3;
const LAYER: usize = 100_000;

pub(crate) fn measure(arguments: &Arguments, subjects: &mut [Subject]) -> Vec<Row> {
    let mut found = Vec::new();
    let content = RefCell::new(Content::new(arguments.size * MB));
    for way in WAYS {
        found.extend(alone(arguments, subjects, &content, way));
    }
    found
}

/// What many clients push at a time.
pub(crate) fn measure_crowd(arguments: &Arguments, subjects: &mut [Subject]) -> Vec<Row> {
    let mut found = at_once(arguments, subjects);
    found.extend(small_images(arguments, subjects));
    found
}

/// One blob in one of the ways, and how much of the processors the server takes for it.
fn alone(
    arguments: &Arguments,
    subjects: &mut [Subject],
    content: &RefCell<Content>,
    (work, goal, push): (&str, &str, Push),
) -> Vec<Row> {
    // Neither the disk nor the page cache shall know how much the ways before have pushed.
    subjects.iter_mut().for_each(Subject::renew);
    let subjects: Vec<&Subject> = subjects.iter().collect();
    let mut times: Vec<(String, f64)> = Vec::new();
    let renew = || content.borrow_mut().renew();
    let figures = rounds(arguments.rounds, &subjects, renew, |subject| {
        let content = content.borrow();
        let mut client = subject.client();
        // Nobody pays for what the one before left to the disk.
        rustix::fs::sync();
        let before = subject.processor_time();
        let seconds = timed(|| push(&mut client, &content.digest, &content.bytes));
        let taken = subject.processor_time().zip(before).map(|(after, before)| after - before);
        times.push((subject.name.clone(), taken.map_or(f64::NAN, |seconds| seconds * 1e3)));
        megabytes(content.bytes.len()) / seconds
    });
    let times = counted(&subjects, &times);
    let mut found = rows(work, &[("v3.1.1", goal)], "MB/s", &subjects, &figures);
    found.extend(rows("the same, processor time", &[], "ms", &subjects, &times));
    found
}

/// Several blobs at a time.
fn at_once(arguments: &Arguments, subjects: &mut [Subject]) -> Vec<Row> {
    subjects.iter_mut().for_each(Subject::renew);
    let subjects: Vec<&Subject> = subjects.iter().collect();
    let size = arguments.size * MB / PART;
    let contents: Vec<_> = (0..CLIENTS).map(|_| Mutex::new(Content::new(size))).collect();
    let renew = || contents.iter().for_each(|content| lock(content).renew());
    let figures = rounds(arguments.rounds, &subjects, renew, |subject| {
        rustix::fs::sync();
        let seconds = timed(|| {
            thread::scope(|scope| {
                for content in &contents {
                    scope.spawn(|| {
                        let content = lock(content);
                        subject.client().push(REPOSITORY, &content.digest, &content.bytes);
                    });
                }
            });
        });
        megabytes(size * CLIENTS) / seconds
    });
    rows(&format!("{CLIENTS} pushes at once, by PUT"), &[], "MB/s", &subjects, &figures)
}

/// Small images, whose layers and repositories are all new.
fn small_images(arguments: &Arguments, subjects: &mut [Subject]) -> Vec<Row> {
    subjects.iter_mut().for_each(Subject::renew);
    let subjects: Vec<&Subject> = subjects.iter().collect();
    let images = (IMAGES * arguments.percent / 100).max(CLIENTS);
    let layers = || -> Vec<Vec<Content>> {
        (0..images).map(|_| (0..LAYERS).map(|_| Content::new(LAYER)).collect()).collect()
    };
    let prepared = RefCell::new(Vec::new());
    let figures = rounds(
        arguments.rounds,
        &subjects,
        || *prepared.borrow_mut() = layers(),
        |subject| {
            let prepared = prepared.borrow();
            let images: &[Vec<Content>] = &prepared;
            rustix::fs::sync();
            let seconds = timed(|| {
                thread::scope(|scope| {
                    for part in images.chunks(images.len().div_ceil(CLIENTS)) {
                        scope.spawn(|| part.iter().for_each(|image| push_image(subject, image)));
                    }
                });
            });
            #[allow(clippy::cast_precision_loss, reason = "a figure of three digits")]
            let count = images.len() as f64;
            count / seconds
        },
    );
    let work = format!("small images by {CLIENTS} clients");
    rows(&work, &[], "images/s", &subjects, &figures)
}

/// Pushes an image into a repository of its own, as a build does.
fn push_image(subject: &Subject, layers: &[Content]) {
    let mut client = subject.client();
    let repository = format!("bench/{}", &layers[0].digest["sha256:".len()..][..12]);
    for layer in layers {
        client.push(&repository, &layer.digest, &layer.bytes);
    }
    client.push(&repository, &digest(EMPTY), EMPTY);
    let layers: Vec<_> = layers.iter().map(|it| (it.digest.clone(), it.bytes.len())).collect();
    client.push_manifest(&repository, "v1", image_of(&layers).as_bytes());
}

fn lock(content: &Mutex<Content>) -> MutexGuard<'_, Content> {
    content.lock().expect("nobody panicked")
}

#[allow(clippy::cast_precision_loss, reason = "a figure of three digits")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / MB as f64
}
