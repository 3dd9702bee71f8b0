//! An upload goes on at whichever replica its next request comes to.

use rustix::process::Signal;

use crate::common::Replicas;
use crate::common::connection::Connection;
use crate::common::content::{MIB, noise, sha256, sha512};
use crate::common::repository::{Repository, Upload, assert_refused, wait};

/// Where its pieces end: within, at and beyond the ends of chunks and of what is sent to the node at a time.
const ENDS: [usize; 9] =
    [1, 700_000, MIB, MIB + 1, 3 * MIB, 16 * MIB, 17 * MIB + 5, 33 * MIB, 40 * MIB - 1];

#[test]
fn each_piece_of_an_upload_may_go_to_another_replica() {
    let Some(replicas) = Replicas::start() else { return };
    let content = noise(40 * MIB + 12_345, 1);
    let at = |number: usize| &replicas.servers[number % replicas.servers.len()];
    for digest in [sha256(&content), sha512(&content)] {
        let location = Repository::of(at(0), "team/app").begin().location;
        let mut offset = 0;
        for (number, end) in ENDS.into_iter().enumerate() {
            let upload = Upload::at(at(number), &location);
            let pushed = if number % 2 == 0 {
                upload.chunk(offset, &content[offset..end])
            } else {
                upload.stream(&content[offset..end])
            };
            assert_eq!(pushed.status, 202, "{end}: {}", pushed.text());
            // What the next is asked about is what this one has said.
            let status = Upload::at(at(number + 1), &location).status();
            assert_eq!((status.status, status.header("range")), (204, &*format!("0-{}", end - 1)));
            offset = end;
        }
        let upload = Upload::at(at(ENDS.len()), &location);
        let finished = upload.finish_with(&digest, &content[offset..]);
        assert_eq!(finished.status, 201, "{}", finished.text());
        for number in 0..replicas.servers.len() {
            let repository = Repository::of(at(number), "team/app");
            assert!(repository.get(&format!("blobs/{digest}")).body == content, "{number}");
        }
        assert_eq!(
            Repository::of(at(1), "team/app").delete(&format!("blobs/{digest}")).status,
            202
        );
    }
}

#[test]
fn a_replica_that_is_stopped_leaves_its_uploads_to_the_others() {
    let Some(mut replicas) = Replicas::start() else { return };
    let content = noise(20 * MIB + 7, 2);
    let location = Repository::of(&replicas.servers[0], "team/app").begin().location;
    let first = Upload::at(&replicas.servers[0], &location);
    assert_eq!(first.stream(&content[..18 * MIB + 3]).status, 202);
    replicas.servers[0].kill();
    let other = Upload::at(&replicas.servers[1], &location);
    let finished = other.finish_with(&sha256(&content), &content[18 * MIB + 3..]);
    assert_eq!(finished.status, 201, "{}", finished.text());
    let repository = Repository::of(&replicas.servers[2], "team/app");
    assert!(repository.get(&format!("blobs/{}", sha256(&content))).body == content);
}

/// One that is paused for long is no other than one whose claim has lapsed: another takes the upload over at once.
#[test]
fn a_replica_that_was_paused_publishes_nothing_of_an_upload_that_another_has_taken_over() {
    let Some(replicas) = Replicas::start() else { return };
    let (slow, fast) = (&replicas.servers[0], &replicas.servers[1]);
    let content = noise(3 * MIB + 7, 3);
    let other = noise(3 * MIB + 7, 4);
    for ends in [false, true] {
        let location = Repository::of(slow, "team/app").begin().location;
        let mut hanging = Connection::open(slow);
        let target = format!("{location}?digest={}", sha256(&content));
        hanging.ask("PUT", &target, &[("Content-Length", &content.len().to_string())]);
        hanging.send(&content[..2 * MIB]);
        let upload = Upload::at(slow, &location);
        wait(|| upload.status().header("range") != "0-0", "nothing arrived");
        slow.signal(Signal::STOP);
        let upload = Upload::at(fast, &location);
        assert_eq!(upload.status().header("range"), "0-0", "nothing is acknowledged");
        assert_eq!(upload.stream(&other).status, 202);
        if ends {
            assert_eq!(upload.finish(&sha256(&other)).status, 201);
        }
        slow.signal(Signal::CONT);
        hanging.send(&content[2 * MIB..]);
        let answer = hanging.answer();
        let expected = if ends { 404 } else { 416 };
        assert_eq!(answer.status, expected, "{}", answer.text());
        if !ends {
            assert_eq!(upload.finish(&sha256(&other)).status, 201);
        }
        for server in &replicas.servers {
            let repository = Repository::of(server, "team/app");
            let blob = repository.get(&format!("blobs/{}", sha256(&content)));
            assert_refused(&blob, 404, "BLOB_UNKNOWN");
            assert!(repository.get(&format!("blobs/{}", sha256(&other))).body == other);
        }
        let repository = Repository::of(fast, "team/app");
        assert_eq!(repository.delete(&format!("blobs/{}", sha256(&other))).status, 202);
    }
}

#[test]
fn an_upload_that_hangs_at_one_replica_goes_on_at_another_at_once() {
    let Some(replicas) = Replicas::start() else { return };
    let content = noise(2 * MIB + 7, 5);
    let digest = sha256(&content);
    for method in ["PATCH", "PUT"] {
        let begun = Repository::of(&replicas.servers[0], "team/app").begin_with_offset();
        let location = begun.location;
        let mut hanging = Connection::open(&replicas.servers[0]);
        let target = format!("{location}?digest={digest}");
        hanging.ask(method, &target, &[("Content-Length", &content.len().to_string())]);
        hanging.send(&content[..MIB]);
        let upload = Upload::at(&replicas.servers[0], &location);
        wait(|| upload.status().header("range") != "0-0", "nothing arrived");
        let other = Upload::at(&replicas.servers[1], &location);
        let whole = other.finish_with(&digest, &content);
        assert_eq!(whole.status, 201, "{method}: {}", whole.text());
        hanging.send(&content[MIB..]);
        // The older one finds out when it ends; a PUT has then what it wanted.
        let expected = if method == "PUT" { 201 } else { 404 };
        assert_eq!(hanging.answer().status, expected, "{method}");
        let repository = Repository::of(&replicas.servers[2], "team/app");
        assert!(repository.get(&format!("blobs/{digest}")).body == content);
        assert_eq!(repository.delete(&format!("blobs/{digest}")).status, 202);
    }
}
