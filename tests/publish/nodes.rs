//! A Kubo node below: what is published is pinned there, and others are told where it is.

use std::process::Command;

use crate::common::http;
use crate::publisher::NAME;
use crate::replicas::Two;
use crate::repository::wait;

impl Two {
    /// Whether a root is pinned as one that is published.
    fn pins(&self, root: &str) -> bool {
        let pins = self.node.ipfs(["pin", "ls", "--type=recursive", "--names"]);
        let line = pins.lines().find(|line| line.starts_with(root));
        line.is_some_and(|line| line.contains("roadstead-published:"))
    }
}

fn configure(command: &mut Command, keep: &str) {
    command
        .env_remove("ROADSTEAD_SERVER__EXTERNAL_URL")
        .env("ROADSTEAD_DNSLINK__ALLOW_PRIVATE_ADDRESSES", "true")
        .env("ROADSTEAD_GATEWAY__ROOT_GRACE", "1ms")
        .env("ROADSTEAD_STORAGE__KUBO__CLEAN_INTERVAL", "1s")
        .env("ROADSTEAD_PUBLISH__KEEP", keep);
}

#[test]
fn a_published_root_is_pinned_until_it_is_released_and_the_nodes_addresses_are_told() {
    let Some(mut two) = Two::start(|command| configure(command, "1h")) else { return };
    two.push(0, "v1", "one");
    let old = two.wait_until_published();
    assert!(two.pins(&old));
    let texts = two.dns.texts(NAME);
    let id = two.node.ipfs(["id", "--format=<id>"]);
    let hints: Vec<&String> = texts.iter().filter(|text| text.starts_with("ipfsnode=")).collect();
    assert!(!hints.is_empty(), "{texts:?}");
    assert!(
        hints.iter().all(|hint| hint.contains("/tcp/") && hint.ends_with(&format!("/p2p/{id}")))
    );

    two.push(0, "v1", "two");
    let new = two.wait_until_published();
    assert!(two.pins(&old) && two.pins(&new));
    two.node.ipfs(["repo", "gc", "--quiet"]);
    // All of it is still there, for whoever resolved it a moment ago.
    two.node.ipfs(["refs", "--recursive", "--unique", "--offline", &old]);
    let below = format!("/ipfs/{old}/docker?format=car");
    assert_eq!(http::get(&two.servers[0].url(&below)).status, 200);

    // How long it is kept is said when it is replaced.
    two.serve(|command| configure(command, "1s"));
    two.push(0, "v1", "three");
    let newest = two.wait_until_published();
    wait(|| !two.pins(&new), "a root that was replaced is released");
    assert!(two.pins(&old) && two.pins(&newest));
}
