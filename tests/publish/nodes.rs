//! A Kubo node below: what is published is pinned there, and others are told where it is.

use crate::common::repository::wait;
use crate::common::{Server, http};
use crate::publish::publisher::{NAME, wait_long};
use crate::publish::replicas::Two;

fn configure(command: &mut std::process::Command, keep: &str) {
    command
        .env_remove("ROADSTEAD_SERVER__EXTERNAL_URL")
        .env("ROADSTEAD_DNSLINK__ALLOW_PRIVATE_ADDRESSES", "true")
        .env("ROADSTEAD_GATEWAY__ROOT_GRACE", "1ms")
        .env("ROADSTEAD_STORAGE__KUBO__CLEAN_INTERVAL", "1s")
        .env("ROADSTEAD_PUBLISH__KEEP", keep);
}

#[test]
fn a_published_root_is_pinned_until_it_is_released_and_the_nodes_addresses_are_published() {
    let Some(mut two) = Two::start(|command| configure(command, "1h")) else { return };
    let pins = || two.node.ipfs(["pin", "ls", "--type=recursive", "--names"]);
    let is_pinned = |root: &str| {
        let pins = pins();
        let line = pins.lines().find(|line| line.starts_with(root));
        line.is_some_and(|line| line.contains("roadstead-published:"))
    };
    two.push(0, "v1", "one");
    let old = two.wait_until_published();
    assert!(is_pinned(&old), "{}", pins());
    let texts = two.dns.texts(NAME);
    let id = two.node.ipfs(["id", "--format=<id>"]);
    let hints: Vec<&String> = texts.iter().filter(|text| text.starts_with("ipfsnode=")).collect();
    assert!(!hints.is_empty(), "{texts:?}");
    assert!(
        hints.iter().all(|hint| hint.contains("/tcp/") && hint.ends_with(&format!("/p2p/{id}")))
    );

    two.push(0, "v1", "two");
    let next = two.wait_until_published();
    assert!(is_pinned(&old) && is_pinned(&next), "{}", pins());
    two.node.ipfs(["repo", "gc", "--quiet"]);
    // All of it is still there, for whoever resolved it a moment ago.
    two.node.ipfs(["refs", "--recursive", "--unique", "--offline", &old]);
    let below = format!("/ipfs/{old}/docker?format=car");
    assert_eq!(http::get(&two.servers[0].url(&below)).status, 200);

    // How long a root is kept is settled when it is replaced.
    two.servers.clear();
    two.servers = two.serve(|command| configure(command, "1s"));
    two.push(0, "v1", "three");
    let new = two.wait_until_published();
    wait(|| !is_pinned(&next), "a root that was replaced is released");
    assert!(is_pinned(&old), "its hour is not over");
    assert!(is_pinned(&new), "{}", pins());
}

#[test]
fn a_root_that_is_to_be_released_while_the_node_is_away_is_unpinned_when_it_is_back() {
    let Some(mut two) = Two::start(|command| {
        // With it the node is not asked for its addresses, which would be the first to fail.
        command
            .env("ROADSTEAD_PUBLISH__HINT", "/dns4/a.example.com/tcp/443/tls/http")
            .env("ROADSTEAD_PUBLISH__KEEP", "10s");
    }) else {
        return;
    };
    two.push(0, "v1", "one");
    let old = two.wait_until_published();
    two.push(0, "v1", "two");
    let new = two.wait_until_published();
    two.node.kill();
    let has_failed = |server: &Server| server.log().contains("failed to publish");
    wait_long(|| two.servers.iter().any(has_failed), "nobody wants to release it");
    two.node.start_again();
    let pins = || two.node.ipfs(["pin", "ls", "--type=recursive", "--names"]);
    wait_long(|| !pins().contains(&old), "a root that was released stays pinned");
    assert!(pins().contains(&new), "{}", pins());
}
