//! What lasts when the server is killed.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::content::{MIB, noise, sha256, sha512};
use crate::common::repository::{Repository, Upload, assert_refused};
use crate::common::{Server, embedded_only, roadstead, succeed};

/// Where the server is killed: within, at and beyond the ends of chunks of the storage.
const STOPS: [usize; 6] = [1, 700_000, MIB, MIB + 1, 3 * MIB + 500_000, 5 * MIB];

#[test]
fn an_upload_goes_on_after_the_server_was_killed() {
    let mut server = Server::start();
    let content = noise(6 * MIB + 12_345, 1);
    let location = Repository::of(&server, "team/app").begin().location;
    let mut offset = 0;
    for stop in STOPS {
        let upload = Upload::at(&server, &location);
        assert_eq!(upload.chunk(offset, &content[offset..stop]).status, 202);
        server.kill();
        server.start_again();
        let status = Upload::at(&server, &location).status();
        assert_eq!((status.status, status.header("range")), (204, &*format!("0-{}", stop - 1)));
        offset = stop;
    }
    let digest = sha256(&content);
    let finished = Upload::at(&server, &location).finish_with(&digest, &content[offset..]);
    assert_eq!(finished.status, 201, "{}", finished.text());
    let file = server.data().join("content-to-compare");
    fs::write(&file, &content).expect("a file can be written");
    let cid = succeed(roadstead(["cid"]).arg(&file));
    assert_eq!(finished.header("x-ipfs-path"), format!("/ipfs/{cid}"));
    server.kill();
    server.start_again();
    let path = format!("blobs/{digest}");
    assert!(Repository::of(&server, "team/app").get(&path).body == content);
}

#[test]
fn an_upload_by_sha512_goes_on_after_the_server_was_killed() {
    let mut server = Server::start();
    let content = noise(2 * MIB + 5, 2);
    let location = Repository::of(&server, "a").begin().location;
    assert_eq!(Upload::at(&server, &location).stream(&content[..MIB + 3]).status, 202);
    server.kill();
    server.start_again();
    let digest = sha512(&content);
    let finished = Upload::at(&server, &location).finish_with(&digest, &content[MIB + 3..]);
    assert_eq!(finished.status, 201, "{}", finished.text());
    assert!(Repository::of(&server, "a").get(&format!("blobs/{digest}")).body == content);
}

/// Bytes that were on the disk but not acknowledged are not part of the upload.
#[test]
fn a_chunk_under_way_is_forgotten_when_the_server_is_killed() {
    let mut server = Server::start();
    let content = noise(3 * MIB, 3);
    let location = Repository::of(&server, "a").begin().location;
    assert_eq!(Upload::at(&server, &location).stream(&content[..MIB + 7]).status, 202);
    let mut connection = crate::common::connection::Connection::open(&server);
    connection.ask("PATCH", &location, &[("Content-Length", &(2 * MIB).to_string())]);
    connection.send(noise(MIB, 99));
    thread::sleep(Duration::from_millis(200));
    server.kill();
    server.start_again();
    let upload = Upload::at(&server, &location);
    assert_eq!(upload.status().header("range"), format!("0-{}", MIB + 6));
    let digest = sha256(&content);
    if server.pair().is_some() {
        // Others may still be alive where one is killed: what it had claimed, they get after a minute.
        let begun = Instant::now();
        while upload.stream(b"").status == 416 {
            assert!(begun.elapsed() < Duration::from_mins(2), "the claim does not lapse");
            thread::sleep(Duration::from_secs(1));
        }
    }
    assert_eq!(upload.finish_with(&digest, &content[MIB + 7..]).status, 201);
    let path = format!("blobs/{}", sha256(&content));
    assert!(Repository::of(&server, "a").get(&path).body == content);
}

#[test]
fn what_was_acknowledged_is_there_after_the_server_was_killed() {
    let mut server = Server::start();
    let pushed = Repository::of(&server, "team/app").push_image("v1", "word");
    server.kill();
    server.start_again();
    let repository = Repository::of(&server, "team/app");
    assert!(repository.get("manifests/v1").body == pushed.manifest);
    assert_eq!(repository.get(&format!("blobs/{}", sha256(&pushed.layer))).body, pushed.layer);
    assert_eq!(repository.get("tags/list").json()["tags"], serde_json::json!(["v1"]));
    assert_eq!(repository.delete("manifests/v1").status, 202);
    server.kill();
    server.start_again();
    let repository = Repository::of(&server, "team/app");
    assert_refused(&repository.get("manifests/v1"), 404, "MANIFEST_UNKNOWN");
    assert!(repository.get(&format!("manifests/{}", pushed.digest)).body == pushed.manifest);
}

#[test]
fn bytes_that_belong_to_no_upload_are_swept_at_the_start() {
    let Some(()) = embedded_only("it puts a file among those of uploads") else { return };
    let mut server = Server::start();
    let location = Repository::of(&server, "a").begin().location;
    assert_eq!(Upload::at(&server, &location).stream(b"content").status, 202);
    server.kill();
    let orphan = server.data().join("tmp/uploads/00000000-0000-4000-8000-000000000000");
    fs::write(&orphan, b"nobody's").expect("a file can be written");
    server.start_again();
    assert!(!orphan.exists(), "the orphan is still there");
    assert_eq!(Upload::at(&server, &location).finish(&sha256(b"content")).status, 201);
}
