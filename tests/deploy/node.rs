//! `config/kubo.sh`, on a real repository, and docs/KUBO.md, which explains it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{KuboNode, require, run, succeed};
use crate::deploy::{path, text};

/// The settings that the script makes.
fn names() -> Vec<String> {
    let name = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["ipfs", "config", "profile", ..] => None,
            ["ipfs", "config", "--json", name, ..] | ["ipfs", "config", name, ..] => {
                Some(name.to_owned())
            }
            _ => None,
        }
    };
    text("config/kubo.sh").lines().filter_map(name).collect()
}

fn setting(config: &Value, name: &str) -> Value {
    name.split('.').fold(config.clone(), |value, part| value[part].clone())
}

fn config(repository: &Path) -> Value {
    serde_json::from_slice(&fs::read(repository.join("config")).unwrap()).unwrap()
}

#[test]
fn a_new_node_gets_the_settings_that_the_tests_run_with() {
    let Some(program) = require("ipfs") else { return };
    let home = TempDir::new().unwrap();
    let (tested, ours) = (home.path().join("tested"), home.path().join("ours"));
    let mut script = Command::new(path("scripts/kubo-node"));
    succeed(script.arg(&tested).args(["1", "2"]).env("ROADSTEAD_TEST_IPFS", &program));

    // As the image does it: a new repository, then the script at each start, in a plain shell.
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(&program, bin.join("ipfs")).unwrap();
    let search_path = format!("{}:/usr/bin:/bin", bin.display());
    let prepare = |command: &mut Command| {
        succeed(
            command.env("PATH", &search_path).env("IPFS_PATH", &ours).env("IPFS_TELEMETRY", "off"),
        )
    };
    prepare(Command::new("ipfs").args(["init", "--profile=server", "--empty-repo"]));
    prepare(Command::new("sh").arg(path("config/kubo.sh")));
    let once = config(&ours);
    prepare(&mut Command::new(path("config/kubo.sh")));
    assert_eq!(config(&ours), once, "repeating it changes nothing");

    let tested = config(&tested);
    assert!(names().len() > 8, "{:?}", names());
    for name in names() {
        let ours = setting(&once, &name);
        assert_eq!(ours, setting(&tested, &name), "{name}");
        assert!(!ours.is_null(), "{name}");
    }
    assert_eq!(setting(&once, "Import"), setting(&tested, "Import"), "the profile");
    assert_eq!(setting(&once, "Import.CidVersion"), 1);
    assert_eq!(setting(&once, "Datastore.Spec.mounts")[0]["sync"], true);
    // What makes a repository one of its kind is as it was: Kubo refuses another.
    prepare(Command::new("ipfs").args(["repo", "stat", "--size-only"]));
}

/// What the page calls the last resort.
#[test]
fn a_node_that_lost_its_root_of_files_starts_again_and_gets_back_the_folder_whose_cid_is_known() {
    let Some(mut node) = KuboNode::start() else { return };
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "content").unwrap();
    let cid = node.ipfs(["add", "-rQ", "--pin=false", &folder.path().display().to_string()]);
    node.ipfs(["files", "cp", &format!("/ipfs/{cid}"), "/roadstead"]);
    let known = node.ipfs(["files", "stat", "--hash", "/roadstead"]);
    // As other programs may: a collection between a change and its flush, then a crash.
    for (call, arguments) in [
        ("files/mkdir", &[("arg", "/other"), ("flush", "false")][..]),
        ("files/cp", &[("arg", "/roadstead"), ("arg", "/other/too"), ("flush", "false")]),
        ("repo/gc", &[]),
    ] {
        let answer = node.rpc(call, arguments);
        assert_eq!(answer.status, 200, "{call}: {}", answer.text());
    }
    node.kill();
    let started = run(node.offline().arg("daemon"));
    assert!(started.stderr.contains("error loading filesroot"), "{started}");

    succeed(node.offline().args(["files", "chroot", "--confirm"]));
    node.start_again();
    assert_eq!(node.ipfs(["files", "ls"]), "");
    node.ipfs(["files", "cp", &format!("/ipfs/{known}"), "/roadstead"]);
    assert_eq!(node.ipfs(["files", "read", "/roadstead/file"]), "content");
}
