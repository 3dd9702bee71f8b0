//! Connections that break, and commands that are killed: the same command goes on, and nobody sees half of anything.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::made::{Made, config, contents, digest};
use super::{Roadstead, oci};
use crate::clients::chaos::proxy::Proxy;
use crate::clients::link::{Link, Manner};
use crate::clients::registry::Registry;
use crate::common::Process;
use crate::common::content::{MIB, noise};
use crate::common::dice::Dice;

fn layout(layers: u64, size: usize) -> (Made, String) {
    let made = Made::new();
    let layers: Vec<Vec<u8>> = (0..layers).map(|seed| noise(size, 50 + seed)).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let root = made.image_of(&config("amd64"), &layers);
    let name = digest(&root).to_owned();
    (made.finish(&[root]), name)
}

#[test]
fn a_pull_goes_on_where_connections_are_cut() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let (layout, root) = layout(4, 3 * MIB);
    client.say(&["push", &oci(layout.path()), &registry.reference("app:v1")]);
    let manner = Manner { cuts: 6, cut_after: MIB, ..Manner::default() };
    let link = Link::start(registry.target().address(), manner);
    let folder = TempDir::new().expect("a temporary folder can be made");
    let app = format!("{}/app:v1", link.address());
    assert_eq!(client.say(&["pull", "--quiet", &app, &oci(folder.path())]), root);
    assert_eq!(contents(folder.path()).0, contents(layout.path()).0);
    assert_eq!(link.cut(), 6);
    assert!(link.take() < 12 * MIB * 3 / 2, "what had come is not fetched again");
    // A copy reads by such a link as well.
    let link = Link::start(registry.target().address(), manner);
    let other = Registry::start();
    let (from, to) = (format!("{}/app:v1", link.address()), other.reference("copy/app:v1"));
    assert_eq!(client.say(&["copy", "--quiet", &from, &to]), root);
    assert_eq!(link.cut(), 6);
}

#[test]
fn a_push_goes_on_through_a_network_that_fails_at_each_step() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let mut dice = Dice::cast();
    let upstream = Arc::new(Mutex::new(registry.target().address().to_owned()));
    let proxy = Proxy::start(&upstream, dice.branch());
    let mut faults = 0;
    for push in 0..20 {
        let made = Made::new();
        let bytes: Vec<Vec<u8>> = (0..3).map(|_| dice.bytes(MIB)).collect();
        let bytes: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
        let root = made.image_of(&config("amd64"), &bytes);
        let layout = made.finish(std::slice::from_ref(&root));
        proxy.trouble();
        let app = format!("{}/app:v{push}", proxy.address());
        // A network that fails many times in a row is reported, and the push repeated.
        let push_once = || client.run(&["push", "--quiet", &oci(layout.path()), &app]);
        let pushed = (0..5).map(|_| push_once()).find(crate::common::Finished::succeeded);
        let pushed = pushed.expect("one of five goes through");
        assert_eq!(pushed.stdout.trim(), digest(&root));
        assert_eq!(registry.digest("app", &format!("v{push}")), digest(&root));
        faults = proxy.met().values().sum::<usize>();
        if push >= 4 && faults >= 3 {
            break;
        }
    }
    assert!(faults >= 3, "the network did not fail");
}

/// How many bytes a layout has, parts included.
fn written(layout: &Path) -> u64 {
    let folders = [".parts", "blobs/sha256"].map(|name| layout.join(name));
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    files.filter_map(|file| file.ok()?.metadata().ok()).map(|file| file.len()).sum()
}

/// Killed in the middle, by SIGKILL and by Ctrl-C: no index names what is not there, and what came is used.
#[test]
fn a_pull_that_is_killed_leaves_nothing_half_done_and_goes_on() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let (layout, root) = layout(3, 4 * MIB);
    client.say(&["push", &oci(layout.path()), &registry.reference("app:v1")]);
    let folder = TempDir::new().expect("a temporary folder can be made");
    for is_archive in [false, true] {
        let to = if is_archive {
            format!("docker-archive:{}", folder.path().join("app.tar").display())
        } else {
            oci(&folder.path().join("app"))
        };
        // But for some heads.
        let mut due = 7 * MIB as u64 - 100_000;
        for (is_kill, stop_after) in [(true, 7 * MIB), (false, 2 * MIB)] {
            let manner = Manner { stop_after, ..Manner::default() };
            let link = Link::start(registry.target().address(), manner);
            let app = format!("{}/app:v1", link.address());
            let mut pull = client.command(&["pull", "--platform", "linux/amd64", &app, &to]);
            let mut process = Process::start(&mut pull, &folder.path().join("log"));
            let mut passed = 0;
            // Nothing more comes from here on.
            process.wait_until(Duration::from_mins(2), || {
                passed += link.take();
                passed >= stop_after && (is_archive || written(&folder.path().join("app")) >= due)
            });
            due += 2 * MIB as u64;
            if is_kill {
                process.kill();
            } else {
                assert_eq!(process.interrupt().code(), Some(130));
                let log = process.log();
                assert!(log.contains("run the same command again"), "{log}");
            }
            let name = if is_archive { "app.tar" } else { "app/index.json" };
            assert!(!folder.path().join(name).exists());
        }
        let link = Link::start(registry.target().address(), Manner::default());
        let app = format!("{}/app:v1", link.address());
        let pulled = client.json(&["pull", "--platform", "linux/amd64", &app, &to]);
        assert_eq!(pulled["digest"], json!(root));
        if !is_archive {
            assert!(link.take() < 4 * MIB, "what had come is fetched again");
            assert_eq!(contents(&folder.path().join("app")).0, contents(layout.path()).0);
        }
    }
    assert!(folder.path().join("app.tar").exists());
    let left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

/// Parts and blobs of a layout that have other bytes than they should are not used.
#[test]
fn what_a_layout_has_is_checked_before_it_is_used() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let (layout, root) = layout(2, MIB);
    let app = registry.reference("app:v1");
    client.say(&["push", &oci(layout.path()), &app]);
    let folder = TempDir::new().expect("a temporary folder can be made");
    let to = oci(folder.path());
    client.say(&["pull", &app, &to]);
    let files = contents(folder.path()).0;
    for name in &files {
        let path = folder.path().join("blobs").join(name.replacen(':', "/", 1));
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(&path, &bytes).unwrap();
    }
    // A part with other bytes, too.
    let layer = files.iter().find(|name| **name != root).unwrap();
    let path = folder.path().join("blobs").join(layer.replacen(':', "/", 1));
    let bytes = fs::read(&path).unwrap();
    fs::create_dir_all(folder.path().join(".parts")).unwrap();
    fs::write(
        folder.path().join(".parts").join(layer.replacen(':', "-", 1)),
        &bytes[..bytes.len() / 2],
    )
    .unwrap();
    client.say(&["pull", &app, &to]);
    assert_eq!(contents(folder.path()).0, files);
    // A registry that has nothing of it gets no manifest of a layout with other bytes.
    let damaged = fs::read(&path).unwrap().iter().map(|byte| byte ^ 1).collect::<Vec<u8>>();
    fs::write(&path, damaged).unwrap();
    let other = Registry::start();
    let image = other.reference("other:v1");
    assert_eq!(client.run(&["push", &to, &image]).code, Some(1));
    assert!(other.find("other", "v1").is_none());
}
