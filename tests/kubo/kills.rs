//! A node that is killed at any moment, while anybody collects what nothing keeps.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::common::content::{MIB, OCI_MANIFEST, image, noise, sha256};
use crate::common::http::{self, Response};
use crate::common::repository::{Repository, Upload};
use crate::common::{KuboNode, Server};
use crate::kubo::registry::Registry;

/// How often the node is killed.
const KILLS: u32 = 100;

const CLIENTS: u64 = 4;

/// The longest that a node lives, in milliseconds.
const LIFE: u64 = 2200;

/// The sizes of layers: a word, less than a chunk, some chunks, more than the window that goes to the
/// node at a time.
const SIZES: [usize; 8] = [20, 20, 20, 300_000, 300_000, 300_000, 3 * MIB + 1, 17 * MIB];

/// What a client knows of a tag.
#[derive(Debug)]
enum Known {
    /// It was told that the push succeeded.
    There(Vec<u8>),
    /// It was told that the deletion succeeded.
    Gone,
    /// It was told to come again.
    Unknown,
}

/// Another number at each call.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Sends a blob in one request, as a stream, or in chunks; whether it was acknowledged.
fn push_blob(repository: &Repository<'_>, server: &Server, bytes: &[u8]) -> bool {
    let digest = sha256(bytes);
    if random().is_multiple_of(3) {
        let rest = format!("blobs/uploads/?digest={digest}");
        let pushed = repository.send(Method::POST, &rest, |request| request.body(bytes.to_vec()));
        return is_done(&pushed, 201);
    }
    let begun = repository.post("blobs/uploads/");
    if !is_done(&begun, 202) {
        return false;
    }
    let mut upload = Upload::at(server, begun.header("location"));
    if random().is_multiple_of(2) {
        if !is_done(&upload.stream(bytes), 202) {
            return false;
        }
        return is_done(&upload.finish(&digest), 201);
    }
    // Like a client that resumes: it asks how far the upload has come.
    let size = bytes.len().div_ceil(3);
    let mut offset = 0;
    for _ in 0..20 {
        let end = bytes.len().min(offset + size);
        let sent = upload.chunk(offset, &bytes[offset..end]);
        if sent.status == 202 {
            sent.header("location").clone_into(&mut upload.location);
            offset = end;
            if offset == bytes.len() {
                return is_done(&upload.finish(&digest), 201);
            }
            continue;
        }
        assert!(matches!(sent.status, 416 | 503), "{} {}", sent.status, sent.text());
        thread::sleep(Duration::from_millis(100));
        let status = upload.status();
        if status.status != 204 {
            assert_eq!(status.status, 404, "{}", status.text());
            return false;
        }
        let last = status.header("range").rsplit_once('-').map(|(_, last)| last.parse::<usize>());
        let Some(Ok(last)) = last else { panic!("no range: {:?}", status.headers) };
        offset = if last == 0 { 0 } else { last + 1 };
        if offset == bytes.len() {
            return is_done(&upload.finish(&digest), 201);
        }
    }
    false
}

/// Whether it was done; else the client was told to come again.
fn is_done(response: &Response, status: u16) -> bool {
    if response.status == status {
        return true;
    }
    assert_eq!(response.status, 503, "{}", response.text());
    assert!(!response.header("retry-after").is_empty());
    false
}

/// Pushes and deletes until it is over.
fn work(
    server: &Server,
    name: &str,
    is_over: &AtomicBool,
    count: &AtomicUsize,
) -> BTreeMap<String, Known> {
    let repository = Repository::of(server, name);
    let mut tags = BTreeMap::new();
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        number += 1;
        let size = SIZES[usize::try_from(random() % 8).unwrap()];
        let config = format!("{{\"{name}\":{number}}}").into_bytes();
        let layer = noise(size, random());
        let pushed = [&config, &layer].iter().all(|blob| {
            (0..10).any(|_| {
                let is_pushed = push_blob(&repository, server, blob);
                if !is_pushed {
                    thread::sleep(Duration::from_millis(200));
                }
                is_pushed
            })
        });
        if !pushed {
            continue;
        }
        let manifest = image(&config, &[&layer]).to_string().into_bytes();
        let tag = format!("t{number}");
        let put = repository.send(Method::PUT, &format!("manifests/{tag}"), |request| {
            request.header(CONTENT_TYPE, OCI_MANIFEST).body(manifest.clone())
        });
        if !is_done(&put, 201) {
            tags.insert(tag, Known::Unknown);
            continue;
        }
        count.fetch_add(1, Ordering::Relaxed);
        let digest = sha256(&manifest);
        tags.insert(tag.clone(), Known::There(manifest));
        if number % 4 == 0 {
            let deleted = repository.delete(&format!("manifests/{digest}"));
            let known = if is_done(&deleted, 202) { Known::Gone } else { Known::Unknown };
            tags.insert(tag, known);
        }
    }
    tags
}

/// Collects again and again.
fn collect(api: &str, is_over: &AtomicBool) {
    let url = format!("{api}/api/v0/repo/gc?silent=true");
    while !is_over.load(Ordering::Relaxed) {
        // The node may be gone.
        let _ = http::try_send(|client| client.post(&url));
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kills_and_collections() {
    let Some(mut node) = KuboNode::start() else { return };
    let settings = [("STORAGE__KUBO__CLEAN_INTERVAL", "2s")];
    let registry = Registry::start_with(&node, &settings);
    let names: Vec<String> = (0..CLIENTS).map(|client| format!("team/app-{client}")).collect();
    let (is_over, count) = (AtomicBool::default(), AtomicUsize::default());
    let api = node.api();
    let known = thread::scope(|scope| {
        let server = &registry.server;
        let (is_over, count) = (&is_over, &count);
        let clients: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(move || work(server, name, is_over, count)))
            .collect();
        scope.spawn(move || collect(&api, is_over));
        for _ in 0..KILLS {
            thread::sleep(Duration::from_millis(random() % LIFE));
            node.kill();
            node.start_again();
        }
        // Whoever waits gets an answer.
        thread::sleep(Duration::from_secs(2));
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    eprintln!("{count:?} pushes");
    assert!(count.into_inner() > 20, "too little was pushed");
    for (name, tags) in names.iter().zip(&known) {
        let repository = registry.repository(name);
        for (tag, known) in tags {
            assert_known(&repository, tag, known);
        }
    }
    registry.assert_whole(&node);
}

/// Checks that the registry says what the client knows, and gives every byte of it.
fn assert_known(repository: &Repository<'_>, tag: &str, known: &Known) {
    let found = repository.get(&format!("manifests/{tag}"));
    match known {
        Known::Unknown => {}
        Known::Gone => assert_eq!(found.status, 404, "{tag} came back"),
        Known::There(manifest) => {
            assert_eq!(found.status, 200, "{tag} was lost: {}", found.text());
            assert!(found.body == *manifest, "{tag} is another");
            let manifest = found.json();
            for blob in [&manifest["config"], &manifest["layers"][0]] {
                let digest = blob["digest"].as_str().unwrap();
                let found = repository.get(&format!("blobs/{digest}"));
                assert_eq!(sha256(&found.body), digest, "{tag}: {}", found.status);
            }
        }
    }
}
