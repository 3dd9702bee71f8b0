//! What others can do while the node is asked for something.

use std::sync::{Arc, Mutex};

use crate::common::KuboNode;
use crate::common::content::{OCI_MANIFEST, image, sha256};
use crate::common::http;
use crate::kubo::proxy::Proxy;
use crate::kubo::registry::Registry;

fn settings(proxy: &Proxy) -> [(&'static str, &'static str); 1] {
    [("STORAGE__KUBO__API", proxy.url().leak())]
}

#[test]
fn the_index_takes_writes_while_the_node_reads_a_manifests_content() {
    let Some(node) = KuboNode::start() else { return };
    let layer = b"the layer that is looked up";
    let hex = sha256(layer).replace("sha256:", "");
    // Where an upload is to begin while the node is asked, and what that came to.
    let (target, statuses) =
        (Arc::<Mutex<Option<String>>>::default(), Arc::<Mutex<Vec<u16>>>::default());
    let (to_begin, seen) = (Arc::clone(&target), Arc::clone(&statuses));
    let proxy = Proxy::changing(&node.api(), move |bytes| {
        let url = to_begin.lock().unwrap().clone();
        if let Some(url) = url
            && let text = String::from_utf8_lossy(bytes)
            && text.contains("files/stat")
            && text.contains(&hex)
        {
            let answer = http::send(|client| client.post(&url));
            seen.lock().unwrap().push(answer.status);
        }
        bytes.to_vec()
    });
    let mut registry = Registry::start_with(&node, &settings(&proxy));
    let repository = registry.repository("team/app");
    repository.push_blob(b"{}");
    repository.push_blob(layer);
    // What this process has just stored it would not look up.
    registry.server.stop();
    registry.server.start_again();
    let repository = registry.repository("team/app");
    *target.lock().unwrap() = Some(registry.server.url("/v2/team/other/blobs/uploads/"));
    let manifest = image(b"{}", &[layer]).to_string().into_bytes();
    assert_eq!(repository.put("v1", OCI_MANIFEST, &manifest).status, 201);
    *target.lock().unwrap() = None;
    let statuses = statuses.lock().unwrap().clone();
    assert!(!statuses.is_empty() && statuses.iter().all(|status| *status == 202), "{statuses:?}");
}

#[test]
fn what_was_stored_before_a_restart_is_pushed_again_beside_others() {
    let Some(node) = KuboNode::start() else { return };
    let proxy = Proxy::before(&node.api());
    let mut registry = Registry::start_with(&node, &settings(&proxy));
    let words: Vec<String> = (0..8).map(|number| format!("word {number}")).collect();
    for word in &words {
        registry.repository("team/app").push_image("v1", word);
    }
    registry.server.stop();
    registry.server.start_again();
    proxy.take();
    for word in &words {
        registry.repository("team/app").push_image("v1", word);
    }
    // Whoever is alone on the node has it write everything: a cleaning does so at the start.
    let commands = proxy.take();
    let flushes = commands.iter().filter(|command| *command == "files/flush").count();
    assert!(flushes < words.len(), "{flushes} times: {commands:?}");
}
