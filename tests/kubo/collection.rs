//! A collection of a registry whose node collects as well.

use roadstead::ipld::raw_cid;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::content::{MIB, image, noise, sha256};
use crate::common::{KuboNode, succeed};
use crate::kubo::registry::Registry;

/// Returns the leaves of bytes that the node has, out of how many.
fn leaves(node: &KuboNode, bytes: &[u8]) -> (usize, usize) {
    let stored = node.rpc("refs/local", &[]).text();
    let leaves: Vec<String> =
        bytes.chunks(MIB).map(|leaf| raw_cid(Sha256::digest(leaf).into()).to_string()).collect();
    // The node lists blocks by their hashes, under one codec.
    let hash =
        |cid: &str| cid.parse::<roadstead::ipld::Cid>().ok().map(|cid| cid.hash().to_bytes());
    let known: std::collections::HashSet<Vec<u8>> = stored
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|line| hash(line["Ref"].as_str()?))
        .collect();
    let found = leaves.iter().filter(|leaf| hash(leaf).is_some_and(|hash| known.contains(&hash)));
    (found.count(), leaves.len())
}

#[test]
fn blocks_of_what_goes_leave_the_node_and_all_others_stay() {
    let Some(node) = KuboNode::start() else { return };
    let settings = [
        ("GC__GRACE", "1ms"),
        ("GC__INTERVAL", "0"),
        ("GATEWAY__ROOT_GRACE", "1ms"),
        ("STORAGE__KUBO__COLLECT", "true"),
    ];
    let registry = Registry::start_with(&node, &settings);
    let repository = registry.repository("team/app");
    let (base, own, gone) = (noise(2 * MIB + 5, 1), noise(5000, 2), noise(3 * MIB, 3));
    for blob in [&base, &own, &gone] {
        repository.push_blob(blob);
    }
    repository.push_blob(b"{}");
    let kept = repository.push_manifest("kept", &image(b"{}", &[&base, &own]));
    let without = registry.root();
    let deleted = repository.push_manifest("gone", &image(b"{}", &[&base, &gone]));
    registry.root();
    assert_eq!(repository.delete(&format!("manifests/{}", sha256(&deleted))).status, 202);
    assert_eq!(leaves(&node, &gone), (3, 3));
    for _ in 0..20 {
        succeed(&mut registry.command(["gc", "--now"]));
        if leaves(&node, &gone).0 == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(leaves(&node, &gone), (0, 3));
    assert_eq!(leaves(&node, &base), (3, 3));
    assert_eq!(repository.get("manifests/kept").body, kept);
    for blob in [&base, &own] {
        assert!(repository.get(&format!("blobs/{}", sha256(blob))).body == *blob);
    }
    assert_eq!(registry.root(), without);
    registry.assert_whole(&node);
    // What went comes back as if it had never been there.
    repository.push_blob(&gone);
    repository.push_manifest("gone", &image(b"{}", &[&base, &gone]));
    assert!(repository.get(&format!("blobs/{}", sha256(&gone))).body == gone);
    registry.assert_whole(&node);
}
