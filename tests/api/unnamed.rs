//! What a deletion takes out of the public tree: all that nothing else names, and nothing else.

use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;
use roadstead::ipld::{Cid, file};
use serde_json::json;

use crate::common::content::{
    MIB, OCI_ARTIFACT, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, descriptor, image, index, noise, sha256,
    sha512,
};
use crate::common::repository::{Repository, assert_refused};
use crate::common::{Server, http, succeed};

fn root(server: &Server) -> String {
    succeed(&mut server.command(["root"]))
}

fn delete(repository: &Repository<'_>, manifest: &[u8]) {
    let deleted = repository.delete(&format!("manifests/{}", sha256(manifest)));
    assert_eq!(deleted.status, 202, "{}", deleted.text());
}

/// Pushes an image with its blobs.
fn push(repository: &Repository<'_>, tag: &str, config: &[u8], layers: &[&[u8]]) -> Vec<u8> {
    for blob in layers.iter().chain([&config]) {
        repository.push_blob(blob);
    }
    repository.push_manifest(tag, &image(config, layers))
}

fn assert_sound(server: &Server) {
    let report = succeed(&mut server.command(["check"]));
    assert!(report.contains("all is well"), "{report}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of changes")]
fn a_deletion_takes_away_what_its_push_brought() {
    type Change = fn(&Repository<'_>, &Repository<'_>);
    let changes: &[(&str, Change)] = &[
        ("an image of its own", |app, _| {
            let pushed = push(app, "v1", b"config", &[b"one", b"two"]);
            delete(app, &pushed);
        }),
        ("the image that is there already in another repository", |app, _| {
            let pushed = push(app, "v1", b"base config", &[b"base", b"more"]);
            delete(app, &pushed);
        }),
        ("one by two tags, of which one went before", |app, _| {
            let pushed = push(app, "v1", b"config", &[b"base"]);
            assert_eq!(app.put("v2", OCI_MANIFEST, &pushed).status, 201);
            assert_eq!(app.delete("manifests/v1").status, 202);
            delete(app, &pushed);
        }),
        ("two that share a layer, beside one that shares it in the same repository", |_, base| {
            let one = push(base, "v1", b"one", &[b"base", b"shared"]);
            let other = push(base, "v2", b"two", &[b"shared", b"base"]);
            delete(base, &one);
            assert_eq!(base.get(&format!("manifests/{}", sha256(&other))).status, 200);
            delete(base, &other);
        }),
        ("a layer that is the config of another, and twice a layer", |app, base| {
            let one = push(app, "v1", b"config", &[b"base config", b"x", b"x"]);
            let other = push(base, "v1", b"base", &[b"base config"]);
            delete(base, &other);
            delete(app, &one);
        }),
        ("a layer that is a manifest of another repository, and of this one", |app, base| {
            let manifest = base.get("manifests/base").body;
            let one = push(base, "v1", b"config", &[&manifest]);
            let other = push(app, "v1", b"config", &[&manifest]);
            delete(app, &other);
            delete(base, &one);
        }),
        ("an index, its children, and what refers to it", |app, _| {
            let one = push(app, "one", b"config", &[b"one", b"base"]);
            let two = push(app, "two", b"config", &[b"two", b"base"]);
            let list = app.push_manifest("all", &index(&[&one, &two]));
            let mut referrer = image(b"config", &[b"one"]);
            referrer["subject"] = descriptor(OCI_INDEX, &list);
            referrer["artifactType"] = json!(OCI_ARTIFACT);
            let referrer = app.push_untagged(&referrer);
            delete(app, &list);
            // The children stay, with their blobs.
            for child in [&one, &two] {
                assert_eq!(app.get(&format!("manifests/{}", sha256(child))).status, 200);
            }
            delete(app, &one);
            delete(app, &two);
            delete(app, &referrer);
        }),
        ("an index of blobs", |app, _| {
            app.push_blob(b"layer");
            let list = json!({
                "schemaVersion": 2,
                "mediaType": OCI_INDEX,
                "manifests": [descriptor(OCI_LAYER, b"layer")],
            });
            let list = app.push_manifest("cache", &list);
            delete(app, &list);
        }),
        ("a child that was a blob when its index came", |app, _| {
            app.push_blob(b"config");
            let child = image(b"config", &[]).to_string().into_bytes();
            app.push_blob(&child);
            let list = app.push_manifest("all", &index(&[&child]));
            assert_eq!(app.put("child", OCI_MANIFEST, &child).status, 201);
            delete(app, &list);
            delete(app, &child);
        }),
        ("names by sha512", |app, _| {
            let (config, layer) = (b"config", b"base");
            app.push_blob(config);
            app.push_blob_as(layer, &sha512(layer));
            let mut manifest = image(config, &[layer]);
            manifest["layers"][0]["digest"] = sha512(layer).into();
            let long = manifest.to_string().into_bytes();
            assert_eq!(app.put(&sha512(&long), OCI_MANIFEST, &long).status, 201);
            // Another one that names the same layer by sha256.
            let short = push(app, "short", b"config", &[b"base"]);
            delete(app, &short);
            assert_eq!(app.delete(&format!("manifests/{}", sha512(&long))).status, 202);
        }),
        ("an empty layer and one of several blocks", |app, _| {
            let pushed = push(app, "v1", b"config", &[b"", &noise(3 * MIB + 1, 7)]);
            delete(app, &pushed);
        }),
        ("an image whose blobs are deleted after it", |app, _| {
            let pushed = push(app, "v1", b"config", &[b"one", b"base"]);
            delete(app, &pushed);
            for blob in [&b"config"[..], b"one", b"base"] {
                assert_eq!(app.delete(&format!("blobs/{}", sha256(blob))).status, 202);
            }
        }),
    ];
    let server = Server::start();
    let base = Repository::of(&server, "team/base");
    push(&base, "base", b"base config", &[b"base", b"more"]);
    let before = root(&server);
    for (number, (what, change)) in changes.iter().enumerate() {
        let name = ["team/app", "team/base/below", "app"][number % 3];
        change(&Repository::of(&server, name), &base);
        assert_eq!(root(&server), before, "{what}");
    }
    assert_sound(&server);
    assert_eq!(succeed(crate::common::roadstead(["cid"]).arg(server.public())), before);
}

#[test]
fn the_last_deletion_leaves_an_empty_tree() {
    let server = Server::start();
    let empty = root(&server);
    let repository = Repository::of(&server, "team/app");
    let pushed: Vec<Vec<u8>> = (0..20_u8)
        .map(|number| push(&repository, &format!("v{number}"), &[number], &[&[number / 2], b"x"]))
        .collect();
    for manifest in pushed.iter().rev() {
        delete(&repository, manifest);
    }
    assert_eq!(root(&server), empty);
    assert_sound(&server);
}

#[test]
fn the_blobs_of_a_deleted_image_can_be_had_and_pushed_again_without_their_bytes() {
    let server = Server::start();
    let (repository, other) = (Repository::of(&server, "a"), Repository::of(&server, "b"));
    let pushed = push(&repository, "v1", b"config", &[b"layer"]);
    let before = root(&server);
    delete(&repository, &pushed);
    for bytes in [&b"config"[..], b"layer"] {
        let path = format!("blobs/{}", sha256(bytes));
        assert_eq!(repository.head(&path).status, 200);
        assert_eq!(repository.get(&path).body, bytes);
        let mount = format!("blobs/uploads/?mount={}&from=a", sha256(bytes));
        assert_eq!(other.send(Method::POST, &mount, |request| request).status, 201);
    }
    assert_eq!(other.put("v1", OCI_MANIFEST, &pushed).status, 201);
    delete(&other, &pushed);
    assert_eq!(repository.put("v1", OCI_MANIFEST, &pushed).status, 201);
    assert_eq!(root(&server), before);
    assert_sound(&server);
}

#[test]
fn a_deleted_layer_leaves_the_gateway_after_the_grace_and_what_others_name_stays() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_GATEWAY__ROOT_GRACE", "1s");
    });
    let (repository, other) = (Repository::of(&server, "a"), Repository::of(&server, "b"));
    let secret = noise(2 * MIB + 10, 1);
    let pushed = push(&repository, "v1", b"config", &[&secret, b"shared"]);
    push(&other, "v1", b"other", &[b"shared"]);
    root(&server);
    let leaves: Vec<[u8; 32]> = secret.chunks(file::CHUNK_SIZE).map(sha2).collect();
    let mut blocks: Vec<Cid> = leaves.iter().map(|leaf| roadstead::ipld::raw_cid(*leaf)).collect();
    let interior = file::interior(&leaves, secret.len() as u64).unwrap();
    blocks.extend(interior.iter().map(|node| node.block.cid));
    blocks.push(roadstead::ipld::raw_cid(sha2(&pushed)));
    let shared = roadstead::ipld::raw_cid(sha2(b"shared"));
    let status = |cid: &Cid| http::get(&server.url(&format!("/ipfs/{cid}?format=raw"))).status;
    for cid in blocks.iter().chain([&shared]) {
        assert_eq!(status(cid), 200, "{cid}");
    }
    delete(&repository, &pushed);
    let begun = Instant::now();
    while blocks.iter().any(|cid| status(cid) != 404) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is served still");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(status(&shared), 200);
    let routed = format!("/routing/v1/providers/{}", blocks[0]);
    assert_eq!(http::get(&server.url(&routed)).json()["Providers"], json!([]));
    assert_eq!(repository.put("v1", OCI_MANIFEST, &pushed).status, 201);
    root(&server);
    for cid in &blocks {
        assert_eq!(status(cid), 200, "{cid}");
    }
}

fn sha2(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

/// Image number `number` of so many that share layers with their neighbours.
fn neighbour(number: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let layer = |number: usize| format!("layer {number}").into_bytes();
    let config = format!("config {number}").into_bytes();
    (config, vec![layer(number), layer(number + 1), layer(0)])
}

#[test]
fn images_that_share_layers_are_whole_while_others_are_deleted() {
    const IMAGES: usize = 6;
    const ROUNDS: usize = 8;

    let server = Server::start();
    thread::scope(|scope| {
        for name in ["team/app", "team/other"] {
            for number in 0..IMAGES {
                let server = &server;
                scope.spawn(move || {
                    let repository = Repository::of(server, name);
                    let (config, layers) = neighbour(number);
                    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
                    let tag = format!("v{number}");
                    for round in 0..ROUNDS {
                        let pushed = push(&repository, &tag, &config, &layers);
                        // At any moment the tree has all that a tag of its leads to.
                        if round == ROUNDS / 2 {
                            let links = server.command(["root"]).output().unwrap();
                            assert!(links.status.success());
                        }
                        if round + 1 < ROUNDS || number % 2 == 0 {
                            delete(&repository, &pushed);
                        }
                    }
                });
            }
        }
    });
    assert_sound(&server);
    // Who pushes only what is left comes to the same.
    let again = Server::start();
    for name in ["team/other", "team/app"] {
        let repository = Repository::of(&again, name);
        for number in (0..IMAGES).filter(|number| number % 2 == 1).rev() {
            let (config, layers) = neighbour(number);
            let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
            push(&repository, &format!("v{number}"), &config, &layers);
        }
    }
    assert_eq!(root(&server), root(&again));
}

#[test]
fn a_deletion_that_is_refused_takes_nothing() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let child = push(&repository, "v1", b"config", &[b"layer"]);
    let list = repository.push_manifest("all", &index(&[&child]));
    let before = root(&server);
    let path = format!("manifests/{}", sha256(&child));
    let refused = repository.delete(&path);
    assert_refused(&refused, 409, "REFERENCED");
    assert_eq!(refused.json()["errors"][0]["detail"], json!([sha256(&list)]));
    let other =
        repository.send(Method::DELETE, &format!("manifests/{}", sha256(&list)), |request| {
            request.header("if-match", "\"sha256:00\"")
        });
    assert_ne!(other.status, 202);
    assert_eq!(root(&server), before);
    assert_sound(&server);
}
