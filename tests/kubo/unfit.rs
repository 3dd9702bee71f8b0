//! Nodes that will not do: the registry does not start, and says what mends it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use tempfile::TempDir;

use crate::common::repository::Repository;
use crate::common::{KuboNode, Server, free_address, roadstead, run, succeed};
use crate::kubo::registry::{Registry, settings};

/// Starts a registry, which must end; returns what it said.
fn refusal(node: &KuboNode, more: &[(&str, &str)]) -> String {
    let data = TempDir::new().unwrap();
    let mut command = roadstead(["serve", "--listen", &free_address(), "--data"]);
    let refused = run(command.arg(data.path()).envs(settings(node, more)));
    assert_eq!(refused.code, Some(1), "{refused}");
    refused.stderr
}

fn assert_says(output: &str, expected: &[&str]) {
    for text in expected {
        assert!(output.contains(text), "`{text}` is not in: {output}");
    }
}

#[test]
fn a_gateway_that_searches_the_network_is_refused() {
    let plan = KuboNode::plan().set("Gateway.NoFetch", "false");
    let Some(mut node) = plan.start() else { return };
    let output = refusal(&node, &[]);
    assert_says(&output, &["`ipfs config --json Gateway.NoFetch true`", "restart the node"]);
    // What it says helps.
    node.ipfs(["config", "--json", "Gateway.NoFetch", "true"]);
    node.stop();
    node.start_again();
    Registry::start(&node);
}

#[test]
fn a_gateway_that_serves_blocks_alone_is_refused() {
    let plan = KuboNode::plan().set("Gateway.DeserializedResponses", "false");
    let Some(mut node) = plan.start() else { return };
    let output = refusal(&node, &[]);
    let command = "`ipfs config --json Gateway.DeserializedResponses true`";
    assert_says(&output, &[command, "restart the node", "`storage.kubo.gateway`"]);
    // What it says helps.
    node.ipfs(["config", "--json", "Gateway.DeserializedResponses", "true"]);
    node.stop();
    node.start_again();
    Registry::start(&node);
}

#[test]
fn a_limit_on_reads_by_ranges_is_reported() {
    let plan = KuboNode::plan().set("Gateway.MaxRangeRequestFileSize", "\"1MiB\"");
    let Some(mut node) = plan.start() else { return };
    let is_reported = |registry: &Registry| {
        registry.server.log().contains("Gateway.MaxRangeRequestFileSize null")
    };
    assert!(is_reported(&Registry::start(&node)));
    // What it says helps.
    node.ipfs(["config", "--json", "Gateway.MaxRangeRequestFileSize", "null"]);
    node.stop();
    node.start_again();
    assert!(!is_reported(&Registry::start(&node)));
}

#[test]
fn whatever_a_node_makes_of_files_that_are_added_trees_stay_the_same() {
    let plan = |settings: &[(&str, &str)]| {
        settings.iter().fold(KuboNode::plan(), |plan, (name, value)| plan.set(name, value)).start()
    };
    let expected = {
        let server = Server::start_embedded();
        Repository::of(&server, "team/app").push_image("v1", "word");
        succeed(&mut server.command(["root"]))
    };
    let odd: &[&[(&str, &str)]] = &[
        &[("Import.HashFunction", "\"blake3\"")],
        &[("Import.HashFunction", "\"sha2-512\""), ("Import.CidVersion", "1")],
        &[
            ("Import.CidVersion", "0"),
            ("Import.UnixFSRawLeaves", "false"),
            ("Import.UnixFSChunker", "\"size-1000\""),
            ("Import.UnixFSFileMaxLinks", "3"),
            ("Import.UnixFSDirectoryMaxLinks", "3"),
            ("Import.UnixFSHAMTDirectoryMaxFanout", "8"),
            ("Import.UnixFSHAMTDirectorySizeThreshold", "\"100B\""),
        ],
    ];
    for settings in odd {
        let Some(node) = plan(settings) else { return };
        let registry = Registry::start(&node);
        let pushed = registry.repository("team/app").push_image("v1", "word");
        assert_eq!(registry.root(), expected, "{settings:?}");
        registry.assert_whole(&node);
        let found = registry.repository("team/app").get("manifests/v1");
        assert_eq!(found.body, pushed.manifest);
    }
}

#[test]
fn a_registry_starts_again_when_its_node_prefers_another_hash_since() {
    let Some(mut node) = KuboNode::start() else { return };
    let mut registry = Registry::start(&node);
    let pushed = registry.repository("team/app").push_image("v1", "word");
    registry.server.stop();
    node.ipfs(["config", "Import.HashFunction", "blake3"]);
    node.stop();
    node.start_again();
    registry.server.start_again();
    assert_eq!(registry.repository("team/app").get("manifests/v1").body, pushed.manifest);
    registry.repository("team/app").push_image("v2", "other");
    registry.assert_whole(&node);
}

#[test]
fn the_gateway_of_another_node_is_refused() {
    let (Some(node), Some(other)) = (KuboNode::start(), KuboNode::start()) else { return };
    let output = refusal(&node, &[("STORAGE__KUBO__GATEWAY", &other.gateway())]);
    assert_says(&output, &["`storage.kubo.gateway` has to be the gateway of the node"]);
}

#[test]
fn a_folder_that_is_something_else_is_refused() {
    let Some(node) = KuboNode::start() else { return };
    node.ipfs(["files", "mkdir", "-p", "/somebody/pictures"]);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "a file").unwrap();
    let cid = node.ipfs(["add", "-Q", file.to_str().unwrap()]);
    node.ipfs(["files", "cp", &format!("/ipfs/{cid}"), "/file"]);
    for folder in ["/somebody", "/file"] {
        let output = refusal(&node, &[("STORAGE__KUBO__MFS_ROOT", folder)]);
        let command = format!("`ipfs files rm -r {folder}`");
        assert_says(&output, &["set another `storage.kubo.mfs_root`", &command]);
    }
    assert_eq!(node.ipfs(["files", "ls", "/somebody"]), "pictures", "it was not touched");
    let output = refusal(&node, &[("STORAGE__KUBO__MFS_ROOT", "/file/below")]);
    assert_says(&output, &["cannot create /file/below", "set another `storage.kubo.mfs_root`"]);
}

#[test]
fn a_token_is_required() {
    let Some(node) = KuboNode::plan().token("secret").start() else { return };
    for more in [&[][..], &[("STORAGE__KUBO__TOKEN", "mistyped")]] {
        let output = refusal(&node, more);
        assert_says(&output, &["`storage.kubo.token`", "`API.Authorizations`"]);
        assert!(!output.contains("mistyped"), "{output}");
    }
}

#[test]
fn an_old_version_is_refused() {
    let Some(node) = KuboNode::start() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    // It ends with the process of the tests.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let body = r#"{"Version":"0.42.0","Commit":"","Repo":"18","System":"","Golang":""}"#;
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            );
        }
    });
    let output = refusal(&node, &[("STORAGE__KUBO__API", &address)]);
    assert_says(&output, &["Kubo 0.42", "install 0.43"]);
}

#[test]
fn a_node_that_is_down_is_named() {
    let Some(mut node) = KuboNode::start() else { return };
    node.stop();
    assert_says(&refusal(&node, &[]), &["the node does not answer"]);
}
