//! Restorations that end early, and go on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::copies::{Copy, Original};
use super::proxy::{Manner, Proxy};
use crate::cli::push;
use crate::common::{Process, Server, embedded_only, http, run, succeed};

/// How many images there are, each with a layer, a manifest and the config that all share.
const IMAGES: usize = 60;

fn original() -> (Server, String) {
    let server = Server::start();
    for number in 0..IMAGES {
        let name = format!("team/app{}", number % 20);
        push::image(&server, &name, &format!("v{number}"), &format!("layer {number}"));
    }
    let root = succeed(&mut server.command(["root"]));
    (server, root)
}

/// How much content there is in a data folder.
fn taken(data: &Path) -> usize {
    let shards = fs::read_dir(data.join("content/sha256")).into_iter().flatten();
    shards.map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}

/// Kills a command when there is so much content; none if it made a whole copy before that.
fn kill_at(copy: &Copy, command: &mut Command, least: usize, root: &str) -> Option<()> {
    let mut process = Process::start(command, &copy.home().join("log"));
    while taken(&copy.data()) < least {
        if let Some(status) = process.ended() {
            assert!(status.success(), "{}", process.log());
            copy.assert_is(root);
            return None;
        }
        thread::sleep(Duration::from_micros(200));
    }
    process.kill();
    if !copy.data().join("restoring").exists() {
        copy.assert_is(root);
        return None;
    }
    copy.assert_unfinished();
    Some(())
}

/// Tries it with one copy after the other, until what it kills is killed in time.
fn in_time(attempt: impl Fn(&Copy) -> Option<()>) {
    let done = (0..10).find_map(|_| attempt(&Copy::new()));
    assert!(done.is_some(), "it was never killed in time");
}

fn all_of(copy: &Copy, command: &mut Command, root: &str) -> serde_json::Value {
    let finished = run(command.arg("--json"));
    assert!(finished.succeeded(), "{finished}");
    copy.assert_is(root);
    let server = copy.serve();
    assert_eq!(http::get(&server.url("/v2/team/app19/manifests/v59")).status, 200);
    serde_json::from_str(&finished.stdout).unwrap()
}

#[test]
fn a_restoration_that_was_killed_goes_on_and_serves_nothing_before() {
    let Some(()) = embedded_only("it looks into the store to know when to kill") else { return };
    let (server, root) = original();
    let gateway = server.url("");
    in_time(|copy| {
        for least in [1, 20, 80, 2 * IMAGES + 1] {
            kill_at(copy, &mut copy.restoring(&root, &gateway), least, &root)?;
        }
        let summary = all_of(copy, &mut copy.restoring(&root, &gateway), &root);
        assert_eq!(summary["blobs"], 2 * IMAGES + 1);
        assert_eq!(summary["fetched"], 0, "what was there was fetched again");
        Some(())
    });
}

#[test]
fn an_import_that_was_killed_goes_on_also_where_a_restoration_ended() {
    let Some(()) = embedded_only("it looks into the store to know when to kill") else { return };
    let (server, root) = original();
    let home = TempDir::new().unwrap();
    let file = home.path().join("registry.car");
    let path = file.to_str().unwrap();
    succeed(&mut server.command(["export", path]));
    in_time(|copy| {
        kill_at(copy, &mut copy.restoring(&root, &server.url("")), 10, &root)?;
        for least in [30, 100] {
            kill_at(copy, &mut copy.command(&["import", path]), least, &root)?;
        }
        let summary = all_of(copy, &mut copy.command(&["import", path]), &root);
        assert!(summary["fetched"].as_u64().unwrap() <= 21, "{summary}");
        Some(())
    });
}

#[test]
fn a_restoration_that_is_killed_at_any_time_goes_on() {
    let (server, root) = original();
    let gateway = server.url("");
    in_time(|copy| {
        let mut kills = 0;
        for pause in [20, 60, 150, 300, 500, 700, 900, 1200] {
            let log = copy.home().join("log");
            let mut process = Process::start(&mut copy.restoring(&root, &gateway), &log);
            thread::sleep(Duration::from_millis(pause));
            if process.ended().is_some() {
                break;
            }
            process.kill();
            kills += 1;
        }
        if copy.data().join("restoring").exists() || !copy.data().exists() {
            let finished = copy.restore(&root, &gateway);
            assert!(finished.succeeded(), "{finished}");
        }
        copy.assert_is(&root);
        (kills > 0).then_some(())
    });
}

#[test]
fn a_newer_root_replaces_one_that_is_half_there() {
    let Some(()) = embedded_only("it looks into the store to know when to kill") else { return };
    in_time(|copy| {
        let (server, old) = original();
        let gateway = server.url("");
        kill_at(copy, &mut copy.restoring(&old, &gateway), 40, &old)?;
        assert_eq!(push::delete(&server, "/v2/team/app0/manifests/v0"), 202);
        push::image(&server, "team/new", "v1", "new");
        let root = succeed(&mut server.command(["root"]));
        let summary = all_of(copy, &mut copy.restoring(&root, &gateway), &root);
        assert!(summary["fetched"].as_u64().unwrap() < 100, "{summary}");
        Some(())
    });
}

#[test]
fn a_peer_that_is_lost_ends_it_with_how_to_go_on() {
    let original = Original::start();
    let proxy = Proxy::start(original.server.address(), Manner::Lost);
    let copy = Copy::new();
    let failed = copy.restore(&original.root, &proxy.url());
    assert_eq!(failed.code, Some(1), "{failed}");
    let stderr = &failed.stderr;
    assert!(stderr.contains("run the same command again to continue, or empty"), "{stderr}");
    assert!(stderr.contains("cannot read"), "{stderr}");
    copy.assert_unfinished();
    let restored = copy.restore(&original.root, &original.server.url(""));
    assert!(restored.succeeded(), "{restored}");
    copy.assert_is(&original.root);
}
