//! A collection beside pushes, and the stock registry's own, which needs it stopped, on the same content.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::client::{Body, Client};
use crate::common::{require, roadstead};
use crate::content::{EMPTY, digest, image_of};
use crate::many::push;
use crate::offline::run;
use crate::subject::Subject;
use crate::table::{Figures, Row};
use crate::{Arguments, rounds, rows, timed};

/// How many blobs there are, manifests included, and how many of them go in a round; `--percent` of both are made.
const BLOBS: usize = 100_000;
const GO: usize = 10_000;

/// How many of them an image has: its layers and its manifest. The config of all is one.
const OF_IMAGE: usize = 10;

const REPOSITORIES: usize = 100;

/// Nothing that goes is younger than this when a collection begins.
const GRACE: Duration = Duration::from_secs(2);

/// How long pushes are timed before a collection.
const BEFORE: Duration = Duration::from_secs(10);

const STOCK: &str = "v3.1.1";

pub(crate) fn measure(arguments: &Arguments) -> Vec<Row> {
    let part = |count: usize| (count * arguments.percent / 100).max(REPOSITORIES) / OF_IMAGE;
    let settings = [
        ("ROADSTEAD_GC__GRACE", format!("{}s", GRACE.as_secs())),
        ("ROADSTEAD_GC__INTERVAL", "0".to_owned()),
    ];
    let settings = Arc::new(Mutex::new(settings.into()));
    let mut subjects = vec![Subject::roadstead_with(&arguments.folder, settings)];
    subjects.extend(Subject::stock(&arguments.folder));
    for subject in &subjects {
        push(subject, part(BLOBS - GO), push_image);
    }
    let subjects: Vec<Mutex<Subject>> = subjects.into_iter().map(Mutex::new).collect();
    let labels: Vec<Subject> =
        subjects.iter().map(|it| Subject::other(&lock(it).name, "")).collect();
    let mut next = part(BLOBS - GO);
    let mut idle = 0.0;
    let figures = rounds(
        arguments.rounds,
        &labels.iter().collect::<Vec<_>>(),
        || {
            for subject in &subjects {
                let subject = lock(subject);
                push(&subject, part(GO), |client, number| push_image(client, next + number));
                push(&subject, part(GO), |client, number| delete_image(client, next + number));
            }
            next += part(GO);
            thread::sleep(GRACE);
            idle = lock(&subjects[0]).memory().map_or(f64::NAN, |[all, _]| all);
        },
        |label| {
            let found = subjects.iter().find(|it| lock(it).name == label.name);
            let mut subject = lock(found.expect("it is one of these"));
            rustix::fs::sync();
            if label.name == STOCK { collect_stopped(&mut subject) } else { collect(&subject) }
        },
    );
    let work = format!("collection of {} of {} blobs", part(GO) * OF_IMAGE, part(BLOBS) * OF_IMAGE);
    let labels: Vec<&Subject> = labels.iter().collect();
    let mut found = rows(&work, &[(STOCK, "≤ 0.5")], "s", &labels, &figures);
    found.extend(beside(&lock(&subjects[0]), &mut next, part(GO), idle));
    found
}

fn lock(subject: &Mutex<Subject>) -> std::sync::MutexGuard<'_, Subject> {
    subject.lock().expect("nobody panicked")
}

/// How long pushes take without a collection and beside one, and how much memory that needs.
fn beside(subject: &Subject, next: &mut usize, images: usize, idle: f64) -> Vec<Row> {
    push(subject, images, |client, number| push_image(client, *next + number));
    push(subject, images, |client, number| delete_image(client, *next + number));
    *next += images;
    thread::sleep(GRACE);
    let is_over = AtomicBool::new(false);
    let pushes = |first: usize| {
        let (mut client, mut number, mut times) = (subject.client(), first, Vec::new());
        while !is_over.load(Ordering::Relaxed) {
            push_each(&mut client, number, |piece| times.push(timed(piece) * 1e3));
            number += 1;
        }
        (number, times)
    };
    let [alone, beside] = [false, true].map(|collects| {
        is_over.store(false, Ordering::Relaxed);
        let times = thread::scope(|scope| {
            let first = *next;
            let pushing = scope.spawn(move || pushes(first));
            if collects {
                collect(subject);
            } else {
                thread::sleep(BEFORE);
            }
            is_over.store(true, Ordering::Relaxed);
            pushing.join().expect("all is pushed")
        });
        *next = times.0;
        Figures::new(times.1)
    });
    let labels = [Subject::other("beside a collection", ""), Subject::other("without", "")];
    let labels: Vec<&Subject> = labels.iter().collect();
    let mut found = Vec::new();
    for (what, figure) in
        [("median", Figures::median as fn(&Figures) -> f64), ("longest", Figures::greatest)]
    {
        let figures = [vec![figure(&beside)], vec![figure(&alone)]];
        let goals = [("beside a collection", if what == "longest" { "≤ 100 ms" } else { "" })];
        let work = format!("a push of a blob or manifest, {what}");
        found.extend(rows(&work, &goals, "ms", &labels, &figures));
    }
    let peak = subject.peak_memory().map_or(f64::NAN, |peak| peak - idle);
    let goals = [(&*subject.name, "≤ 64 MB")];
    found.extend(rows("peak memory, above idle", &goals, "MiB", &[subject], &[vec![peak]]));
    found
}

/// Has a running Roadstead collect; returns how long that takes, in seconds.
fn collect(subject: &Subject) -> f64 {
    let mut command = roadstead(["gc", "--now", "--data"]);
    command.arg(subject.data().expect("it has a folder"));
    timed(|| run(&mut command))
}

/// Stops the stock registry, has it collect, and starts it again; returns how long the collection takes, in seconds.
fn collect_stopped(subject: &mut Subject) -> f64 {
    subject.stop();
    let folder = subject.folder().expect("it has one");
    let program = require("registry").expect("it was started");
    let mut command = Command::new(program);
    command.arg("garbage-collect").arg(folder.join("config.yml"));
    let seconds = timed(|| run(command.env("OTEL_TRACES_EXPORTER", "none")));
    let left = count(&folder.join("data/docker/registry/v2/blobs/sha256"));
    assert!(left > 0, "something stays");
    subject.run();
    seconds
}

/// How many files are below a folder.
fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("it can be read");
    let entries = entries.map(|entry| entry.expect("it can be read").path());
    entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

fn repository(number: usize) -> String {
    format!("team/app-{}", number % REPOSITORIES)
}

/// The layers of an image that no other one has.
fn layers(number: usize) -> Vec<String> {
    (1..OF_IMAGE).map(|layer| format!("layer {layer} of image {number}")).collect()
}

fn manifest(number: usize) -> String {
    let described = |layer: &String| (digest(layer.as_bytes()), layer.len());
    image_of(&layers(number).iter().map(described).collect::<Vec<_>>())
}

fn push_image(client: &mut Client, number: usize) {
    push_each(client, number, |piece| piece());
}

/// Pushes an image; each of its blobs, and its manifest, through `each`.
fn push_each(client: &mut Client, number: usize, mut each: impl FnMut(&mut dyn FnMut())) {
    let (name, tag, manifest) = (repository(number), format!("v{number}"), manifest(number));
    let layers = layers(number);
    for blob in layers.iter().map(String::as_bytes).chain([EMPTY]) {
        let digest = digest(blob);
        each(&mut || client.push(&name, &digest, blob));
    }
    each(&mut || client.push_manifest(&name, &tag, manifest.as_bytes()));
}

fn delete_image(client: &mut Client, number: usize) {
    let (name, digest) = (repository(number), digest(manifest(number).as_bytes()));
    let target = format!("/v2/{name}/manifests/{digest}");
    assert_eq!(client.ask("DELETE", &target, &[], Body::Whole(b"")).status, 202, "{target}");
}
