//! What a manifest references: it has to be there before, and stays until the manifest goes.

use serde_json::json;

use crate::common::Server;
use crate::common::content::{
    DOCKER_LIST, DOCKER_MANIFEST, NOBODYS, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST,
    descriptor, image, index, sha256,
};
use crate::common::repository::{Repository, assert_refused};

#[test]
fn a_manifest_whose_blobs_are_missing_is_refused_and_names_them() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"config");
    repository.push_blob(b"layer");
    for (config, layer, missing) in [
        ("config", "absent", vec!["absent"]),
        ("absent", "layer", vec!["absent"]),
        ("gone", "absent", vec!["gone", "absent"]),
    ] {
        let bytes = image(config.as_bytes(), &[b"layer", layer.as_bytes()]).to_string();
        for reference in ["v1", &sha256(bytes.as_bytes())] {
            let response = repository.put(reference, OCI_MANIFEST, bytes.as_bytes());
            assert_refused(&response, 400, "MANIFEST_BLOB_UNKNOWN");
            let named: Vec<_> = missing.iter().map(|it| sha256(it.as_bytes())).collect();
            assert_eq!(response.json()["errors"][0]["detail"], json!(named));
            assert!(!response.text().contains("allow_sparse_indexes"), "{}", response.text());
            assert_eq!(repository.head(&format!("manifests/{reference}")).status, 404);
        }
    }
    assert_refused(&Repository::of(&server, "nothing").get("tags/list"), 404, "NAME_UNKNOWN");
}

/// C17: the error for 40,000 missing layers had 2.9 MB.
#[test]
fn of_what_is_missing_a_hundred_are_named() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"config");
    let layers: Vec<_> = (0..5000).map(|number| format!("absent {number}").into_bytes()).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let manifest = image(b"config", &layers).to_string();
    let refused = repository.put("v1", OCI_MANIFEST, manifest.as_bytes());
    assert_refused(&refused, 400, "MANIFEST_BLOB_UNKNOWN");
    let first: Vec<_> = layers[..100].iter().map(|layer| sha256(layer)).collect();
    assert_eq!(refused.json()["errors"][0]["detail"], json!(first));
    assert!(refused.body.len() < 16 * 1024, "{}", refused.body.len());
}

/// A blob that is stored, but was never pushed to this repository, is not this repository's.
#[test]
fn blobs_of_another_repository_do_not_count() {
    let server = Server::start();
    let pushed = Repository::of(&server, "team/app").push_image("v1", "word");
    let other = Repository::of(&server, "team/other");
    other.push_blob(&pushed.config);
    let response = other.put("v1", OCI_MANIFEST, &pushed.manifest);
    assert_refused(&response, 400, "MANIFEST_BLOB_UNKNOWN");
    other.post(&format!("blobs/uploads/?mount={}&from=team/app", sha256(&pushed.layer)));
    assert_eq!(other.put("v1", OCI_MANIFEST, &pushed.manifest).status, 201);
}

#[test]
fn an_index_whose_children_are_missing_is_refused() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let present = repository.push_image("v1", "word");
    let absent = image(b"config", &[]).to_string();
    for (media_type, mut list) in [(OCI_INDEX, index(&[])), (DOCKER_LIST, index(&[]))] {
        list["mediaType"] = media_type.into();
        list["manifests"] = json!([
            descriptor(OCI_MANIFEST, &present.manifest),
            descriptor(OCI_MANIFEST, absent.as_bytes()),
        ]);
        let response = repository.put("multi", media_type, list.to_string().as_bytes());
        assert_refused(&response, 400, "MANIFEST_BLOB_UNKNOWN");
        let named = json!([sha256(absent.as_bytes())]);
        assert_eq!(response.json()["errors"][0]["detail"], named);
        // The cure is named (D15).
        assert!(response.text().contains("allow_sparse_indexes"), "{}", response.text());
        assert!(!response.text().contains(&present.digest), "{}", response.text());
    }
}

#[test]
fn a_sparse_index_is_accepted_where_it_is_allowed() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_MANIFESTS__ALLOW_SPARSE_INDEXES", "true");
    });
    let repository = Repository::of(&server, "team/app");
    let present = repository.push_image("v1", "word");
    let absent = image(b"config", &[]).to_string().into_bytes();
    let bytes = repository.push_manifest("multi", &index(&[&present.manifest, &absent]));
    assert!(repository.get("manifests/multi").body == bytes);
    let response = repository.put("v2", OCI_MANIFEST, image(b"absent", &[]).to_string().as_bytes());
    assert_refused(&response, 400, "MANIFEST_BLOB_UNKNOWN");
}

/// Older BuildKit pushes its cache as an index whose children are layers and a config.
#[test]
fn children_of_an_index_may_be_blobs() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"layer");
    repository.push_blob(b"cache config");
    let cache = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            descriptor(OCI_LAYER, b"layer"),
            descriptor("application/vnd.buildkit.cacheconfig.v0", b"cache config"),
        ],
    });
    let bytes = repository.push_manifest("cache", &cache);
    assert!(repository.get("manifests/cache").body == bytes);
    let layer = format!("blobs/{}", sha256(b"layer"));
    assert_refused(&repository.delete(&layer), 409, "REFERENCED");
}

#[test]
fn foreign_layers_need_not_be_there() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"config");
    repository.push_blob(b"layer");
    for (media_type, foreign) in [
        (DOCKER_MANIFEST, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        (OCI_MANIFEST, "application/vnd.oci.image.layer.nondistributable.v1.tar"),
        (OCI_MANIFEST, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        (OCI_MANIFEST, "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"),
    ] {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": descriptor(OCI_CONFIG, b"config"),
            "layers": [
                {
                    "mediaType": foreign,
                    "digest": NOBODYS,
                    "size": 1_654_613_376_u64,
                    "urls": ["https://example.com/layer"],
                },
                descriptor(OCI_LAYER, b"layer"),
            ],
        });
        let bytes = repository.push_manifest("v1", &manifest);
        assert!(repository.get("manifests/v1").body == bytes, "{foreign}");
    }
}

#[test]
fn a_subject_need_not_be_there() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"config");
    let mut manifest = image(b"config", &[]);
    manifest["subject"] = json!({ "mediaType": OCI_MANIFEST, "digest": NOBODYS, "size": 7 });
    let bytes = manifest.to_string();
    let response = repository.put("v1", OCI_MANIFEST, bytes.as_bytes());
    assert_eq!(response.status, 201);
    assert_eq!(response.header("oci-subject"), NOBODYS);
}

#[test]
fn a_refused_deletion_names_every_manifest_that_is_in_the_way() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let other = Repository::of(&server, "team/other");
    repository.push_blob(b"config");
    other.push_blob(b"config");
    let pushed: Vec<String> = (0..3)
        .map(|number| {
            let mut manifest = image(b"config", &[]);
            manifest["annotations"] = json!({ "number": number.to_string() });
            other.push_manifest("v1", &manifest);
            sha256(&repository.push_manifest(&format!("v{number}"), &manifest))
        })
        .collect();
    let mut expected = pushed.clone();
    expected.sort_unstable();
    let config = format!("blobs/{}", sha256(b"config"));
    let refused = repository.delete(&config);
    assert_refused(&refused, 409, "REFERENCED");
    assert_eq!(refused.json()["errors"][0]["detail"], json!(expected));
    for digest in &pushed {
        assert_refused(&repository.delete(&config), 409, "REFERENCED");
        assert_eq!(repository.delete(&format!("manifests/{digest}")).status, 202);
    }
    assert_eq!(repository.delete(&config).status, 202);
    assert_refused(&other.delete(&config), 409, "REFERENCED");
}

#[test]
fn what_a_manifest_references_cannot_be_deleted_before_it() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    let list = repository.push_manifest("multi", &index(&[&pushed.manifest]));
    let list_digest = sha256(&list);
    let manifest = format!("manifests/{}", pushed.digest);
    let layer = format!("blobs/{}", sha256(&pushed.layer));
    let config = format!("blobs/{}", sha256(&pushed.config));
    for (path, by) in
        [(&layer, &pushed.digest), (&config, &pushed.digest), (&manifest, &list_digest)]
    {
        let response = repository.delete(path);
        assert_refused(&response, 409, "REFERENCED");
        assert_eq!(response.json()["errors"][0]["detail"], json!([by]), "{path}");
        assert_eq!(repository.head(path).status, 200, "{path}");
    }
    // Without its tags the image is still whole.
    assert_eq!(repository.delete("manifests/v1").status, 202);
    assert_refused(&repository.delete(&layer), 409, "REFERENCED");
    for path in [&format!("manifests/{list_digest}"), &manifest, &layer, &config] {
        assert_eq!(repository.delete(path).status, 202, "{path}");
        assert_eq!(repository.head(path).status, 404, "{path}");
    }
}
