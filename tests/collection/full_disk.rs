//! A full disk is emptied by a collection.

use reqwest::Method;

use super::{collect, configure};
use crate::common::content::{MIB, OCI_MANIFEST, image, noise, sha256};
use crate::common::repository::{Repository, assert_refused};
use crate::common::{Disk, Server, embedded_only, run};

/// Pushes blobs of that size until there is no more space.
fn fill(repository: &Repository<'_>, size: usize, first: u64) -> u64 {
    for number in first.. {
        let content = noise(size, number);
        let rest = format!("blobs/uploads/?digest={}", sha256(&content));
        let response = repository.send(Method::POST, &rest, |it| it.body(content));
        if response.status != 201 {
            assert_refused(&response, 507, "UNAVAILABLE");
            return number;
        }
    }
    unreachable!("every disk is full at some time")
}

#[test]
fn a_full_disk_is_emptied_by_a_collection() {
    let Some(()) = embedded_only("the disk is the data folder's") else { return };
    let Some(disk) = Disk::mount("48m") else { return };
    let data = disk.path().join("data");
    let server = Server::start_on_with(&data, |command| configure(command, "1ms"));
    let repository = Repository::of(&server, "team/app");
    let before = repository.push_image("before", "word");
    repository.push_blob(b"{}");
    let mut number = 1;
    for size in [3 * MIB, 100_000, 1000] {
        number = fill(&repository, size, number) + 1;
    }
    let manifest = image(b"{}", &[b"word"]).to_string().into_bytes();
    let refused = repository.put("after", OCI_MANIFEST, &manifest);
    let is_full = refused.status == 507;
    let collected = collect(&server);
    assert!(collected["bytes"].as_u64() > Some(20_000_000), "{collected}");
    // What it took too little space to refuse is there.
    if is_full {
        repository.push_blob(b"{}");
    }
    repository.push_blob(b"word");
    repository.push_blob(b"{}");
    assert_eq!(repository.put("after", OCI_MANIFEST, &manifest).status, 201);
    repository.push_blob(&noise(10 * MIB, 9999));
    assert_eq!(repository.get("manifests/before").body, before.manifest);
    let report = run(&mut server.command(["check"]));
    assert!(report.succeeded(), "{report}");
    assert!(data.join("tmp/reserve").exists(), "space is reserved again");
    drop(server);
}
