//! Uploads that outlast the process that began them, and those that nobody goes on with.

use crate::common::KuboNode;
use crate::common::content::{MIB, noise, sha256};
use crate::common::repository::{Upload, wait};
use crate::kubo::registry::{MFS_ROOT, Registry};

#[test]
fn an_upload_goes_on_after_its_process_was_stopped_or_killed() {
    let Some(node) = KuboNode::start() else { return };
    let more = [("STORAGE__KUBO__CLEAN_INTERVAL", "1s")];
    let mut registry = Registry::start_with(&node, &more);
    // Chunks that end where the node's do, and where they do not.
    let (bytes, sizes) = (noise(40 * MIB, 1), [7, MIB - 7, 18 * MIB + 3, 2 * MIB, 5]);
    let mut location = registry.repository("team/app").begin().location;
    let mut offset = 0;
    for (round, size) in sizes.into_iter().enumerate() {
        let sent =
            Upload::at(&registry.server, &location).chunk(offset, &bytes[offset..offset + size]);
        assert_eq!(sent.status, 202, "{}", sent.text());
        offset += size;
        location = sent.header("location").to_owned();
        if round % 2 == 0 {
            registry.server.kill();
        } else {
            registry.server.stop();
        }
        assert_eq!(node.rpc("repo/gc", &[("silent", "true")]).status, 200);
        registry.server.start_again();
        let status = Upload::at(&registry.server, &location).status();
        assert_eq!(status.header("range"), format!("0-{}", offset - 1), "{}", status.text());
    }
    let upload = Upload::at(&registry.server, &location);
    let digest = sha256(&bytes);
    let finished = upload.finish_with_chunk(&digest, offset, &bytes[offset..]);
    assert_eq!(finished.status, 201, "{}", finished.text());
    let pulled = registry.repository("team/app").get(&format!("blobs/{digest}"));
    assert!(pulled.body == bytes, "it is another");
    wait(|| uploaded_names(&node).is_empty(), "what the upload had sent is not cleaned away");
}

#[test]
fn the_blocks_of_an_unfinished_upload_are_cleaned_away() {
    let Some(node) = KuboNode::start() else { return };
    let more = [
        ("STORAGE__KUBO__CLEAN_INTERVAL", "1s"),
        ("UPLOADS__EXPIRE_AFTER", "10s"),
        ("UPLOADS__PURGE_INTERVAL", "1s"),
    ];
    let registry = Registry::start_with(&node, &more);
    let repository = registry.repository("team/app");
    let upload = repository.begin();
    assert_eq!(upload.chunk(0, &noise(3 * MIB + 1, 1)).status, 202);
    assert!(!uploaded_names(&node).is_empty());
    wait(|| uploaded_names(&node).is_empty(), "what the upload had sent is not cleaned away");
    assert_eq!(upload.status().status, 404);
    let (cancelled, bytes) = (repository.begin(), noise(2 * MIB, 2));
    assert_eq!(cancelled.chunk(0, &bytes).status, 202);
    assert_eq!(cancelled.cancel().status, 204);
    wait(|| uploaded_names(&node).is_empty(), "what was cancelled is not cleaned away");
}

/// The names by which the registry holds what has arrived.
fn uploaded_names(node: &KuboNode) -> String {
    node.ipfs(["files", "ls", &format!("{MFS_ROOT}/held")])
}
