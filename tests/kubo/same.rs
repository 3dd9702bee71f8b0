//! The embedded store and a node, told the same in different orders: the same root, the same folder.

use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::common::content::{
    MIB, OCI_ARTIFACT, OCI_MANIFEST, image, index, noise, sha256, sha512,
};
use crate::common::repository::Repository;
use crate::common::{KuboNode, Server, roadstead, run, succeed};
use crate::kubo::registry::{Registry, published};

/// How many images there are; every third is deleted again.
const IMAGES: usize = 12;

fn name(number: usize) -> &'static str {
    ["team/app", "team/app/nested", "other"][number % 3]
}

/// The parts of an image: several share a layer, some layers have many chunks.
fn parts(number: usize) -> (Vec<u8>, [Vec<u8>; 2]) {
    let config = format!("{{\"{number}\":0}}").into_bytes();
    let size = [9, 70_000, MIB, 2 * MIB + 5][number % 4];
    (config, [noise(size, number as u64 + 1), noise(1000, number as u64 % 2)])
}

fn manifest(number: usize) -> Vec<u8> {
    let (config, [own, shared]) = parts(number);
    image(&config, &[&own, &shared]).to_string().into_bytes()
}

/// Pushes an image, by the longer digest now and then.
fn push(server: &Server, number: usize) {
    let repository = Repository::of(server, name(number));
    let (config, [own, shared]) = parts(number);
    for blob in [&config, &own, &shared] {
        repository.push_blob(blob);
    }
    if number.is_multiple_of(4) {
        repository.push_blob_as(&own, &sha512(&own));
    }
    let bytes = manifest(number);
    let pushed = repository.put(&format!("v{number}"), OCI_MANIFEST, &bytes);
    assert_eq!(pushed.status, 201, "{}", pushed.text());
}

fn delete(server: &Server, number: usize) {
    let repository = Repository::of(server, name(number));
    let deleted = repository.delete(&format!("manifests/{}", sha256(&manifest(number))));
    assert_eq!(deleted.status, 202, "{}", deleted.text());
}

/// An index of all images of a repository, what refers to it, and a tag that only goes.
fn finish(server: &Server) {
    let repository = Repository::of(server, name(1));
    let images: Vec<Vec<u8>> = (0..IMAGES)
        .filter(|number| name(*number) == name(1) && number % 4 != 1)
        .map(manifest)
        .collect();
    let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    let all = repository.push_manifest("all", &index(&images));
    repository.push_manifest("gone", &index(&images[..1]));
    assert_eq!(repository.delete("manifests/gone").status, 202);
    let subject = json!({
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": sha256(&all),
        "size": all.len(),
    });
    let mut referrer = image(&parts(1).0, &[]);
    referrer["subject"] = subject;
    referrer["artifactType"] = json!(OCI_ARTIFACT);
    repository.push_untagged(&referrer);
}

#[test]
fn both_stores_come_to_the_same_root_by_different_ways() {
    let Some(node) = KuboNode::start() else { return };
    let embedded = Server::start_embedded();
    let registry = Registry::start(&node);
    let is_deleted = |number: usize| number % 4 == 1;

    for number in 0..IMAGES {
        push(&embedded, number);
        if is_deleted(number) {
            delete(&embedded, number);
        }
    }
    finish(&embedded);
    for number in (0..IMAGES).rev() {
        push(&registry.server, number);
    }
    finish(&registry.server);
    for number in (0..IMAGES).filter(|number| is_deleted(*number)) {
        delete(&registry.server, number);
    }

    let root = succeed(&mut embedded.command(["root"]));
    assert_eq!(registry.root(), root);
    assert_eq!(published(&node), root);
    // And what the node gives out as files is that folder.
    let folder = TempDir::new().unwrap();
    let public = folder.path().join("public");
    node.ipfs(["get", "-o", public.to_str().unwrap(), &root]);
    assert_eq!(succeed(roadstead(["cid"]).arg(&public)), root);
    let mut compare = Command::new("diff");
    let compared = run(compare.arg("-r").arg(&public).arg(embedded.data().join("public")));
    assert!(compared.succeeded(), "{compared}");
    registry.assert_whole(&node);
}
