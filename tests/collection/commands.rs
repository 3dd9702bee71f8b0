//! `roadstead gc`: beside a server, without one, and over the management API.

use serde_json::json;

use super::{collect, collect_all, configure, gc, start};
use crate::common::content::{image, noise, sha256};
use crate::common::repository::{Repository, wait};
use crate::common::{Server, http, run, succeed};

fn root(server: &Server) -> String {
    succeed(&mut server.command(["root"]))
}

#[test]
fn what_nothing_names_goes_beside_a_server_and_without_one() {
    for beside in [true, false] {
        let mut server = start("1ms");
        let app = Repository::of(&server, "team/app");
        let (base, own, gone) = (noise(2_000_000, 1), noise(5000, 2), noise(1_200_000, 3));
        for blob in [&base, &own] {
            app.push_blob(blob);
        }
        app.push_blob(b"{}");
        let kept = app.push_manifest("kept", &image(b"{}", &[&base, &own]));
        let without = root(&server);
        app.push_blob(&gone);
        let deleted = app.push_manifest("gone", &image(b"{}", &[&base, &gone]));
        app.push_blob(b"a stray blob");
        root(&server);
        assert_eq!(app.delete(&format!("manifests/{}", sha256(&deleted))).status, 202);
        if !beside {
            server.stop();
        }
        let planned = run(&mut gc(&server, &["--dry-run", "--verbose"]));
        assert!(planned.succeeded(), "{planned}");
        assert!(planned.stdout.contains("nothing was changed"), "{planned}");
        let collected = collect_all_counting(&server);
        assert!(collected >= 1_200_000, "{collected} bytes");
        if !beside {
            server.start_again();
        }
        let app = Repository::of(&server, "team/app");
        assert_eq!(app.get("manifests/kept").body, kept);
        assert_eq!(app.get(&format!("blobs/{}", sha256(&base))).body, base);
        for blob in [&gone[..], b"a stray blob"] {
            assert_eq!(app.head(&format!("blobs/{}", sha256(blob))).status, 404);
        }
        assert_eq!(root(&server), without);
        let again = run(&mut gc(&server, &[]));
        assert!(again.succeeded() && again.stdout.contains("nothing to collect"), "{again}");
        let report = run(&mut server.command(["check"]));
        assert!(report.succeeded(), "{report}");
        let metrics = http::get(&server.url("/metrics")).text();
        assert!(metrics.contains("\nroadstead_collection_age_seconds "), "{metrics}");
    }
}

/// Collects all there is, and returns how many bytes that were.
fn collect_all_counting(server: &Server) -> u64 {
    let first = collect(server);
    let mut bytes = first["bytes"].as_u64().expect("it is a number");
    for _ in 0..50 {
        let more = collect(server)["bytes"].as_u64().expect("it is a number");
        bytes += more;
        if bytes >= 1_200_000 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    collect_all(server);
    bytes
}

#[test]
fn what_is_young_stays_and_the_command_says_why() {
    let server = start("1h");
    let app = Repository::of(&server, "team/app");
    let blob = noise(5000, 1);
    app.push_blob(&blob);
    let collected = collect(&server);
    assert_eq!(collected["bytes"], 0);
    assert_eq!(collected["retained"], json!([{ "reason": "grace", "count": 1, "bytes": 5000 }]));
    let text = succeed(&mut gc(&server, &["--now", "--verbose"]));
    assert!(text.contains("nothing to collect") && text.contains("gc.grace"), "{text}");
    assert_eq!(app.head(&format!("blobs/{}", sha256(&blob))).status, 200);
}

#[test]
fn a_server_collects_by_itself() {
    let server = Server::start_with(|command| {
        configure(command, "1ms");
        command.env("ROADSTEAD_GC__INTERVAL", "200ms");
    });
    let app = Repository::of(&server, "team/app");
    app.push_blob(b"a stray blob");
    // Each look would renew it.
    let is_taken = |line: &str| line.contains("collected garbage") && line.contains("\"blobs\":1,");
    wait(|| server.log().lines().any(is_taken), "nothing is collected");
    assert_eq!(app.head(&format!("blobs/{}", sha256(b"a stray blob"))).status, 404);
}
