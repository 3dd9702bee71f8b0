//! What is fetched before a client asks for it.

use crate::common::content::{image, noise, sha256};
use crate::common::http;
use crate::common::repository::wait;
use crate::federation::operators::Operators;

const REPOSITORY: &str = "team/app";

/// Pushes an image of layers of that many bytes; returns the targets of the layers' blobs.
fn push(operators: &Operators, tag: &str, sizes: &[usize]) -> Vec<String> {
    let layers: Vec<_> = (1..).zip(sizes).map(|(seed, size)| noise(*size, seed)).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let own = operators.own(REPOSITORY);
    for blob in layers.iter().chain([&b"{}".as_slice()]) {
        own.push_blob(blob);
    }
    own.push_manifest(tag, &image(b"{}", &layers));
    layers.iter().map(|layer| format!("blobs/{}", sha256(layer))).collect()
}

/// Waits until the cache of the other registry has so many files.
fn wait_for_files(operators: &Operators, count: usize) {
    let line = format!("\nroadstead_cache_files {count}\n");
    let metrics = || http::get(&operators.other.url("/metrics")).text();
    wait(|| metrics().contains(&line), &line);
}

fn start(limit: &'static str) -> Option<Operators> {
    Operators::start_with(move |command| {
        command.env("ROADSTEAD_FEDERATION__FETCH_AHEAD_BYTES", limit);
    })
}

#[test]
fn the_blobs_of_a_manifest_come_while_no_client_asks_for_them() {
    let Some(mut operators) = start("1200000") else { return };
    // There is no room for the second one.
    let layers = push(&operators, "v1", &[1_000_000, 2_000_000, 100_000]);
    operators.publish();
    let got = operators.foreign(REPOSITORY).get("manifests/v1");
    assert_eq!(got.status, 200, "{}", got.text());
    // The manifest, its config and two layers.
    wait_for_files(&operators, 4);
    operators.publisher.kill();
    let foreign = operators.foreign(REPOSITORY);
    let served = layers.iter().map(|layer| foreign.get(layer).status);
    assert_eq!(served.collect::<Vec<_>>(), [200, 502, 200]);
}

#[test]
fn what_is_longer_than_its_manifest_says_is_not_fetched_ahead() {
    let Some(mut operators) = start("1200000") else { return };
    let (own, layer) = (operators.own(REPOSITORY), noise(1_000_000, 9));
    own.push_blob(&layer);
    own.push_blob(b"{}");
    let mut manifest = image(b"{}", &[&layer]);
    manifest["layers"][0]["size"] = 1.into();
    own.push_manifest("v1", &manifest);
    push(&operators, "v2", &[300_000]);
    operators.publish();
    let foreign = operators.foreign(REPOSITORY);
    for (tag, files) in [("v1", 2), ("v2", 4)] {
        assert_eq!(foreign.get(&format!("manifests/{tag}")).status, 200);
        // The manifests, the config, and the layer of the second one.
        wait_for_files(&operators, files);
    }
    operators.publisher.kill();
    let foreign = operators.foreign(REPOSITORY);
    assert_eq!(foreign.get(&format!("blobs/{}", sha256(&layer))).status, 502);
}

#[test]
fn nothing_is_fetched_ahead_for_a_client_that_looks_or_where_it_is_switched_off() {
    for limit in ["1200000", "0"] {
        let Some(mut operators) = start(limit) else { return };
        let layers = push(&operators, "v1", &[1_000_000]);
        let others = push(&operators, "v2", &[300_000, 400_000]);
        operators.publish();
        let foreign = operators.foreign(REPOSITORY);
        assert_eq!(foreign.head("manifests/v1").status, 200);
        assert_eq!(foreign.get("manifests/v2").status, 200);
        if limit == "0" {
            assert_eq!(foreign.get(&others[0]).status, 200);
        }
        // Both manifests, and of the second image what was fetched.
        wait_for_files(&operators, if limit == "0" { 3 } else { 5 });
        operators.publisher.kill();
        let foreign = operators.foreign(REPOSITORY);
        assert_eq!(foreign.get(&layers[0]).status, 502, "{limit}");
        assert_eq!(foreign.get(&others[1]).status, if limit == "0" { 502 } else { 200 });
    }
}
