//! Clients that push, mount, delete and pull images with common layers, while collections run without a pause.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use super::{collect, collect_all, start};
use crate::common::content::{OCI_MANIFEST, image, noise, sha256};
use crate::common::repository::Repository;
use crate::common::{Server, run, succeed};

const CLIENTS: usize = 8;

/// How many collections there have to be at least, and how much longer that may take.
const COLLECTIONS: usize = 3;
const LONGER: Duration = Duration::from_mins(2);

/// How many layers images have in common; half of them are large enough to have several blocks.
const LAYERS: usize = 10;

/// Numbers that are the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits fit") % limit
    }
}

/// An image that was acknowledged.
struct Acknowledged {
    repository: String,
    tag: String,
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

/// For how long clients push: longer in `scripts/soak`.
fn duration() -> Duration {
    let seconds = std::env::var("COLLECTION_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(12))
}

/// Has the repository have a blob as clients do: by a HEAD, a mount or an upload.
fn bring(repository: &Repository<'_>, from: &str, bytes: &[u8], numbers: &mut Numbers) {
    let digest = sha256(bytes);
    if repository.head(&format!("blobs/{digest}")).status == 200 {
        return;
    }
    if numbers.below(2) == 0 {
        let mount = format!("blobs/uploads/?mount={digest}&from={from}");
        if repository.post(&mount).status == 201 {
            return;
        }
    }
    let rest = format!("blobs/uploads/?digest={digest}");
    for _ in 0..50 {
        let response = repository.send(Method::POST, &rest, |request| request.body(bytes.to_vec()));
        if response.status == 201 {
            return;
        }
        // A purge of the same content by another process, or a collection, at that very moment.
        assert_eq!(response.status, 503, "{}", response.text());
        thread::sleep(Duration::from_millis(20));
    }
    panic!("{digest} cannot be pushed");
}

fn work(server: &Server, number: usize, seed: u64, is_over: &AtomicBool) -> Vec<Acknowledged> {
    let mut numbers = Numbers(seed.wrapping_add(number as u64));
    let layers: Vec<Vec<u8>> = (0..LAYERS)
        .map(|layer| noise(if layer % 2 == 0 { 3000 } else { 1_500_000 }, layer as u64 + 1))
        .collect();
    let mut acknowledged: Vec<Acknowledged> = Vec::new();
    for count in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return acknowledged;
        }
        let name = format!("team/app-{}", numbers.below(4));
        let from = format!("team/app-{}", numbers.below(4));
        let repository = Repository::of(server, &name);
        let config = format!(r#"{{"image":"{number}-{count}"}}"#).into_bytes();
        let blobs: Vec<Vec<u8>> =
            (0..3).map(|_| layers[numbers.below(LAYERS)].clone()).chain([config]).collect();
        let described: Vec<&[u8]> = blobs[..3].iter().map(Vec::as_slice).collect();
        let manifest = image(&blobs[3], &described).to_string().into_bytes();
        let tag = format!("t{number}-{count}");
        // A client that was stopped for longer than the grace has to begin anew, as with any registry.
        let is_pushed = (0..20).any(|_| {
            for blob in &blobs {
                bring(&repository, &from, blob, &mut numbers);
            }
            let response = repository.put(&tag, OCI_MANIFEST, &manifest);
            assert!(matches!(response.status, 201 | 404 | 503), "{}", response.text());
            response.status == 201
        });
        assert!(is_pushed, "{name}:{tag} cannot be pushed");
        acknowledged.push(Acknowledged { repository: name, tag, manifest, blobs });
        let which = numbers.below(acknowledged.len());
        match numbers.below(4) {
            0 => {
                let Acknowledged { repository, manifest, .. } = acknowledged.swap_remove(which);
                let digest = sha256(&manifest);
                let deleted =
                    Repository::of(server, &repository).delete(&format!("manifests/{digest}"));
                assert_eq!(deleted.status, 202, "{}", deleted.text());
            }
            1 => assert_pulled(server, &acknowledged[which]),
            // One that never comes to an image.
            2 => {
                let bytes = noise(5000, seed.wrapping_add(count * 100 + number as u64));
                bring(&repository, &from, &bytes, &mut numbers);
            }
            _ => {}
        }
    }
    unreachable!("it is over at some time")
}

fn assert_pulled(server: &Server, image: &Acknowledged) {
    let Acknowledged { repository, tag, manifest, blobs } = image;
    let at = Repository::of(server, repository);
    let found = at.get(&format!("manifests/{tag}"));
    assert!(found.status == 200 && found.body == *manifest, "{repository}:{tag}: {}", found.status);
    for blob in blobs {
        let found = at.get(&format!("blobs/{}", sha256(blob)));
        assert!(found.status == 200 && found.body == *blob, "a blob of {repository}:{tag}");
    }
}

/// Checks that the store has what the images need, and nothing else.
fn assert_only(server: &Server, images: &[Acknowledged]) {
    let mut needed = BTreeSet::new();
    for image in images {
        needed.insert(sha256(&image.manifest));
        needed.extend(image.blobs.iter().map(|blob| sha256(blob)));
    }
    let report = succeed(&mut server.command(["check", "--json"]));
    let report: Value = serde_json::from_str(&report).expect("it is JSON");
    assert_eq!(report["findings"], serde_json::json!([]));
    for name in ["orphans", "unreferenced", "leftovers"] {
        assert_eq!(report[name], 0, "{name}");
    }
    if server.pair().is_some() {
        return;
    }
    let mut stored = BTreeSet::new();
    for shard in fs::read_dir(server.data().join("content/sha256")).expect("it is there") {
        for file in fs::read_dir(shard.expect("it can be read").path()).expect("it is a folder") {
            let name = file.expect("it can be read").file_name();
            stored.insert(format!("sha256:{}", name.to_string_lossy()));
        }
    }
    assert_eq!(stored, needed, "what is on the disk is what is referenced");
    for folder in ["tmp/forgotten", "tmp/uploads", "tmp/files"] {
        assert_eq!(fs::read_dir(server.data().join(folder)).expect("it is there").count(), 0);
    }
}

#[test]
fn collections_beside_eight_clients_take_nothing_that_was_acknowledged() {
    let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("TEST_SEED={seed}");
    let server = start("2s");
    let (is_over, collections, taken) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let images: Vec<Acknowledged> = thread::scope(|scope| {
        let (server, is_over) = (&server, &is_over);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || work(server, number, seed, is_over)))
            .collect();
        let collector = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let collected = collect(server);
                collections.fetch_add(1, Ordering::Relaxed);
                let count = collected["blobs"]["count"].as_u64().unwrap_or_default();
                taken.fetch_add(usize::try_from(count).unwrap_or_default(), Ordering::Relaxed);
            }
        });
        let begun = Instant::now();
        // On a machine that is slow, until there were some.
        let is_enough = || {
            begun.elapsed() > duration() && collections.load(Ordering::Relaxed) >= COLLECTIONS
                || begun.elapsed() > duration() + LONGER
        };
        while !is_enough() && !clients.iter().any(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(50));
        }
        is_over.store(true, Ordering::Relaxed);
        let images: Vec<_> = clients.into_iter().map(thread::ScopedJoinHandle::join).collect();
        collector.join().expect("each collection succeeds");
        images.into_iter().flat_map(|images| images.expect("all was pushed")).collect()
    });
    eprintln!(
        "{} images, {} collections, {} blobs taken",
        images.len(),
        collections.load(Ordering::Relaxed),
        taken.load(Ordering::Relaxed)
    );
    assert!(collections.load(Ordering::Relaxed) >= COLLECTIONS);
    for image in &images {
        assert_pulled(&server, image);
    }
    collect_all(&server);
    for image in &images {
        assert_pulled(&server, image);
    }
    assert_only(&server, &images);
    let report = run(&mut server.command(["check"]));
    assert!(report.succeeded(), "{report}");
}
