//! What was purged is not on the node any more once that has collected what is garbage.

use roadstead::ipld::{Cid, raw_cid};
use sha2::Digest as _;

use crate::common::content::{MIB, image, noise, sha256};
use crate::common::{KuboNode, run, succeed};
use crate::kubo::registry::Registry;

fn cid(bytes: &[u8]) -> Cid {
    raw_cid(sha2::Sha256::digest(bytes).into())
}

fn has(node: &KuboNode, bytes: &[u8]) -> bool {
    let cid = cid(bytes).to_string();
    run(&mut node.command(["block", "stat", "--offline", &cid])).succeeded()
}

#[test]
fn purged_blocks_are_gone_after_a_collection_and_no_others() {
    let Some(node) = KuboNode::start() else { return };
    let mut registry = Registry::start(&node);
    let secret = noise(2 * MIB + 10, 3);
    let leaves: Vec<&[u8]> = secret.chunks(MIB).collect();
    let repository = registry.repository("team/app");
    for blob in [&secret[..], b"config", b"base", b"other"] {
        repository.push_blob(blob);
    }
    let base = repository.push_manifest("base", &image(b"other", &[b"base"]));
    let oops = repository.push_manifest("oops", &image(b"config", &[&secret, b"base"]));
    registry.root();
    succeed(registry.command(["purge"]).arg(format!("team/app@{}", sha256(&oops))));
    node.ipfs(["repo", "gc", "--quiet"]);
    for gone in leaves.iter().copied().chain([&b"config"[..], &oops]) {
        assert!(!has(&node, gone), "{}", cid(gone));
    }
    for stays in [&b"base"[..], b"other", &base] {
        assert!(has(&node, stays), "{}", cid(stays));
    }
    registry.assert_whole(&node);
    // So it is after a restart, and what is pushed again is there as before.
    registry.server.stop();
    registry.server.start_again();
    let repository = registry.repository("team/app");
    for blob in [&secret[..], b"config"] {
        repository.push_blob(blob);
    }
    repository.push_manifest("oops", &image(b"config", &[&secret, b"base"]));
    node.ipfs(["repo", "gc", "--quiet"]);
    assert!(leaves.iter().all(|leaf| has(&node, leaf)));
    registry.assert_whole(&node);
}
