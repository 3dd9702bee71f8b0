//! The index made anew out of what is on the node, and a check that finds what is not there.

use std::fs;

use crate::common::content::{MIB, OCI_MANIFEST, image, noise, sha256};
use crate::common::sqlite::execute;
use crate::common::{KuboNode, run, succeed};
use crate::kubo::proxy::Proxy;
use crate::kubo::registry::{MFS_ROOT, Registry, tree};

#[test]
fn an_index_that_was_lost_is_rebuilt_from_the_node() {
    let Some(node) = KuboNode::start() else { return };
    let mut registry = Registry::start(&node);
    // With Postgres there is no file to lose: tests/cli/rebuild.rs does that.
    if registry.server.pair().is_some() {
        return;
    }
    let layer = noise(5 * MIB, 1);
    let manifest = {
        let repository = registry.repository("team/app");
        repository.push_image("v1", "one");
        repository.push_blob(b"{}");
        repository.push_blob(&layer);
        repository.push_manifest("large", &image(b"{}", &[&layer]))
    };
    registry.repository("other/app").push_image("v2", "two");
    let paths = [
        "/v2/_catalog",
        "/v2/team/app/tags/list",
        "/v2/other/app/tags/list",
        "/v2/team/app/manifests/v1",
        "/v2/team/app/manifests/large",
        "/v2/other/app/manifests/v2",
        &format!("/v2/team/app/blobs/{}", sha256(&layer)),
    ];
    let answers = |registry: &Registry| {
        paths.map(|path| {
            let answer = crate::common::http::get(&registry.server.url(path));
            (answer.status, answer.header("docker-content-digest").to_owned(), answer.body)
        })
    };
    let (before, root) = (answers(&registry), registry.root());
    assert!(before.iter().all(|(status, ..)| *status == 200));

    registry.server.stop();
    for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = fs::remove_file(registry.server.data().join(file));
    }
    let refused = run(registry.command(["serve"]).args(["--listen", "127.0.0.1:0"]));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("run `roadstead index rebuild`"), "{refused}");
    succeed(&mut registry.command(["index", "rebuild"]));
    registry.server.start_again();
    assert!(answers(&registry) == before, "it answers in another way");
    assert_eq!(registry.root(), root);
    let repository = registry.repository("team/app");
    assert_eq!(repository.put("again", OCI_MANIFEST, &manifest).status, 201);
    registry.assert_whole(&node);
}

#[test]
fn a_check_finds_what_is_missing_on_the_node() {
    let Some(node) = KuboNode::start() else { return };
    let registry = Registry::start(&node);
    let repository = registry.repository("team/app");
    repository.push_image("v1", "one");
    let layer = noise(3 * MIB, 1);
    let digest = repository.push_blob(&layer);
    repository.push_blob(b"{}");
    repository.push_manifest("large", &image(b"{}", &[&layer]));
    registry.assert_whole(&node);

    let hex = digest.trim_start_matches("sha256:");
    let path = format!("{MFS_ROOT}/content/{}/{hex}", &hex[..2]);
    let root = node.ipfs(["files", "stat", "--hash", &path]);
    let leaf = node.ipfs(["refs", &root]).lines().nth(1).unwrap().to_owned();
    node.ipfs(["block", "rm", &leaf]);
    let report = run(&mut registry.command(["check"]));
    assert_eq!(report.code, Some(1), "{report}");
    assert!(report.stdout.contains(&digest), "{report}");

    // Whoever pushes it again mends it.
    repository.push_blob(&layer);
    registry.assert_whole(&node);
}

#[test]
fn a_tree_whose_directories_repeat_without_end_outside_repositories_is_an_error() {
    let Some(node) = KuboNode::start() else { return };
    let mut registry = Registry::start(&node);
    registry.repository("team/app").push_image("v1", "one");
    registry.server.stop();
    // A hundred folders with the same hundred files, and that twenty times: a few blocks with 200,000 names.
    let folder = tempfile::TempDir::new().unwrap();
    for number in 0..100 {
        let below = folder.path().join(number.to_string());
        fs::create_dir(&below).unwrap();
        (0..100).for_each(|name| fs::write(below.join(name.to_string()), "same").unwrap());
    }
    let added = node.ipfs(["add", "-rQ", folder.path().to_str().unwrap()]);
    let other = format!("{}/docker/registry/v2/other", tree(&node));
    node.ipfs(["files", "mkdir", &other]);
    for number in 0..20 {
        node.ipfs(["files", "cp", &format!("/ipfs/{added}"), &format!("{other}/{number}")]);
    }
    let check = run(&mut registry.command(["check"]));
    assert_eq!(check.code, Some(1), "{check}");
    assert!(format!("{check}").contains("repeat too often"), "{check}");
}

#[test]
fn a_rebuild_does_not_flush_for_each_blob() {
    let Some(node) = KuboNode::start() else { return };
    let proxy = Proxy::before(&node.api());
    let mut registry = Registry::start_with(&node, &[("STORAGE__KUBO__API", &proxy.url())]);
    for number in 0..15 {
        registry.repository("team/app").push_image(&format!("v{number}"), &format!("{number}"));
    }
    registry.server.stop();
    proxy.take();
    succeed(&mut registry.command(["index", "rebuild"]));
    let flushes = proxy.take().iter().filter(|command| *command == "files/flush").count();
    assert!(flushes < 15, "{flushes} flushes for 45 blobs");
    registry.server.start_again();
    registry.assert_whole(&node);
}

#[test]
fn what_was_done_before_a_change_that_cannot_be_carried_out_is_not_undone() {
    let Some(node) = KuboNode::start() else { return };
    let mut registry = Registry::start(&node);
    // With Postgres there is no file to change.
    if registry.server.pair().is_some() {
        return;
    }
    let digest = {
        let repository = registry.repository("team/app");
        let pushed = repository.push_image("v1", "one");
        assert_eq!(repository.delete(&format!("manifests/{}", pushed.digest)).status, 202);
        assert_eq!(repository.push_image("v1", "one").digest, pushed.digest);
        pushed.digest
    };
    registry.server.kill();
    // No version reads it, so the queue is not carried out.
    execute(
        &registry.server.data().join("index.sqlite"),
        "INSERT INTO pending_edits (intent, created) VALUES (X'7b7d', 0)",
    );
    let rebuilt = run(&mut registry.command(["index", "rebuild"]));
    let text = format!("{}{}", rebuilt.stdout, rebuilt.stderr);
    assert!(text.contains("may have lost a change that cannot be read"), "{rebuilt}");
    assert!(!text.contains("may have lost the push"), "{rebuilt}");
    registry.server.start_again();
    let answer = registry.repository("team/app").get("manifests/v1");
    assert_eq!((answer.status, sha256(&answer.body)), (200, digest));
    assert_eq!(node.rpc("repo/gc", &[("silent", "true")]).status, 200);
    registry.assert_whole(&node);
}
