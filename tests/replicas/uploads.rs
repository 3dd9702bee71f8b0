//! An upload goes on at whichever replica its next request comes to.

use crate::common::Replicas;
use crate::common::content::{MIB, noise, sha256, sha512};
use crate::common::repository::{Repository, Upload};

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
