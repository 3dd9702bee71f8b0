//! What one replica acknowledged, the next request to another sees.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::common::content::{MIB, OCI_MANIFEST, image, noise, sha256};
use crate::common::repository::Repository;
use crate::common::{Replicas, Server};
use crate::replicas::{assert_no_lock_is_left, assert_whole};

/// How often a tag is moved: twice as many others are asked.
const MOVES: usize = 1000;

fn on(replicas: &Replicas, number: usize) -> Repository<'_> {
    let servers: &[Server] = &replicas.servers;
    Repository::of(&servers[number % servers.len()], "team/app")
}

#[test]
fn a_tag_that_was_moved_at_one_is_served_new_by_every_other_at_once() {
    let Some(replicas) = Replicas::start() else { return };
    let manifests = ["one", "two"].map(|word| {
        let (config, layer) = (format!("{{\"{word}\":0}}").into_bytes(), word.as_bytes());
        on(&replicas, 0).push_blob(&config);
        on(&replicas, 1).push_blob(layer);
        image(&config, &[layer]).to_string().into_bytes()
    });
    for number in 0..MOVES {
        let manifest = &manifests[number % 2];
        let pushed = on(&replicas, number).put("latest", OCI_MANIFEST, manifest);
        assert_eq!(pushed.status, 201, "{}", pushed.text());
        for other in 1..replicas.servers.len() {
            let method = if other == 1 { Method::GET } else { Method::HEAD };
            let found = on(&replicas, number + other).send(method, "manifests/latest", |it| it);
            let digest = found.header("docker-content-digest");
            assert_eq!(digest, sha256(manifest), "after {number} moves");
        }
    }
    assert_whole(&replicas);
    assert_no_lock_is_left(&replicas);
}

#[test]
fn what_is_pushed_at_one_is_pulled_listed_mounted_and_deleted_at_others() {
    let Some(replicas) = Replicas::start() else { return };
    let layer = noise(3 * MIB + 1, 1);
    let digest = on(&replicas, 0).push_blob(&layer);
    assert!(on(&replicas, 1).get(&format!("blobs/{digest}")).body == layer);
    let other = Repository::of(&replicas.servers[2], "team/other");
    let mounted = other.post(&format!("blobs/uploads/?mount={digest}&from=team/app"));
    assert_eq!(mounted.status, 201, "{}", mounted.text());
    on(&replicas, 2).push_blob(b"{}");

    let manifest = image(b"{}", &[&layer]);
    let pushed = on(&replicas, 1).push_manifest("v1", &manifest);
    assert_eq!(on(&replicas, 2).get("manifests/v1").body, pushed);
    let put = on(&replicas, 2).send(Method::PUT, "manifests/v1", |request| {
        // By the digest that another has acknowledged.
        let known = format!("\"{}\"", sha256(&pushed));
        let request = request.header("if-match", known).header(CONTENT_TYPE, OCI_MANIFEST);
        request.body(pushed.clone())
    });
    assert_eq!(put.status, 201, "{}", put.text());
    assert_eq!(on(&replicas, 0).get("tags/list").json()["tags"], serde_json::json!(["v1"]));
    assert_eq!(on(&replicas, 0).delete(&format!("manifests/{}", sha256(&pushed))).status, 202);
    for number in 0..replicas.servers.len() {
        assert_eq!(on(&replicas, number).get("manifests/v1").status, 404);
    }
    assert_whole(&replicas);
}
