//! Restorations that end early, and go on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::places::{Copy, Original};
use crate::common::{Process, Server, embedded_only, http, run, succeed};
use crate::push;

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

/// Kills a command when there is so much content.
fn kill_at(copy: &Copy, command: &mut Command, least: usize) {
    let mut process = Process::start(command, &copy.home().join("log"));
    while taken(&copy.data()) < least {
        assert!(process.ended().is_none(), "it ended early: {}", process.log());
        thread::sleep(Duration::from_micros(200));
    }
    process.kill();
    assert!(copy.data().join("restoring").exists());
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
    let copy = Copy::new();
    for least in [1, 20, 80, 2 * IMAGES + 1] {
        kill_at(&copy, &mut copy.restoring(&root, &gateway), least);
        copy.assert_unfinished();
    }
    let told = all_of(&copy, &mut copy.restoring(&root, &gateway), &root);
    assert_eq!(told["blobs"], 2 * IMAGES + 1);
    assert_eq!(told["fetched"], 0, "what was there was fetched again");
}

#[test]
fn an_import_that_was_killed_goes_on_also_where_a_restoration_ended() {
    let Some(()) = embedded_only("it looks into the store to know when to kill") else { return };
    let (server, root) = original();
    let copy = Copy::new();
    let file = copy.home().join("registry.car");
    let path = file.to_str().unwrap();
    succeed(&mut server.command(["export", path]));
    kill_at(&copy, &mut copy.restoring(&root, &server.url("")), 10);
    for least in [30, 100] {
        kill_at(&copy, &mut copy.command(&["import", path]), least);
        copy.assert_unfinished();
    }
    let told = all_of(&copy, &mut copy.command(&["import", path]), &root);
    assert!(told["fetched"].as_u64().unwrap() <= 21, "{told}");
}

#[test]
fn a_restoration_that_is_killed_at_any_time_goes_on() {
    let (server, root) = original();
    let gateway = server.url("");
    let copy = Copy::new();
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
    assert!(kills > 0, "it was never killed");
    if copy.data().join("restoring").exists() || !copy.data().exists() {
        let finished = copy.restore(&root, &gateway);
        assert!(finished.succeeded(), "{finished}");
    }
    copy.assert_is(&root);
}

#[test]
fn a_root_that_moved_on_takes_the_place_of_one_that_is_half_there() {
    let Some(()) = embedded_only("it looks into the store to know when to kill") else { return };
    let (server, old) = original();
    let gateway = server.url("");
    let copy = Copy::new();
    kill_at(&copy, &mut copy.restoring(&old, &gateway), 40);
    assert_eq!(push::delete(&server, "/v2/team/app0/manifests/v0"), 202);
    push::image(&server, "team/new", "v1", "new");
    let root = succeed(&mut server.command(["root"]));
    let told = all_of(&copy, &mut copy.restoring(&root, &gateway), &root);
    assert!(told["fetched"].as_u64().unwrap() < 100, "{told}");
}

#[test]
fn a_peer_that_is_lost_ends_it_with_how_to_go_on() {
    let mut original = Original::start();
    let gateway = original.server.url("");
    let copy = Copy::new();
    let large = "layer that takes a while ".repeat(1 << 20);
    push::image(&original.server, "team/large", "v1", &large);
    let root = succeed(&mut original.server.command(["root"]));
    let log = copy.home().join("log");
    let mut process = Process::start(&mut copy.restoring(&root, &gateway), &log);
    while original.server.log().matches("GET /ipfs/").count() < 12 {
        assert!(process.ended().is_none(), "it ended early: {}", process.log());
        thread::sleep(Duration::from_micros(200));
    }
    original.server.kill();
    while process.ended().is_none() {
        thread::sleep(Duration::from_millis(20));
    }
    let said = process.log();
    assert!(said.contains("run the same again, which goes on, or empty"), "{said}");
    assert!(said.contains("cannot be read"), "{said}");
    copy.assert_unfinished();
    original.server.start_again();
    let restored = copy.restore(&root, &original.server.url(""));
    assert!(restored.succeeded(), "{restored}");
    copy.assert_is(&root);
}
