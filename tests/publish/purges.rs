//! A purge of a registry that publishes: the root without it is published at once, and roots from before are served
//! but for it.

use roadstead::ipld::raw_cid;
use serde_json::Value;
use sha2::Digest as _;

use crate::common::content::{image, sha256};
use crate::common::repository::{Repository, wait};
use crate::common::{Server, http, run, succeed};
use crate::publish::publisher::{Publisher, wait_long};
use crate::publish::replicas::Two;

fn cid(bytes: &[u8]) -> String {
    raw_cid(sha2::Sha256::digest(bytes).into()).to_string()
}

fn status(server: &Server, cid: &str) -> u16 {
    http::get(&server.url(&format!("/ipfs/{cid}?format=raw"))).status
}

/// Pushes an image of a base and a secret layer; returns its manifest.
fn push(server: &Server) -> Vec<u8> {
    let repository = Repository::of(server, "team/app");
    for blob in [&b"secret"[..], b"base", b"config", b"other"] {
        repository.push_blob(blob);
    }
    repository.push_manifest("base", &image(b"other", &[b"base"]));
    repository.push_manifest("oops", &image(b"config", &[b"secret", b"base"]))
}

#[test]
fn the_root_without_what_was_purged_is_published_at_once_beside_a_server_and_without_one() {
    for beside in [true, false] {
        // The server itself would publish it an hour later.
        let Some(mut publisher) = Publisher::start_with(|command| {
            command.env("ROADSTEAD_PUBLISH__DEBOUNCE", "1h");
        }) else {
            return;
        };
        let oops = push(&publisher.server);
        succeed(&mut publisher.command(["publish"]));
        let before = publisher.wait_until_published();
        if !beside {
            publisher.server.stop();
        }
        let mut command = publisher.command(["purge"]);
        command.args([&format!("team/app@{}", sha256(&oops)), "--json"]);
        let purged: Value = serde_json::from_str(&succeed(&mut command)).unwrap();
        let root = purged["root"].as_str().unwrap();
        assert_ne!(root, before);
        publisher.wait_for(root);
        if !beside {
            publisher.server.start_again();
        }
        let server = &publisher.server;
        for gone in [&b"secret"[..], b"config", &oops] {
            assert_eq!(status(server, &cid(gone)), 404, "{gone:?}");
        }
        // Whoever resolved the earlier root a moment ago reads the rest of it.
        for stays in [&before, root, &cid(b"base"), &cid(b"other")] {
            assert_eq!(status(server, stays), 200, "{stays}");
        }
        assert!(run(&mut server.command(["check"])).succeeded());
    }
}

#[test]
fn the_node_keeps_nothing_of_what_was_purged_for_earlier_published_roots() {
    let Some(two) = Two::start(|command| {
        command
            .env("ROADSTEAD_PUBLISH__KEEP", "1h")
            .env("ROADSTEAD_STORAGE__KUBO__CLEAN_INTERVAL", "1s");
    }) else {
        return;
    };
    let oops = push(&two.servers[0]);
    let before = two.wait_until_published();
    let mut command = two.servers[0].command(["purge"]);
    succeed(command.arg(format!("team/app@{}", sha256(&oops))));
    let after = two.wait_until_published();
    assert_ne!(before, after);
    let pins = two.node.ipfs(["pin", "ls", "--type=recursive", "--names"]);
    assert!(!pins.contains(&before), "{pins}");
    wait_long(
        || {
            two.node.ipfs(["repo", "gc", "--quiet"]);
            [&b"secret"[..], b"config", &oops].iter().all(|gone| {
                let cid = cid(gone);
                !run(&mut two.node.command(["block", "stat", "--offline", &cid])).succeeded()
            })
        },
        "the node has it still",
    );
    for server in &two.servers {
        wait(|| status(server, &cid(b"base")) == 200, "the rest is served");
        assert_eq!(status(server, &cid(b"secret")), 404);
        assert!(run(&mut server.command(["check"])).succeeded());
    }
}
