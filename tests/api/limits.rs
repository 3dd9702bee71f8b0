//! Limits: of manifests, and of memory.

use std::fs;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::common::content::{MIB, OCI_MANIFEST, image, noise, sha256};
use crate::common::repository::{Repository, assert_refused, streamed};
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
