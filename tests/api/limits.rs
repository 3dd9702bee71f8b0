//! Limits: of manifests, and of memory.

use std::fs;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::common::connection::Connection;
use crate::common::content::{MIB, OCI_MANIFEST, image, noise, sha256};
use crate::common::repository::{Repository, assert_refused, streamed, wait};
use crate::common::{Server, http};

/// A valid manifest of exactly that many bytes.
fn padded(size: usize) -> Vec<u8> {
    let mut manifest = image(b"config", &[]);
    manifest["annotations"] =
        Value::Object(serde_json::Map::from_iter([("x".to_owned(), "".into())]));
    let missing = size - manifest.to_string().len();
    manifest["annotations"]["x"] = "x".repeat(missing).into();
    let bytes = manifest.to_string().into_bytes();
    assert_eq!(bytes.len(), size);
    bytes
}

#[test]
fn a_manifest_has_at_most_four_mebibytes() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"config");
    let largest = padded(4 * MIB);
    assert_eq!(repository.put("largest", OCI_MANIFEST, &largest).status, 201);
    assert!(repository.get("manifests/largest").body == largest);
    for size in [4 * MIB + 1, 9 * MIB] {
        let bytes = padded(size);
        let announced = repository.put("larger", OCI_MANIFEST, &bytes);
        assert_refused(&announced, 413, "SIZE_INVALID");
        let unannounced = repository.send(Method::PUT, "manifests/larger", |request| {
            request.header(CONTENT_TYPE, OCI_MANIFEST).body(streamed(&bytes))
        });
        assert_refused(&unannounced, 413, "SIZE_INVALID");
    }
    assert_eq!(repository.head("manifests/larger").status, 404);
}

#[test]
fn the_limit_of_manifests_is_a_setting() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_MANIFESTS__MAX_BYTES", "1000");
    });
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"config");
    assert_eq!(repository.put("v1", OCI_MANIFEST, &padded(1000)).status, 201);
    assert_refused(&repository.put("v1", OCI_MANIFEST, &padded(1001)), 413, "SIZE_INVALID");
    repository.push_blob(&noise(5000, 1));
}

#[test]
fn memory_does_not_grow_with_the_blob() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(64 * MIB, 1);
    // What goes to a node goes there in large windows, of which all uploads together have two.
    let first = if server.pair().is_some() { 40 } else { 8 };
    repository.push_blob(&content[..first * MIB]);
    let before = peak_kib(server.id());
    let digest = sha256(&content);
    let upload = repository.begin();
    assert_eq!(upload.stream(&content).status, 202);
    assert_eq!(upload.finish(&digest).status, 201);
    let path = format!("blobs/{digest}");
    assert!(repository.get(&path).body == content);
    let posted = repository.send(Method::POST, "blobs/uploads/", |request| {
        request.query(&[("digest", &digest)]).body(content.clone())
    });
    assert_eq!(posted.status, 201);
    let grown = peak_kib(server.id()) - before;
    assert!(grown < 16 * 1024, "64 MiB took {grown} KiB more than {first} MiB did");
}

/// An idle reader must not make the server read ahead of it.
#[test]
fn memory_does_not_grow_with_slow_readers() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(32 * MIB, 2);
    let path = repository.path(&format!("blobs/{}", repository.push_blob(&content)));
    let before = peak_kib(server.id());
    let mut readers: Vec<_> = (0..8)
        .map(|_| {
            let mut reader = crate::common::connection::Connection::open(&server);
            reader.ask("GET", &path, &[]);
            reader
        })
        .collect();
    let mut byte = [0];
    for reader in &mut readers {
        assert_eq!(reader.read_some(&mut byte), 1);
    }
    assert_eq!(http::get(&server.url("/v2/")).status, 200);
    let grown = peak_kib(server.id()) - before;
    assert!(grown < 32 * 1024, "8 idle readers of 32 MiB took {grown} KiB");
}

/// The most memory that the process has ever had.
fn peak_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    let number = line.trim().strip_suffix(" kB").expect("it is in kB");
    number.parse().expect("it is a number")
}

#[test]
fn large_manifests_take_no_more_memory_than_they_may_and_small_ones_are_served_beside_them() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_MANIFESTS__MAX_MEMORY", (4 * MIB).to_string());
    });
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"config");
    let (large, small) = (padded(3 * MIB), padded(1000));
    assert_eq!(repository.put("stored", OCI_MANIFEST, &large).status, 201);
    let mut slow = Connection::open(&server);
    let target = repository.path("manifests/slow");
    let host = server.address();
    slow.send(format!(
        "PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {OCI_MANIFEST}\r\nContent-Length: {}\r\n\r\n",
        large.len()
    ));
    slow.send(&large[..large.len() - 1]);
    wait(|| repository.get("manifests/stored").status == 503, "what came of it counts");
    let refused = repository.put("large", OCI_MANIFEST, &large);
    assert_refused(&refused, 503, "UNAVAILABLE");
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(repository.head("manifests/large").status, 404);
    assert_eq!(repository.put("small", OCI_MANIFEST, &small).status, 201);
    assert!(repository.get("manifests/small").body == small);
    slow.send(&large[large.len() - 1..]);
    assert_eq!(slow.answer().status, 201);
    assert_eq!(repository.put("large", OCI_MANIFEST, &large).status, 201);
    for tag in ["stored", "slow", "large"] {
        assert!(repository.get(&format!("manifests/{tag}")).body == large, "{tag}");
    }
}
