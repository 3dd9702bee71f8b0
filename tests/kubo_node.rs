//! The node that other tests use: it has a registry's settings, keeps to itself, and comes back.

use std::process::Command;

use crate::common::http::{self, try_send};
use crate::common::{KuboNode, run};

/// The CID of a raw block that nobody has.
const ABSENT: &str = "bafkreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaae";

fn setting(node: &KuboNode, name: &str) -> String {
    node.ipfs(["config", name])
}

#[test]
fn a_node_has_a_registry_s_settings_and_no_peers() {
    let Some(node) = KuboNode::start() else { return };
    assert!(setting(&node, "Datastore.Spec").contains(r#""sync": true"#));
    assert_eq!(setting(&node, "Gateway.NoFetch"), "true");
    assert_eq!(setting(&node, "Gateway.NoDNSLink"), "true");
    assert_eq!(setting(&node, "Import.CidVersion"), "1");
    assert_eq!(setting(&node, "Routing.Type"), "none");
    assert_eq!(node.ipfs(["swarm", "peers"]), "");
    assert_eq!(node.ipfs(["bootstrap", "list"]), "");
    for address in node.rpc("id", &[]).json()["Addresses"].as_array().unwrap() {
        assert!(address.as_str().unwrap().starts_with("/ip4/127.0.0.1/tcp/"), "{address}");
    }
    assert_eq!(http::get(&format!("{}/ipfs/{ABSENT}", node.gateway())).status, 404);
}

#[test]
fn a_node_comes_back_with_what_it_had_after_a_stop_and_after_a_kill() {
    let Some(mut node) = KuboNode::start() else { return };
    let api = node.api();
    assert_eq!(node.rpc("files/mkdir", &[("arg", "/kept")]).status, 200);
    assert_eq!(node.rpc("files/flush", &[]).status, 200);
    node.stop();
    assert!(node.try_rpc("version", &[]).is_err());
    node.start_again();
    node.kill();
    assert!(node.try_rpc("version", &[]).is_err());
    node.start_again();
    assert_eq!(node.api(), api);
    assert_eq!(node.ipfs(["files", "ls", "/"]), "kept");
}

#[test]
fn a_node_that_stands_still_does_not_answer_until_it_goes_on() {
    let Some(node) = KuboNode::start() else { return };
    node.pause();
    let version = format!("{}/api/v0/version", node.api());
    let limit = std::time::Duration::from_millis(500);
    let answer = try_send(|client| client.post(&version).timeout(limit));
    assert!(answer.is_err_and(|error| error.is_timeout()));
    node.resume();
    assert_eq!(node.rpc("version", &[]).json()["Version"], "0.43.0");
}

#[test]
fn settings_can_be_left_out_and_a_token_required() {
    let Some(node) = KuboNode::plan().set("Gateway.NoFetch", "false").token("secret").start()
    else {
        return;
    };
    assert_eq!(setting(&node, "Gateway.NoFetch"), "false");
    assert_eq!(node.rpc("version", &[]).status, 200);
    let version = format!("{}/api/v0/version", node.api());
    assert_eq!(http::send(|client| client.post(&version)).status, 403);
}

#[test]
fn a_node_lives_where_the_test_says() {
    let folder = tempfile::TempDir::new().unwrap();
    let Some(node) = KuboNode::plan().below(folder.path()).start() else { return };
    assert!(node.repository().starts_with(folder.path()));
    assert!(folder.path().join("kubo/blocks").is_dir());
    let id = node.id();
    drop(node);
    assert!(!run(Command::new("kill").args(["-0", &id.to_string()])).succeeded());
}
