//! Clients that push, mount, delete and pull images with common layers, while collections run without a pause.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use super::{Acknowledged, collect, collect_all, duration, start};
use crate::common::content::{OCI_MANIFEST, image, noise, sha256};
use crate::common::dice::Dice;
use crate::common::repository::Repository;
use crate::common::{Server, succeed};

const CLIENTS: usize = 8;

/// How many collections there have to be at least, and how much longer that may take.
const COLLECTIONS: usize = 3;
const LONGER: Duration = Duration::from_mins(2);

/// How many layers images have in common; half of them are large enough to have several blocks.
const LAYERS: usize = 10;

/// Has the repository have a blob as clients do: by a HEAD, a mount or an upload.
fn bring(repository: &Repository<'_>, from: &str, bytes: &[u8], dice: &mut Dice) {
    let digest = sha256(bytes);
    if repository.head(&format!("blobs/{digest}")).status == 200 {
        return;
    }
    if dice.index(2) == 0 {
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

fn work(server: &Server, number: usize, mut dice: Dice, is_over: &AtomicBool) -> Vec<Acknowledged> {
    let layers: Vec<Vec<u8>> = (0..LAYERS)
        .map(|layer| noise(if layer % 2 == 0 { 3000 } else { 1_500_000 }, layer as u64 + 1))
        .collect();
    let mut acknowledged: Vec<Acknowledged> = Vec::new();
    for count in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return acknowledged;
        }
        let name = format!("team/app-{}", dice.index(4));
        let from = format!("team/app-{}", dice.index(4));
        let repository = Repository::of(server, &name);
        let config = format!(r#"{{"image":"{number}-{count}"}}"#).into_bytes();
        let blobs: Vec<Vec<u8>> =
            (0..3).map(|_| layers[dice.index(LAYERS)].clone()).chain([config]).collect();
        let described: Vec<&[u8]> = blobs[..3].iter().map(Vec::as_slice).collect();
        let manifest = image(&blobs[3], &described).to_string().into_bytes();
        let tag = format!("t{number}-{count}");
        // A client that was stopped for longer than the grace has to begin anew, as with any registry.
        let is_pushed = (0..20).any(|_| {
            for blob in &blobs {
                bring(&repository, &from, blob, &mut dice);
            }
            let response = repository.put(&tag, OCI_MANIFEST, &manifest);
            assert!(matches!(response.status, 201 | 404 | 503), "{}", response.text());
            response.status == 201
        });
        assert!(is_pushed, "{name}:{tag} cannot be pushed");
        acknowledged.push(Acknowledged { repository: name, tag, manifest, blobs });
        let which = dice.index(acknowledged.len());
        match dice.index(4) {
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
                let bytes = dice.bytes(5000);
                bring(&repository, &from, &bytes, &mut dice);
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
    let mut dice = Dice::cast();
    let server = start("2s");
    let (is_over, collections, taken) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let images: Vec<Acknowledged> = thread::scope(|scope| {
        let (server, is_over) = (&server, &is_over);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let dice = dice.branch();
                scope.spawn(move || work(server, number, dice, is_over))
            })
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
            begun.elapsed() > duration(12) && collections.load(Ordering::Relaxed) >= COLLECTIONS
                || begun.elapsed() > duration(12) + LONGER
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
}
