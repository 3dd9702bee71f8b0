//! A collection of a registry whose node collects as well.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use roadstead::ipld::raw_cid;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::content::{MIB, image, noise, sha256};
use crate::common::repository::Repository;
use crate::common::{KuboNode, Pair, Postgres, Server, run, succeed};
use crate::kubo::proxy::Proxy;
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

/// Ends the session that has the writer's lock; prints a line for each.
const END_THE_SESSION: &str = "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks \
    WHERE locktype = 'advisory' AND classid = 1919902052 AND granted";

#[test]
fn nothing_is_removed_once_the_lock_was_lost() {
    fn configure(command: &mut Command) {
        command
            .env("ROADSTEAD_GC__GRACE", "1ms")
            .env("ROADSTEAD_GC__INTERVAL", "0")
            .env("ROADSTEAD_GATEWAY__ROOT_GRACE", "1ms");
    }

    let Some(node) = KuboNode::start() else { return };
    let Some(postgres) = Postgres::start(&[]) else { return };
    let postgres = Arc::new(postgres);
    let blob = noise(5000, 2);
    let hex = sha256(&blob).replace("sha256:", "");
    let (is_armed, is_lost) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let proxy = {
        let (hex, is_armed, is_lost) = (hex.clone(), Arc::clone(&is_armed), Arc::clone(&is_lost));
        // The proxy outlives the test.
        let postgres = Arc::downgrade(&postgres);
        Proxy::changing(&node.api(), move |bytes| {
            // Its rows are gone, and its name is looked for, to be removed.
            let is_about_it = bytes.windows(hex.len()).any(|part| part == hex.as_bytes());
            if is_about_it
                && is_armed.load(Ordering::Relaxed)
                && postgres.upgrade().is_some_and(|it| it.sql(END_THE_SESSION).contains('t'))
            {
                is_armed.store(false, Ordering::Relaxed);
                is_lost.store(true, Ordering::Relaxed);
            }
            bytes.to_vec()
        })
    };
    let pair = Arc::new(Pair::make_on(&proxy.url(), &node.gateway(), &postgres.url()));
    let server = Server::start_over(&pair, configure);
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(&blob);
    assert_eq!(repository.delete(&format!("blobs/{digest}")).status, 202);
    let collect = || {
        let mut command = server.command(["gc", "--now"]);
        configure(&mut command);
        run(&mut command)
    };
    let path = format!("{}/content/{}/{hex}", pair.mfs_root(), &hex[..2]);
    let is_stored = || run(&mut node.command(["files", "stat", "--hash", &path])).succeeded();
    is_armed.store(true, Ordering::Relaxed);
    let failed = collect();
    assert!(is_lost.load(Ordering::Relaxed), "{failed}");
    assert!(!failed.succeeded(), "{failed}");
    assert_eq!(pair.number("SELECT COUNT(*) FROM blobs"), 0);
    assert_eq!(pair.number("SELECT COUNT(*) FROM withdrawn WHERE forgotten = 0"), 1);
    // Another process may have recorded the same since.
    assert!(is_stored(), "it was removed");
    repository.push_blob(&blob);
    assert_eq!(repository.get(&format!("blobs/{digest}")).body, blob);
    assert_eq!(repository.delete(&format!("blobs/{digest}")).status, 202);
    for _ in 0..20 {
        let collected = collect();
        assert!(collected.succeeded(), "{collected}");
        if !is_stored() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("it is there still");
}
