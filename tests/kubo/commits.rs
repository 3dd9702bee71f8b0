//! What a commit asks the node for, and how often it computes a tree.

use std::collections::BTreeMap;

use roadstead::ipld::Block;

use crate::common::content::{OCI_MANIFEST, image, noise};
use crate::common::repository::wait;
use crate::common::{KuboNode, http};
use crate::kubo::proxy::Proxy;
use crate::kubo::registry::Registry;

const LAYERS: u64 = 10;

/// Asks for what is not there, for which the server computes the public root.
fn ask_for_the_root(registry: &Registry, seed: u64) {
    let cid = Block::raw(noise(40, seed).into()).cid;
    let answer = http::get(&registry.server.url(&format!("/ipfs/{cid}?format=raw")));
    assert_eq!(answer.status, 404, "{}", answer.text());
}

/// Pushes an image of several layers, and returns the commands that its manifest had the node asked for, how many of
/// each.
fn push(registry: &Registry, proxy: &Proxy, number: u64) -> BTreeMap<String, usize> {
    let repository = registry.repository("team/app");
    let layers: Vec<Vec<u8>> = (0..LAYERS).map(|layer| noise(1000, 100 * number + layer)).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    for blob in layers.iter().chain([&&b"{}"[..]]) {
        repository.push_blob(blob);
    }
    let manifest = image(b"{}", &layers).to_string().into_bytes();
    proxy.take();
    let put = repository.put(&format!("v{number}"), OCI_MANIFEST, &manifest);
    assert_eq!(put.status, 201, "{}", put.text());
    let mut counts = BTreeMap::new();
    for command in proxy.take() {
        *counts.entry(command).or_default() += 1;
    }
    counts
}

fn folds(registry: &Registry) -> usize {
    registry.server.log().matches("folded edits into a tree").count()
}

#[test]
fn a_commit_computes_its_tree_once_and_reads_nothing_from_the_node_twice() {
    let Some(node) = KuboNode::start() else { return };
    let proxy = Proxy::before(&node.api());
    let api = proxy.url();
    let registry = Registry::start_with(
        &node,
        &[("STORAGE__KUBO__API", &api), ("LOG__LEVEL", "info,roadstead::storage=trace")],
    );
    push(&registry, &proxy, 1);
    ask_for_the_root(&registry, 1);
    let before = folds(&registry);
    let counts = push(&registry, &proxy, 2);
    ask_for_the_root(&registry, 2);
    wait(|| folds(&registry) > before, "the log says it");
    assert_eq!(folds(&registry), before + 1, "{}", registry.server.log());

    // The process itself has just stored all that the manifest names.
    assert!(!counts.contains_key("files/stat"), "{counts:?}");
    // Names for the new blocks, of which the manifest is one, and for the snapshot.
    assert_eq!((counts["files/cp"], counts["block/put"]), (2, 1), "{counts:?}");
    assert!(counts["files/ls"] <= 2 && !counts.contains_key("block/get"), "{counts:?}");
    assert!(counts["dag/import"] <= 8, "{counts:?}");
    registry.assert_whole(&node);
}

#[test]
fn what_another_process_would_compute_is_what_is_known_without() {
    let Some(node) = KuboNode::start() else { return };
    let mut registry = Registry::start(&node);
    let repository = registry.repository("team/app");
    let pushed: Vec<_> = (0..5)
        .map(|number| repository.push_image(&format!("v{number}"), &number.to_string()))
        .collect();
    ask_for_the_root(&registry, 3);
    registry.assert_whole(&node);
    // Each kind of change, some of which come to nothing.
    assert_eq!(repository.delete("manifests/v1").status, 202);
    assert_eq!(repository.delete("manifests/v1").status, 404);
    assert_eq!(repository.delete(&format!("manifests/{}", pushed[2].digest)).status, 202);
    repository.push_image("v0", "0");
    repository.push_image("v0", "0");
    ask_for_the_root(&registry, 4);
    registry.assert_whole(&node);
    // After a restart nothing is known of what was applied before it.
    repository.push_image("v9", "nine");
    registry.server.kill();
    registry.server.start_again();
    let repository = registry.repository("team/app");
    repository.push_image("v10", "ten");
    ask_for_the_root(&registry, 5);
    registry.assert_whole(&node);
}
