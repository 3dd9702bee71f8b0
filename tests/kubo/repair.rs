//! `roadstead check --repair` over a node: blocks that its disk has changed or lost, and names that are gone.

use std::fs;
use std::path::{Path, PathBuf};

use roadstead::ipld::raw_cid;
use sha2::{Digest, Sha256};

use crate::common::content::{MIB, OCI_MANIFEST, image, noise, sha256};
use crate::common::process::Finished;
use crate::common::repository::Repository;
use crate::common::{KuboNode, Server, run, succeed};
use crate::kubo::registry::{MFS_ROOT, Registry, published};

/// Finds the file of a block by its bytes.
fn block_file(folder: &Path, bytes: &[u8]) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.metadata().unwrap().len() == bytes.len() as u64
                && fs::read(&path).unwrap() == bytes
            {
                return path;
            }
        }
    }
    panic!("there is no such block");
}

fn flip(node: &KuboNode, block: &[u8]) {
    let file = block_file(&node.repository().join("blocks"), block);
    let mut wrong = block.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    fs::write(file, wrong).unwrap();
}

fn repair(registry: &Registry) -> Finished {
    run(&mut registry.command(["check", "--repair"]))
}

#[test]
fn what_the_node_has_changed_or_lost_is_put_back_or_comes_with_the_next_push() {
    let Some(node) = KuboNode::start() else { return };
    let source = Server::start_embedded();
    let mut registry = Registry::start(&node);
    let layer = noise(2 * MIB + 5, 815);
    let manifest = image(b"{}", &[&layer]).to_string().into_bytes();
    let push = |repository: &Repository<'_>| {
        repository.push_blob(&layer);
        repository.push_blob(b"{}");
        assert_eq!(repository.put("v1", OCI_MANIFEST, &manifest).status, 201);
    };
    push(&registry.repository("team/app"));
    push(&Repository::of(&source, "team/app"));
    let root = registry.root();
    assert_eq!(succeed(&mut source.command(["root"])), root);
    let blob = format!("blobs/{}", sha256(&layer));

    let heal = |registry: &Registry| {
        let report = repair(registry);
        assert!(report.succeeded() && report.stdout.contains("mended "), "{report}");
        assert!(registry.repository("team/app").get(&blob).body == layer);
        registry.assert_whole(&node);
        assert_eq!(registry.root(), root);
    };
    let comes_with_a_push = |registry: &Registry| {
        let report = repair(registry);
        assert_eq!(report.code, Some(1), "{report}");
        assert!(report.stdout.contains("the next push brings it"), "{report}");
        let repository = registry.repository("team/app");
        assert_eq!(repository.head(&blob).status, 404);
        assert_eq!(repository.get("manifests/v1").body, manifest);
        push(&repository);
        assert!(repository.get(&blob).body == layer);
        registry.assert_whole(&node);
    };

    // A name is gone by hand.
    let hex = sha256(&layer)["sha256:".len()..].to_owned();
    node.ipfs(["files", "rm", &format!("{MFS_ROOT}/content/{}/{hex}", &hex[..2])]);
    heal(&registry);
    // The index has the bytes of manifests.
    flip(&node, &manifest);
    heal(&registry);

    // A block is gone, and no other copy is known.
    let lost = raw_cid(Sha256::digest(&layer[MIB..2 * MIB]).into()).to_string();
    node.ipfs(["block", "rm", &lost]);
    comes_with_a_push(&registry);
    // A pinned block is changed, and no other copy is known.
    node.ipfs(["pin", "add", "--recursive", &format!("/ipfs/{}", published(&node))]);
    flip(&node, &layer[MIB..2 * MIB]);
    comes_with_a_push(&registry);

    // Another registry has it.
    flip(&node, &layer[..MIB]);
    flip(&node, &layer[2 * MIB..]);
    let gateway = source.url("").trim_end_matches('/').to_owned();
    registry.server.stop();
    let mut command = registry.command(["check", "--repair"]);
    let report = run(command.env("ROADSTEAD_FEDERATION__GATEWAYS", gateway));
    assert!(report.succeeded() && report.stdout.contains("from a source"), "{report}");
    registry.assert_whole(&node);
}
