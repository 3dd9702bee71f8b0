//! Collections without a pause through three processes, which are killed one after the other, beside clients that push,
//! mount, delete and pull images with common layers.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::collection::{Acknowledged, duration};
use crate::common::content::{OCI_MANIFEST, image, noise, sha256};
use crate::common::dice::Dice;
use crate::common::replicas::Addresses;
use crate::common::{Replicas, http, run, succeed};
use crate::replicas::client::{ask, push_blob};
use crate::replicas::{assert_no_lock_is_left, assert_whole};

const CLIENTS: u64 = 8;
const LAYERS: usize = 8;

/// How many collections there have to be at least, and how much longer that may take.
const COLLECTIONS: usize = 2;
const LONGER: Duration = Duration::from_mins(2);

/// How long all replicas live until one is killed.
const BETWEEN_KILLS: Duration = Duration::from_secs(4);

fn configure(command: &mut Command) {
    command
        .env("ROADSTEAD_GC__GRACE", "6s")
        .env("ROADSTEAD_GC__INTERVAL", "0")
        .env("ROADSTEAD_GATEWAY__ROOT_GRACE", "1ms")
        .env("ROADSTEAD_STORAGE__KUBO__CLEAN_INTERVAL", "5s");
}

/// Has a repository have a blob as clients do.
fn bring(addresses: &Addresses, repository: &str, from: &str, bytes: &[u8], dice: &mut Dice) {
    let digest = sha256(bytes);
    let found = ask(
        addresses,
        |client, base| client.head(format!("{base}/v2/{repository}/blobs/{digest}")),
        |answer| answer.status != 503,
    );
    if found.status == 200 {
        return;
    }
    if dice.index(2) == 0 {
        let mounted = ask(
            addresses,
            |client, base| {
                let query = format!("mount={digest}&from={from}");
                client.post(format!("{base}/v2/{repository}/blobs/uploads/?{query}"))
            },
            |answer| answer.status != 503,
        );
        if mounted.status == 201 {
            return;
        }
    }
    push_blob(addresses, repository, bytes, dice.index(3) == 0);
}

fn work(
    addresses: &Addresses,
    number: u64,
    mut dice: Dice,
    is_over: &AtomicBool,
) -> Vec<Acknowledged> {
    let layers: Vec<Vec<u8>> = (0..LAYERS)
        .map(|layer| noise(if layer % 2 == 0 { 3000 } else { 1_200_000 }, layer as u64 + 1))
        .collect();
    let mut acknowledged: Vec<Acknowledged> = Vec::new();
    for count in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return acknowledged;
        }
        let repository = format!("team/app-{}", dice.index(4));
        let from = format!("team/app-{}", dice.index(4));
        let config = format!(r#"{{"image":"{number}-{count}"}}"#).into_bytes();
        let blobs =
            vec![layers[dice.index(LAYERS)].clone(), layers[dice.index(LAYERS)].clone(), config];
        let manifest = image(&blobs[2], &[&blobs[0], &blobs[1]]).to_string().into_bytes();
        let tag = format!("t{number}-{count}");
        // A client that was held up for longer than the grace has to begin anew.
        let is_pushed = (0..20).any(|_| {
            for blob in &blobs {
                bring(addresses, &repository, &from, blob, &mut dice);
            }
            let answer = ask(
                addresses,
                |client, base| {
                    let url = format!("{base}/v2/{repository}/manifests/{tag}");
                    client.put(url).header(CONTENT_TYPE, OCI_MANIFEST).body(manifest.clone())
                },
                |answer| answer.status != 503,
            );
            assert!([201, 404].contains(&answer.status), "{}", answer.text());
            answer.status == 201
        });
        assert!(is_pushed, "{repository}:{tag} cannot be pushed");
        acknowledged.push(Acknowledged { repository, tag, manifest, blobs });
        if dice.index(3) == 0 {
            let which = dice.index(acknowledged.len());
            let Acknowledged { repository, manifest, .. } = acknowledged.swap_remove(which);
            let digest = sha256(&manifest);
            let deleted = ask(
                addresses,
                |client, base| client.delete(format!("{base}/v2/{repository}/manifests/{digest}")),
                |answer| answer.status != 503,
            );
            assert!([202, 404].contains(&deleted.status), "{}", deleted.text());
        }
    }
    unreachable!("it is over at some time")
}

fn assert_pulled(address: &str, images: &[Acknowledged]) {
    for Acknowledged { repository, tag, manifest, blobs } in images {
        let repository = format!("http://{address}/v2/{repository}");
        let found = http::get(&format!("{repository}/manifests/{tag}"));
        assert!(found.status == 200 && found.body == *manifest, "{repository}:{tag}");
        for blob in blobs {
            let found = http::get(&format!("{repository}/blobs/{}", sha256(blob)));
            assert!(found.status == 200 && found.body == *blob, "{repository}:{tag}");
        }
    }
}

#[test]
fn collections_through_replicas_that_are_killed_take_nothing_that_was_acknowledged() {
    let mut dice = Dice::cast();
    let Some(mut replicas) = Replicas::start_with(configure) else { return };
    let addresses = Addresses::default();
    addresses.set(replicas.addresses());
    let is_over = AtomicBool::new(false);
    let (images, collections) = thread::scope(|scope| {
        let (addresses, is_over) = (&addresses, &is_over);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let dice = dice.branch();
                scope.spawn(move || work(addresses, number, dice, is_over))
            })
            .collect();
        let begun = Instant::now();
        let (mut killed, mut collections, mut next) = (0, 0, BETWEEN_KILLS);
        // On a machine that is slow, until there were some.
        while (begun.elapsed() < duration(15)
            || collections < COLLECTIONS && begun.elapsed() < duration(15) + LONGER)
            && !clients.iter().any(thread::ScopedJoinHandle::is_finished)
        {
            // Beside the next kill: each is a command that a process carries out, which may be killed by then.
            let which = collections % replicas.servers.len();
            let mut command = replicas.servers[which].command(["gc", "--now", "--json"]);
            let collecting = thread::spawn(move || run(&mut command).succeeded());
            while !collecting.is_finished() {
                // After that all live, so that collections come to their ends.
                if begun.elapsed() > next && begun.elapsed() < duration(15) {
                    let server = &mut replicas.servers[killed % 3];
                    server.kill();
                    server.start_again();
                    addresses.set(replicas.addresses());
                    killed += 1;
                    next = begun.elapsed() + BETWEEN_KILLS;
                }
                thread::sleep(Duration::from_millis(10));
            }
            collections += usize::from(collecting.join().expect("it only runs a command"));
        }
        is_over.store(true, Ordering::Relaxed);
        let images: Vec<_> = clients.into_iter().map(thread::ScopedJoinHandle::join).collect();
        let images: Vec<Acknowledged> =
            images.into_iter().flat_map(|images| images.expect("all was pushed")).collect();
        (images, collections)
    });
    eprintln!("{} images, {collections} collections", images.len());
    assert!(collections >= COLLECTIONS);
    for address in replicas.addresses() {
        assert_pulled(&address, &images);
    }
    // What a killed process has left goes, too.
    let begun = Instant::now();
    loop {
        let text = succeed(&mut replicas.servers[0].command(["gc", "--now", "--json"]));
        let collected: Value = serde_json::from_str(&text).expect("it is JSON");
        let kept = collected["retained"].as_array().into_iter().flatten();
        let is_left = kept.filter(|kept| kept["reason"] != "uploads").count() > 0;
        if !is_left && collected["leaks"] == 0 && begun.elapsed() > Duration::from_secs(8) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_mins(2), "{collected}");
        thread::sleep(Duration::from_millis(200));
    }
    for address in replicas.addresses() {
        assert_pulled(&address, &images);
    }
    let report = succeed(&mut replicas.servers[0].command(["check", "--json"]));
    let report: Value = serde_json::from_str(&report).expect("it is JSON");
    for name in ["orphans", "unreferenced", "leftovers"] {
        assert_eq!(report[name], 0, "{name}: {report}");
    }
    assert_whole(&replicas);
    assert_no_lock_is_left(&replicas);
}

#[test]
fn what_one_replica_has_collected_is_absent_at_the_others_at_once() {
    let Some(replicas) = Replicas::start_with(|command| {
        configure(command);
        command.env("ROADSTEAD_GC__GRACE", "1ms");
    }) else {
        return;
    };
    let addresses = replicas.addresses();
    let one = Addresses::default();
    one.set(vec![addresses[0].clone()]);
    let blob = noise(5000, 1);
    push_blob(&one, "team/app", &blob, false);
    let path = format!("/v2/team/app/blobs/{}", sha256(&blob));
    let head = |address: &String| {
        http::send(|client| client.head(format!("http://{address}{path}"))).status
    };
    for address in addresses.iter().chain(&addresses) {
        assert_eq!(head(address), 200);
    }
    thread::sleep(Duration::from_millis(20));
    let mut command = replicas.servers[0].command(["gc", "--now", "--json"]);
    let collected: Value = serde_json::from_str(&succeed(&mut command)).expect("it is JSON");
    assert_eq!(collected["blobs"]["count"], 1, "{collected}");
    for address in addresses.iter().rev() {
        assert_eq!(head(address), 404);
    }
    let other = Addresses::default();
    other.set(vec![addresses[2].clone()]);
    push_blob(&other, "team/app", &blob, true);
    for address in &addresses {
        let found = http::get(&format!("http://{address}{path}"));
        assert!(found.status == 200 && found.body == blob);
    }
}
