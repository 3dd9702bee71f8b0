//! Blobs that clients fetch from a gateway themselves.

use reqwest::redirect::Policy;

use crate::common::KuboNode;
use crate::common::content::{MIB, noise};
use crate::common::http::{get, send, try_send_by};
use crate::kubo::registry::Registry;

#[test]
fn clients_are_sent_to_a_gateway_for_blobs_and_for_nothing_else() {
    let Some(node) = KuboNode::start() else { return };
    let registry = Registry::start_with(&node, &[("STORAGE__KUBO__REDIRECT", &node.gateway())]);
    let repository = registry.repository("team/app");
    repository.push_image("v1", "one");
    let layer = noise(3 * MIB, 1);
    let digest = repository.push_blob(&layer);
    let url = registry.server.url(&format!("/v2/team/app/blobs/{digest}"));
    let stay = |client: reqwest::ClientBuilder| client.redirect(Policy::none());
    let sent = try_send_by(stay, |client| client.get(&url)).unwrap();
    assert_eq!(sent.status, 307);
    assert_eq!(sent.header("docker-content-digest"), digest);
    let location = sent.header("location").to_owned();
    assert!(location.starts_with(&format!("{}/ipfs/baf", node.gateway())), "{location}");
    assert!(get(&location).body == layer);
    assert!(get(&url).body == layer, "whoever follows it has the blob");
    let head = send(|client| client.head(&url));
    assert_eq!((head.status, head.header("content-length")), (200, &*layer.len().to_string()));
    let manifest = registry.server.url("/v2/team/app/manifests/v1");
    let manifest = try_send_by(stay, |client| client.get(&manifest)).unwrap();
    assert_eq!(manifest.status, 200);
    let absent = registry.server.url(&format!("/v2/other/app/blobs/{digest}"));
    assert_eq!(get(&absent).status, 404);
}
