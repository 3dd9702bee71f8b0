//! Copies to a node, from a node, and by files that nodes write and read.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::common::content::{MIB, image, noise, sha256};
use crate::common::repository::Repository;
use crate::common::{KuboNode, Process, Server, http, roadstead, run, succeed};
use crate::kubo::registry::{Registry, published, settings};

fn push(server: &Server) {
    let repository = Repository::of(server, "team/app");
    let layer = noise(5 * MIB, 1);
    repository.push_image("v1", "one");
    repository.push_blob(b"{}");
    repository.push_blob(&layer);
    repository.push_manifest("large", &image(b"{}", &[&layer]));
    for number in 0..30 {
        repository.push_image(&format!("n{number}"), &format!("image {number}"));
    }
}

/// A command on a data folder, with that gateway, over the node if there is one.
fn command(words: &[&str], data: &Path, gateway: &str, node: Option<&KuboNode>) -> Command {
    let mut command = roadstead(words);
    command.arg("--data").arg(data).env("ROADSTEAD_FEDERATION__GATEWAYS", gateway);
    if let Some(node) = node {
        command.envs(settings(node, &[]));
    }
    command
}

/// Kills a restoration now and then, and has everything collected that has no name; not if it was over
/// before that.
fn is_killed(words: &[&str], home: &Path, original: &Server, node: &KuboNode) -> bool {
    let mut kills = 0;
    for pause in [300, 700, 1200, 2000] {
        let mut restoring = command(words, &home.join("data"), &original.url(""), Some(node));
        let mut process = Process::start(&mut restoring, &home.join("log"));
        thread::sleep(Duration::from_millis(pause));
        if process.ended().is_some() {
            break;
        }
        process.kill();
        kills += 1;
        node.ipfs(["repo", "gc", "--quiet"]);
    }
    kills > 0
}

#[test]
fn a_registry_is_restored_into_a_node_that_is_collected_and_out_of_it_again() {
    let Some(mut node) = KuboNode::start() else { return };
    let original = Server::start_embedded();
    push(&original);
    let root = succeed(&mut original.command(["root"]));
    let words = ["restore", "--from", &root];
    let mut home = TempDir::new().unwrap();
    let mut attempts = 1;
    while !is_killed(&words, home.path(), &original, &node) {
        assert!(attempts < 10, "it was never killed");
        attempts += 1;
        home = TempDir::new().unwrap();
        node = KuboNode::start().unwrap();
    }
    let data = home.path().join("data");
    let on_node = |words: &[&str]| command(words, &data, &original.url(""), Some(&node));
    if data.join("restoring").exists() {
        let refused = run(&mut on_node(&["root"]));
        assert!(refused.stderr.contains("run `roadstead restore` or"), "{refused}");
        let restored = run(&mut on_node(&words));
        assert!(restored.succeeded(), "{restored}");
    }
    node.ipfs(["repo", "gc", "--quiet"]);
    assert_eq!(succeed(&mut on_node(&["root"])), root);
    assert_eq!(published(&node), root);
    let report = run(&mut on_node(&["check"]));
    assert!(report.succeeded(), "{report}");

    // What has images, or an index, is not filled.
    let again = run(&mut on_node(&words));
    assert_eq!(again.code, Some(1), "{again}");
    let other = home.path().join("other");
    let taken = run(&mut command(&words, &other, &original.url(""), Some(&node)));
    assert_eq!(taken.code, Some(1), "{taken}");
    assert!(taken.stderr.contains("the storage holds images, but the index is empty"), "{taken}");
    assert!(!other.join("restoring").exists());

    // And back into files.
    let archive = home.path().join("node.car");
    let path = archive.to_str().unwrap();
    assert_eq!(succeed(&mut on_node(&["export", path])), root);
    let copy = home.path().join("copy");
    succeed(
        command(&["import", path], &copy, "", None).env_remove("ROADSTEAD_FEDERATION__GATEWAYS"),
    );
    let server = Server::start_on(&copy);
    assert_eq!(succeed(&mut server.command(["root"])), root);
    let blob = format!("/v2/team/app/blobs/{}", sha256(&noise(5 * MIB, 1)));
    assert!(http::get(&server.url(&blob)).body == noise(5 * MIB, 1));
}

#[test]
fn a_registry_on_a_node_is_restored_into_files() {
    let Some(node) = KuboNode::start() else { return };
    let original = Registry::start(&node);
    push(&original.server);
    let root = original.root();
    let home = TempDir::new().unwrap();
    let data = home.path().join("data");
    let gateway = original.server.url("");
    let restored = run(&mut command(&["restore", "--from", &root], &data, &gateway, None));
    assert!(restored.succeeded(), "{restored}");
    let server = Server::start_on(&data);
    assert_eq!(succeed(&mut server.command(["root"])), root);
    assert_eq!(succeed(&mut original.command(["root"])), root);
}

#[test]
fn a_node_and_a_registry_read_and_write_the_same_archive() {
    let Some(node) = KuboNode::start() else { return };
    let server = Server::start_embedded();
    push(&server);
    let home = TempDir::new().unwrap();
    let archive = home.path().join("ours.car");
    let root = succeed(&mut server.command(["export", archive.to_str().unwrap()]));
    let output = node.ipfs(["dag", "import", archive.to_str().unwrap()]);
    assert!(output.contains(&root), "{output}");
    let folder = home.path().join("folder");
    node.ipfs(["get", "--output", folder.to_str().unwrap(), &root]);
    succeed(Command::new("diff").arg("-r").arg(&folder).arg(server.data().join("public")));

    let theirs = home.path().join("theirs.car");
    let mut export = node.command(["dag", "export", "--progress=false", &root]);
    let status = export.stdout(fs::File::create(&theirs).unwrap()).status().unwrap();
    assert!(status.success());
    assert!(fs::read(&theirs).unwrap() == fs::read(&archive).unwrap(), "they differ");
    let data = home.path().join("data");
    let mut import = roadstead(["import", theirs.to_str().unwrap(), "--data"]);
    let imported = run(import.arg(&data));
    assert!(imported.succeeded(), "{imported}");
    assert!(imported.stdout.contains(&format!("the same root {root}")), "{imported}");
}

#[test]
fn a_folder_is_adopted_into_a_node() {
    let Some(node) = KuboNode::start() else { return };
    let mut server = Server::start_embedded();
    push(&server);
    let root = succeed(&mut server.command(["root"]));
    server.stop();
    let home = TempDir::new().unwrap();
    let data = home.path().join("data");
    let folder = server.data().join("public");
    let mut adopt = roadstead(["adopt", folder.to_str().unwrap(), "--data"]);
    let adopted = run(adopt.arg(&data).envs(settings(&node, &[])));
    assert!(adopted.succeeded(), "{adopted}");
    assert_eq!(published(&node), root);
}
