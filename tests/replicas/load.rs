//! Pushes through all of them while they are killed one after the other.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::content::{noise, sha256};
use crate::common::replicas::Addresses;
use crate::common::{Replicas, http};
use crate::replicas::client::{self, Image, random};
use crate::replicas::{assert_no_lock_is_left, assert_whole};

const CLIENTS: u64 = 8;

/// How many images each client pushes: 200 in all.
const IMAGES: u64 = 25;

/// How many repositories they share.
const REPOSITORIES: u64 = 5;

/// Of how many images one is deleted again.
const DELETED: u64 = 7;

/// How long all replicas live until one is killed.
const BETWEEN_KILLS: Duration = Duration::from_secs(2);

/// What a client was told of a tag; none where it was deleted.
struct ServerAnswer {
    repository: String,
    tag: String,
    image: Option<Image>,
}

fn work(addresses: &Addresses, number: u64) -> Vec<ServerAnswer> {
    let mut acknowledged = Vec::new();
    for count in 0..IMAGES {
        let word = format!("{number}-{count}");
        let repository = format!("team/app-{}", random() % REPOSITORIES);
        let tag = format!("t{word}");
        let size = usize::try_from(random() % 300_000).expect("it is less") + 20;
        let image = Image::new(&word, noise(size, random()));
        client::push(addresses, &repository, &tag, &image, count % 3 == 0);
        let is_deleted = count % DELETED == DELETED - 1;
        if is_deleted {
            client::delete(addresses, &repository, &tag);
        }
        acknowledged.push(ServerAnswer { repository, tag, image: (!is_deleted).then_some(image) });
    }
    acknowledged
}

/// Checks that a replica says what the clients were told.
fn assert_served(address: &str, acknowledged: &[ServerAnswer]) {
    for ServerAnswer { repository, tag, image } in acknowledged {
        let repository = format!("http://{address}/v2/{repository}");
        let found = http::get(&format!("{repository}/manifests/{tag}"));
        let Some(image) = image else {
            assert_eq!(found.status, 404, "{repository}:{tag} was deleted");
            continue;
        };
        assert_eq!(found.status, 200, "{repository}:{tag}: {}", found.text());
        assert!(found.body == image.manifest, "{repository}:{tag} is another image");
        for blob in [&image.config, &image.layer] {
            let found = http::get(&format!("{repository}/blobs/{}", sha256(blob)));
            assert!(found.status == 200 && found.body == *blob, "{repository}:{tag}");
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_while_replicas_are_killed_and_postgres_is_restarted() {
    // The node is cleaned more often than it would be, beside all that goes on.
    let configure = |command: &mut Command| {
        command.env("ROADSTEAD_STORAGE__KUBO__CLEAN_INTERVAL", "5s");
    };
    let Some(mut replicas) = Replicas::start_with(configure) else { return };
    let addresses = Addresses::default();
    addresses.set(replicas.addresses());
    let is_over = AtomicBool::new(false);
    let (acknowledged, kills) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let addresses = &addresses;
                scope.spawn(move || work(addresses, number))
            })
            .collect();
        let (replicas, addresses, over) = (&mut replicas, &addresses, &is_over);
        let killer = scope.spawn(move || kill(replicas, addresses, over));
        // First all of them, so that the killer ends also when one has failed.
        let acknowledged: Vec<_> =
            clients.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        let kills = killer.join().expect("it only kills");
        let acknowledged =
            acknowledged.into_iter().flat_map(|acknowledged| acknowledged.expect("all was pushed"));
        (acknowledged.collect::<Vec<_>>(), kills)
    });
    assert!(kills >= 3, "only {kills} were killed");
    assert_eq!(acknowledged.len(), usize::try_from(CLIENTS * IMAGES).expect("it is small"));
    for address in replicas.addresses() {
        assert_served(&address, &acknowledged);
    }
    assert_whole(&replicas);
    assert_no_lock_is_left(&replicas);
}

/// Kills one replica after the other, and once restarts Postgres; returns how often.
fn kill(replicas: &mut Replicas, addresses: &Addresses, is_over: &AtomicBool) -> usize {
    let count = replicas.servers.len();
    for number in 0.. {
        let begun = Instant::now();
        while begun.elapsed() < BETWEEN_KILLS {
            if is_over.load(Ordering::Relaxed) && number >= 3 {
                return number;
            }
            thread::sleep(Duration::from_millis(10));
        }
        replicas.servers[number % count].kill();
        if number == 1 {
            replicas.postgres.stop();
            thread::sleep(Duration::from_millis(500));
            replicas.postgres.start_again();
        }
        replicas.servers[number % count].start_again();
        addresses.set(replicas.addresses());
    }
    unreachable!("it ends when the clients do")
}
