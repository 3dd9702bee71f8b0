//! A node whose disk is full.

use reqwest::Method;

use crate::common::content::{MIB, OCI_MANIFEST, image, noise, sha256};
use crate::common::http::{self, Response};
use crate::common::repository::{Repository, assert_refused, wait};
use crate::common::{Disk, KuboNode};
use crate::kubo::registry::Registry;

/// Pushes blobs of that size until there is no more room; the refusal says so. Returns those that were
/// acknowledged.
fn fill(repository: &Repository<'_>, size: usize, seed: u64) -> Vec<String> {
    let mut digests = Vec::new();
    for number in seed.. {
        let content = noise(size, number);
        let digest = sha256(&content);
        let rest = format!("blobs/uploads/?digest={digest}");
        let push = || repository.send(Method::POST, &rest, |it| it.body(content.clone()));
        let response = push();
        if response.status == 201 {
            digests.push(digest);
            continue;
        }
        assert_no_room(&response);
        // Clients come again with the same.
        for _ in 0..2 {
            assert_no_room(&push());
        }
        return digests;
    }
    unreachable!("every disk is full at some time")
}

fn assert_no_room(response: &Response) {
    assert_refused(response, 503, "UNAVAILABLE");
    assert!(!response.header("retry-after").is_empty());
}

#[test]
fn a_node_without_room_refuses_pushes_loses_nothing_and_goes_on_when_there_is_room() {
    let Some(disk) = Disk::mount("48m") else { return };
    let Some(mut node) = KuboNode::plan().below(disk.path()).start() else { return };
    let registry = Registry::start(&node);
    let repository = registry.repository("team/app");
    let before = repository.push_image("before", "word");
    repository.push_image("going", "other");
    let (config, layer) = (repository.push_blob(b"{}"), repository.push_blob(b"waiting"));
    assert_eq!((config, layer), (sha256(b"{}"), sha256(b"waiting")));
    let waiting = image(b"{}", &[b"waiting"]).to_string().into_bytes();

    let mut stored = Vec::new();
    for (seed, size) in [(1, 3 * MIB), (1000, 100_000), (2000, 10_000)] {
        stored.extend(fill(&repository, size, seed));
    }
    assert_no_room(&repository.put("waiting", OCI_MANIFEST, &waiting));
    assert_no_room(&repository.delete("manifests/going"));
    let ready = http::get(&registry.server.url("/readyz"));
    assert_eq!(ready.status, 200, "pulls are served: {}", ready.text());
    let state = ready.json()["storage"].as_str().unwrap().to_owned();
    assert_ne!(state, "ok");
    let log = registry.server.log();
    assert!(
        log.contains("free some space, and restart the node"),
        "the cause is in the log: {log}"
    );
    assert_eq!(repository.get("manifests/before").body, before.manifest, "pulls go on");
    assert_eq!(repository.get(&format!("blobs/{}", sha256(&before.layer))).body, before.layer);

    disk.grow("128m");
    node.stop();
    node.start_again();
    let after = repository.push_image("after", "other word");
    assert_eq!(repository.put("waiting", OCI_MANIFEST, &waiting).status, 201);
    assert_eq!(repository.get("manifests/waiting").body, waiting);
    assert_eq!(repository.get("manifests/going").status, 404, "what waited is done");
    assert_eq!(repository.get("manifests/after").body, after.manifest);
    wait(|| http::get(&registry.server.url("/readyz")).status == 200, "it is not ready again");
    for digest in stored {
        let found = repository.get(&format!("blobs/{digest}"));
        assert_eq!(sha256(&found.body), digest, "{}", found.status);
    }
    registry.assert_whole(&node);
    drop(registry);
    drop(node);
}
