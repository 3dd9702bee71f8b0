//! `roadstead purge`: what was pushed by mistake is withdrawn, and nothing else is.

use std::process::Command;

use roadstead::ipld::{Cid, file, raw_cid};
use serde_json::Value;
use sha2::Digest as _;

use crate::common::content::{MIB, OCI_MANIFEST, image, index, noise, sha256, sha512};
use crate::common::repository::Repository;
use crate::common::{Finished, Server, http, run, succeed};

fn cid(bytes: &[u8]) -> Cid {
    raw_cid(sha2::Sha256::digest(bytes).into())
}

fn status(server: &Server, cid: impl std::fmt::Display) -> u16 {
    http::get(&server.url(&format!("/ipfs/{cid}?format=raw"))).status
}

/// The public root, which the gateway knows from then on.
fn root(server: &Server) -> String {
    let root = succeed(&mut server.command(["root"]));
    assert_eq!(status(server, &root), 200);
    root
}

/// Pushes an image and returns the bytes of its manifest.
fn push(repository: &Repository<'_>, tag: &str, config: &[u8], layers: &[&[u8]]) -> Vec<u8> {
    for blob in layers.iter().chain([&config]) {
        repository.push_blob(blob);
    }
    repository.push_manifest(tag, &image(config, layers))
}

fn purge(server: &Server, name: &str, digest: &str) -> Command {
    let mut command = server.command(["purge"]);
    command.arg(format!("{name}@{digest}"));
    command
}

fn purged(server: &Server, name: &str, digest: &str) -> Value {
    let mut command = purge(server, name, digest);
    serde_json::from_str(&succeed(command.arg("--json"))).unwrap()
}

fn assert_gone(server: &Server, before: &str, gone: &[&[u8]], stays: &[&[u8]]) {
    for bytes in gone {
        assert_eq!(status(server, cid(bytes)), 404, "{bytes:?}");
        let routed = http::get(&server.url(&format!("/routing/v1/providers/{}", cid(bytes))));
        assert_eq!(routed.json()["Providers"], serde_json::json!([]), "{bytes:?}");
    }
    for bytes in stays {
        assert_eq!(status(server, cid(bytes)), 200, "{bytes:?}");
    }
    // The earlier root is served but for what was withdrawn.
    assert_eq!(status(server, before), 200);
    let report: Value =
        serde_json::from_str(&succeed(&mut server.command(["check", "--json"]))).unwrap();
    assert_eq!(report["findings"], serde_json::json!([]));
    if server.pair().is_none() {
        for bytes in gone {
            let hex = sha256(bytes).replace("sha256:", "");
            let file = server.data().join("content/sha256").join(&hex[..2]).join(&hex);
            assert!(!file.exists(), "{bytes:?}");
        }
    }
}

#[test]
fn a_purged_image_is_refused_at_once_beside_a_server_and_without_one() {
    for beside in [true, false] {
        let mut server = Server::start();
        let base = push(&Repository::of(&server, "team/base"), "v1", b"base config", &[b"base"]);
        let oops =
            push(&Repository::of(&server, "team/oops"), "v1", b"config", &[b"secret", b"base"]);
        let before = root(&server);
        for bytes in [&b"secret"[..], b"config", b"base", &oops] {
            assert_eq!(status(&server, cid(bytes)), 200);
        }
        if !beside {
            server.stop();
        }
        let result = purged(&server, "team/oops", &sha256(&oops));
        assert_eq!(result["withdrawn"].as_array().unwrap().len(), 3, "{result}");
        assert_eq!(result["needed"], serde_json::json!([sha256(b"base")]));
        let by = serde_json::json!([format!("team/base@{}", sha256(&base))]);
        assert_eq!(result["needed_by"][sha256(b"base")], by, "{result}");
        if !beside {
            server.start_again();
        }
        let link = sha256(b"secret");
        assert_gone(
            &server,
            &before,
            &[b"secret", b"config", &oops, link.as_bytes()],
            &[b"base", &base],
        );
        let repository = Repository::of(&server, "team/oops");
        for gone in ["manifests/v1".to_owned(), format!("blobs/{}", sha256(b"secret"))] {
            assert_eq!(repository.get(&gone).status, 404, "{gone}");
        }
        // Again, it is no error as long as something of it is known; then it is.
        assert!(!run(&mut purge(&server, "team/oops", &sha256(&oops))).succeeded());
        // Pushed again on purpose, it is served again.
        push(&repository, "v1", b"config", &[b"secret", b"base"]);
        assert_eq!(root(&server), before);
        for bytes in [&b"secret"[..], b"config", b"base", &oops] {
            assert_eq!(status(&server, cid(bytes)), 200);
        }
    }
}

#[test]
fn what_was_deleted_before_can_be_purged() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/oops");
    let oops = push(&repository, "v1", b"config", &[b"secret"]);
    let before = root(&server);
    assert_eq!(repository.delete("manifests/v1").status, 202);
    assert_eq!(repository.delete(&format!("manifests/{}", sha256(&oops))).status, 202);
    assert_eq!(repository.delete(&format!("blobs/{}", sha256(b"secret"))).status, 202);
    // Within the grace of the earlier root.
    root(&server);
    assert_eq!(status(&server, cid(b"secret")), 200);
    purged(&server, "team/oops", &sha256(&oops));
    assert_gone(&server, &before, &[b"secret", b"config", &oops], &[]);
}

#[test]
fn what_a_rebuild_of_the_index_has_forgotten_can_be_purged() {
    let mut server = Server::start();
    let large = noise(2 * MIB + 10, 5);
    let repository = Repository::of(&server, "team/oops");
    push(&Repository::of(&server, "team/app"), "v1", b"other", &[b"base"]);
    let oops = push(&repository, "v1", b"config", &[&large, b"base"]);
    let list = repository.push_manifest("all", &index(&[&oops]));
    let alone = repository.push_blob(b"alone");
    for digest in [&list, &oops].map(|bytes| sha256(bytes)) {
        assert_eq!(repository.delete(&format!("manifests/{digest}")).status, 202);
    }
    server.stop();
    succeed(&mut server.command(["index", "rebuild"]));
    server.start_again();
    let before = root(&server);
    assert_eq!(Repository::of(&server, "team/oops").head(&format!("blobs/{alone}")).status, 404);
    // The index of manifests leads to all of them.
    let result = purged(&server, "team/oops", &sha256(&list));
    assert_eq!(result["needed"], serde_json::json!([sha256(b"base")]), "{result}");
    let withdrawn = result["withdrawn"].as_array().unwrap();
    let sizes: u64 = withdrawn.iter().map(|withdrawn| withdrawn["size"].as_u64().unwrap()).sum();
    let expected = [&large[..], b"config", &oops, &list].map(<[u8]>::len).iter().sum::<usize>();
    assert_eq!((withdrawn.len(), sizes), (4, expected as u64), "{result}");
    purged(&server, "team/oops", &alone);
    assert_gone(&server, &before, &[b"config", &oops, &list, &large, b"alone"], &[b"base"]);
    if let Some(pair) = server.pair() {
        // As a collection of the node does: until then they can be purged again.
        for bytes in [&list[..], b"alone"] {
            pair.lose_block(&cid(bytes).to_string());
        }
    }
    for digest in [&sha256(&list), &alone] {
        let again = run(&mut purge(&server, "team/oops", digest));
        assert_eq!(again.code, Some(1), "{again}");
        assert!(again.stderr.contains("no content with that digest"), "{again}");
    }
}

#[test]
fn content_of_another_repository_stays_for_it_but_is_not_served_to_all() {
    let server = Server::start();
    let (repository, other) =
        (Repository::of(&server, "team/oops"), Repository::of(&server, "other"));
    let oops = push(&repository, "v1", b"config", &[b"secret"]);
    other.push_blob(b"secret");
    let before = root(&server);
    let result = purged(&server, "team/oops", &sha256(&oops));
    let retained: Vec<&Value> = result["withdrawn"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|withdrawn| withdrawn["kept_for"] == serde_json::json!(["other"]))
        .collect();
    assert_eq!(retained.len(), 1, "{result}");
    assert_eq!(status(&server, cid(b"secret")), 404);
    assert_eq!(status(&server, &before), 200);
    assert_eq!(other.get(&format!("blobs/{}", sha256(b"secret"))).body, b"secret");
    let named = push(&other, "v1", b"other", &[b"secret"]);
    root(&server);
    assert_eq!(status(&server, cid(b"secret")), 200, "it is named again");
    purged(&server, "other", &sha256(&named));
    assert_gone(&server, &before, &[b"secret", b"other", &named], &[]);
}

#[test]
fn what_an_index_names_is_not_purged_and_what_is_not_there_neither() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let child = push(&repository, "v1", b"config", &[b"layer"]);
    let list = repository.push_manifest("all", &index(&[&child]));
    let before = root(&server);
    let refused = run(&mut purge(&server, "team/app", &sha256(&child)));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains(&sha256(&list)), "{refused}");
    for (name, digest) in
        [("team/app", sha256(b"never pushed")), ("team/none", sha256(b"never pushed"))]
    {
        assert_eq!(run(&mut purge(&server, name, &digest)).code, Some(1));
    }
    for odd in ["team/app", "team/app:v1", "UP@sha256:00", "@"] {
        let mut command = server.command(["purge"]);
        assert!(!run(command.arg(odd)).succeeded(), "{odd}");
    }
    assert_eq!(root(&server), before);
    // The index goes first; the child stays until it is purged by itself.
    purged(&server, "team/app", &sha256(&list));
    assert_eq!(status(&server, cid(b"layer")), 200);
    purged(&server, "team/app", &sha256(&child));
    assert_gone(&server, &before, &[b"layer", b"config", &child, &list], &[]);
}

#[test]
fn an_index_takes_its_children_with_it_unless_something_else_names_them() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let untagged = |config: &[u8], layers: &[&[u8]]| {
        for blob in layers.iter().chain([&config]) {
            repository.push_blob(blob);
        }
        repository.push_untagged(&image(config, layers))
    };
    let large = noise(2 * MIB + 10, 3);
    let [one, two] = [untagged(b"one", &[&large]), untagged(b"two", &[b"layer of two"])];
    let shared = untagged(b"three", &[b"shared"]);
    let tagged = push(&repository, "child", b"four", &[b"tagged"]);
    let inner = repository.push_untagged(&index(&[&two]));
    let other = repository.push_manifest("other", &index(&[&shared]));
    let before = root(&server);
    let all = repository.push_manifest("all", &index(&[&one, &inner, &shared, &tagged]));
    let after = root(&server);
    let data = |bytes: &[u8]| {
        let hex = sha256(bytes).replace("sha256:", "");
        let path = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        http::get(&server.url(&format!("/ipfs/{after}/{path}?format=car"))).status
    };
    assert_eq!((data(&large), data(b"shared")), (200, 200));
    purged(&server, "team/app", &sha256(&all));
    for path in ["manifests/all".to_owned(), format!("manifests/{}", sha256(&one))] {
        assert_eq!(repository.get(&path).status, 404, "{path}");
    }
    let gone = [&large[..], b"one", b"two", b"layer of two", &one, &two, &inner, &all];
    assert_gone(&server, &after, &gone, &[b"shared", b"tagged", &shared, &tagged, &other]);
    assert_gone(&server, &before, &[], &[]);
    // By a path below an earlier root as well.
    assert_eq!((data(&large), data(b"two"), data(b"shared")), (404, 404, 200));
    let whole = http::get(&server.url(&format!("/ipfs/{}?format=car", cid_of_file(&large))));
    assert_eq!(whole.status, 404);
}

fn cid_of_file(bytes: &[u8]) -> Cid {
    let leaves: Vec<[u8; 32]> =
        bytes.chunks(file::CHUNK_SIZE).map(|leaf| sha2::Sha256::digest(leaf).into()).collect();
    let interior = file::interior(&leaves, bytes.len() as u64).unwrap();
    interior.last().unwrap().block.cid
}

#[test]
fn names_by_sha512_are_purged_with_the_others() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let empty = root(&server);
    repository.push_blob(b"config");
    repository.push_blob_as(b"layer", &sha512(b"layer"));
    let mut manifest = image(b"config", &[b"layer"]);
    manifest["layers"][0]["digest"] = sha512(b"layer").into();
    let long = manifest.to_string().into_bytes();
    assert_eq!(repository.put(&sha512(&long), OCI_MANIFEST, &long).status, 201);
    let before = root(&server);
    purged(&server, "team/app", &sha512(&long));
    assert_gone(&server, &before, &[b"layer", b"config", &long], &[]);
    assert_eq!(repository.head(&format!("blobs/{}", sha512(b"layer"))).status, 404);
    assert_eq!(root(&server), empty);
}

#[test]
fn pushes_of_the_same_image_while_it_is_purged_are_whole_or_gone() {
    let server = Server::start();
    let layer = noise(100_000, 9);
    let name = "team/app";
    let manifest = push(&Repository::of(&server, name), "v1", b"config", &[&layer]);
    std::thread::scope(|scope| {
        for number in 0..2 {
            let (server, layer) = (&server, &layer);
            scope.spawn(move || {
                let repository = Repository::of(server, name);
                for round in 0..12 {
                    for blob in [&layer[..], b"config"] {
                        repository.push_blob(blob);
                    }
                    let tag = format!("v{number}-{round}");
                    let bytes = image(b"config", &[layer]).to_string().into_bytes();
                    let put = repository.put(&tag, OCI_MANIFEST, &bytes);
                    // Its blobs may have been purged a moment ago.
                    assert!([201, 400].contains(&put.status), "{}", put.text());
                }
            });
        }
        for _ in 0..8 {
            let _: Finished = run(&mut purge(&server, name, &sha256(&manifest)));
        }
    });
    let report = succeed(&mut server.command(["check"]));
    assert!(report.contains("all is well"), "{report}");
    push(&Repository::of(&server, name), "v1", b"config", &[&layer]);
    root(&server);
    assert_eq!(status(&server, cid(&layer)), 200);
    let report = succeed(&mut server.command(["check"]));
    assert!(report.contains("all is well"), "{report}");
}
