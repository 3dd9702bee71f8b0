//! Purges at one process while others push the same.

use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;

use crate::common::content::{OCI_MANIFEST, image, noise, sha256};
use crate::common::repository::Repository;
use crate::common::{Finished, Replicas, run};
use crate::replicas::assert_whole;

const NAME: &str = "team/app";

/// How often it is pushed again that was purged at the same moment.
const TRIES: Duration = Duration::from_mins(2);

/// Why a purge may fail beside pushes of the same: there is nothing of it at that moment, or it goes on later.
const NOT_NOW: [&str; 2] = ["not found", "not committed yet"];

/// Pushes an image as a client does that pushes again what it is told to; returns how often that was.
fn push(repository: &Repository<'_>, tag: &str, config: &[u8], layer: &[u8]) -> usize {
    let begun = Instant::now();
    for again in 0.. {
        assert!(begun.elapsed() < TRIES, "it cannot be pushed");
        let blobs: Vec<u16> = [layer, config]
            .iter()
            .map(|blob| {
                let rest = format!("blobs/uploads/?digest={}", sha256(blob));
                let bytes = blob.to_vec();
                repository.send(Method::POST, &rest, |request| request.body(bytes)).status
            })
            .collect();
        assert!(blobs.iter().all(|status| [201, 503].contains(status)), "{blobs:?}");
        let manifest = image(config, &[layer]).to_string().into_bytes();
        let put = repository.put(tag, OCI_MANIFEST, &manifest);
        // Its blobs may have been purged a moment ago.
        assert!([201, 400, 503].contains(&put.status), "{}: {}", put.status, put.text());
        if put.status == 201 {
            return again;
        }
    }
    unreachable!("it ends above")
}

#[test]
fn what_is_pushed_at_one_replica_while_another_purges_it_is_whole_or_gone() {
    let Some(replicas) = Replicas::start() else { return };
    let (layer, config) = (noise(100_000, 9), b"config");
    let digest = sha256(image(config, &[&layer]).to_string().as_bytes());
    push(&Repository::of(&replicas.servers[0], NAME), "v1", config, &layer);
    let (purging, pushing) = replicas.servers.split_at(1);
    thread::scope(|scope| {
        for (number, server) in pushing.iter().enumerate() {
            let layer = &layer;
            scope.spawn(move || {
                let repository = Repository::of(server, NAME);
                for round in 0..8 {
                    push(&repository, &format!("v{number}-{round}"), config, layer);
                }
            });
        }
        let purges: Vec<Finished> = (0..6)
            .map(|_| run(purging[0].command(["purge"]).arg(format!("{NAME}@{digest}"))))
            .collect();
        for purge in purges.iter().filter(|purge| !purge.succeeded()) {
            assert!(NOT_NOW.iter().any(|why| purge.stderr.contains(why)), "{purge}");
        }
        assert!(purges.iter().any(Finished::succeeded), "none took place: {}", purges[0]);
    });
    assert_whole(&replicas);
    push(&Repository::of(&replicas.servers[1], NAME), "last", config, &layer);
    for server in &replicas.servers {
        let repository = Repository::of(server, NAME);
        assert!(repository.get(&format!("blobs/{}", sha256(&layer))).body == layer);
        assert_eq!(sha256(&repository.get("manifests/last").body), digest);
    }
    assert_whole(&replicas);
}
