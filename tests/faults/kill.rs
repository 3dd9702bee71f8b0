//! A server that is killed at any moment.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::common::content::{OCI_MANIFEST, image, sha256};
use crate::common::repository::Repository;
use crate::common::{Server, http};
use crate::faults::assert_whole;

/// How often it is killed; over Kubo, where a start and a push take longer, less often.
const KILLS: u32 = 200;
const KILLS_OVER_KUBO: u32 = 50;

/// After how many kills the whole store is read.
const CHECK: u32 = 25;

const WORKERS: u32 = 4;

/// After how many answers it is killed, at the most; a moment later, in the middle of others.
const MOST_ANSWERS: u64 = 40;

/// The longest such moment, in microseconds.
const LONGEST_MOMENT: u64 = 8000;

/// What a client knows of a tag.
#[derive(Debug, Clone, PartialEq)]
enum Known {
    /// It was told that the push succeeded.
    There(Vec<u8>),
    /// It was told that the deletion succeeded.
    Gone,
    /// The server was killed before it answered: this manifest, or nothing.
    Either(Vec<u8>),
}

type Tags = BTreeMap<String, Known>;

/// A client of one repository that pushes and deletes until nobody answers.
fn work(url: &str, round: u32, worker: u32, answers: &AtomicU64) -> Tags {
    let mut tags = Tags::new();
    for number in 0.. {
        let word = format!("{round}-{worker}-{number}");
        let (config, layer) = (format!("{{\"{word}\":0}}").into_bytes(), word.clone().into_bytes());
        let blobs = format!("{url}/blobs/uploads/?digest=");
        for blob in [&config, &layer] {
            let url = format!("{blobs}{}", sha256(blob));
            if http::try_send(|client| client.post(url).body(blob.clone())).is_err() {
                return tags;
            }
            answers.fetch_add(1, Ordering::Relaxed);
        }
        let manifest = image(&config, &[&layer]).to_string().into_bytes();
        let tag = format!("t{word}");
        let target = format!("{url}/manifests/{tag}");
        tags.insert(tag.clone(), Known::Either(manifest.clone()));
        let pushed = http::try_send(|client| {
            client.put(target).header(CONTENT_TYPE, OCI_MANIFEST).body(manifest.clone())
        });
        let Ok(pushed) = pushed else { return tags };
        assert_eq!(pushed.status, 201, "{}", pushed.text());
        answers.fetch_add(1, Ordering::Relaxed);
        tags.insert(tag.clone(), Known::There(manifest.clone()));
        if number % 3 == 2 {
            let target = format!("{url}/manifests/{}", sha256(&manifest));
            tags.insert(tag.clone(), Known::Either(manifest));
            let Ok(deleted) = http::try_send(|client| client.delete(target)) else { return tags };
            assert_eq!(deleted.status, 202, "{}", deleted.text());
            tags.insert(tag, Known::Gone);
        }
    }
    tags
}

/// Another number at each call.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Checks that the server says what the clients know.
fn assert_known(repository: &Repository<'_>, tags: &mut Tags) {
    for (tag, known) in tags {
        let found = repository.get(&format!("manifests/{tag}"));
        let found = match found.status {
            200 => Known::There(found.body),
            404 => Known::Gone,
            status => panic!("{tag}: {status}: {}", found.text()),
        };
        let agrees = match known {
            Known::Either(manifest) => {
                found == Known::Gone || found == Known::There(manifest.clone())
            }
            _ => found == *known,
        };
        assert!(agrees, "{tag}: {found:?} where the client knows {known:?}");
        // From here on it is certain.
        *known = found;
    }
}

/// Checks that whatever is listed can be pulled.
fn assert_listed_is_whole(repository: &Repository<'_>) {
    let listed = repository.get("tags/list").json();
    for tag in listed["tags"].as_array().into_iter().flatten() {
        let tag = tag.as_str().expect("a tag is text");
        let manifest = repository.get(&format!("manifests/{tag}"));
        assert_eq!(manifest.status, 200, "{tag}: {}", manifest.text());
        let manifest = manifest.json();
        for blob in [&manifest["config"], &manifest["layers"][0]] {
            let digest = blob["digest"].as_str().expect("a digest is text");
            let found = repository.send(Method::GET, &format!("blobs/{digest}"), |request| request);
            assert_eq!(sha256(&found.body), digest, "{tag}");
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_half_done() {
    let mut server = Server::start();
    let names: Vec<String> = (0..WORKERS).map(|worker| format!("team/app-{worker}")).collect();
    let mut known: Vec<Tags> = vec![Tags::new(); names.len()];
    let kills = if server.pair().is_some() { KILLS_OVER_KUBO } else { KILLS };
    for round in 0..kills {
        let (target, moment) =
            (random() % MOST_ANSWERS, Duration::from_micros(random() % LONGEST_MOMENT));
        let answers = AtomicU64::new(0);
        let acknowledged = thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .zip(&names)
                .map(|(worker, name)| {
                    let url = server.url(&format!("/v2/{name}"));
                    let answers = &answers;
                    scope.spawn(move || work(&url, round, worker, answers))
                })
                .collect();
            while answers.load(Ordering::Relaxed) < target {
                thread::sleep(Duration::from_micros(100));
            }
            thread::sleep(moment);
            server.kill();
            workers
                .into_iter()
                .map(|worker| worker.join().expect("it only stops"))
                .collect::<Vec<_>>()
        });
        server.start_again();
        for ((name, known), mut acknowledged) in names.iter().zip(&mut known).zip(acknowledged) {
            assert_known(&Repository::of(&server, name), &mut acknowledged);
            known.extend(acknowledged);
        }
        if round % CHECK == CHECK - 1 {
            assert_whole(&server);
        }
    }
    for (name, known) in names.iter().zip(&mut known) {
        let repository = Repository::of(&server, name);
        assert!(known.values().any(|known| matches!(known, Known::There(_))), "nothing was pushed");
        assert_known(&repository, known);
        assert_listed_is_whole(&repository);
    }
}
