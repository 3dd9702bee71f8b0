//! Kinds of manifest: what a document is taken for, and what is refused.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::common::Server;
use crate::common::content::{
    DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, descriptor,
    image, index,
};
use crate::common::repository::{Repository, assert_refused};

fn with_blobs(server: &Server) -> Repository<'_> {
    let repository = Repository::of(server, "team/app");
    repository.push_blob(b"config");
    repository.push_blob(b"layer");
    repository
}

/// The document without its own media type.
fn untyped(mut manifest: Value) -> Value {
    manifest.as_object_mut().expect("it is an object").remove("mediaType");
    manifest
}

/// The document with another media type.
fn retyped(mut manifest: Value, media_type: &str) -> Value {
    manifest["mediaType"] = media_type.into();
    manifest
}

#[test]
fn every_kind_is_served_as_what_it_was_pushed() {
    let server = Server::start();
    let repository = with_blobs(&server);
    let child = repository.push_manifest("child", &image(b"config", &[b"layer"]));
    let artifact = json!({
        "mediaType": OCI_ARTIFACT,
        "artifactType": "application/vnd.example.sbom",
        "blobs": [descriptor("text/plain", b"layer")],
    });
    for (media_type, manifest) in [
        (OCI_MANIFEST, image(b"config", &[b"layer"])),
        (DOCKER_MANIFEST, retyped(image(b"config", &[b"layer"]), DOCKER_MANIFEST)),
        (OCI_INDEX, index(&[&child])),
        (DOCKER_LIST, retyped(index(&[&child]), DOCKER_LIST)),
        (OCI_ARTIFACT, artifact),
    ] {
        let bytes = manifest.to_string().into_bytes();
        let untyped = untyped(manifest).to_string().into_bytes();
        for (bytes, content_type) in [
            (&bytes, media_type.to_owned()),
            (&bytes, format!("{media_type}; charset=utf-8")),
            (&bytes, format!("{media_type};charset=\"utf-8\" ; x=y")),
            (&bytes, media_type.to_uppercase()),
            (&bytes, "application/json".to_owned()),
            (&bytes, "application/octet-stream".to_owned()),
            (&untyped, media_type.to_owned()),
            (&untyped, format!("{media_type}; charset=utf-8")),
        ] {
            let response = repository.put("kind", &content_type, bytes);
            assert_eq!(response.status, 201, "{content_type}: {}", response.text());
            for method in [Method::GET, Method::HEAD] {
                let pulled = repository.send(method, "manifests/kind", |request| request);
                assert_eq!(pulled.header("content-type"), media_type, "{content_type}");
            }
            assert!(repository.get("manifests/kind").body == *bytes, "{content_type}");
        }
    }
}

#[test]
fn a_document_without_any_type_is_recognised_by_its_fields() {
    let server = Server::start();
    let repository = with_blobs(&server);
    for (manifest, media_type) in [
        (untyped(image(b"config", &[b"layer"])), OCI_MANIFEST),
        (untyped(index(&[])), OCI_INDEX),
        (retyped(image(b"config", &[]), DOCKER_MANIFEST), DOCKER_MANIFEST),
    ] {
        let body = manifest.to_string();
        let response = repository.send(Method::PUT, "manifests/v1", |request| request.body(body));
        assert_eq!(response.status, 201, "{}", response.text());
        assert_eq!(repository.head("manifests/v1").header("content-type"), media_type);
    }
}

#[test]
fn the_same_bytes_may_be_pushed_as_two_types() {
    let server = Server::start();
    let repository = with_blobs(&server);
    let bytes = untyped(image(b"config", &[b"layer"])).to_string().into_bytes();
    for media_type in [OCI_MANIFEST, DOCKER_MANIFEST, OCI_MANIFEST] {
        assert_eq!(repository.put("v1", media_type, &bytes).status, 201);
        assert_eq!(repository.head("manifests/v1").header("content-type"), media_type);
    }
    let other = Repository::of(&server, "other");
    for blob in [b"config".as_slice(), b"layer"] {
        other.push_blob(blob);
    }
    assert_eq!(other.put("v1", DOCKER_MANIFEST, &bytes).status, 201);
    assert_eq!(other.head("manifests/v1").header("content-type"), DOCKER_MANIFEST);
    assert_eq!(repository.head("manifests/v1").header("content-type"), OCI_MANIFEST);
}

#[test]
fn a_document_that_is_no_manifest_is_refused() {
    let server = Server::start();
    let repository = with_blobs(&server);
    let good = image(b"config", &[b"layer"]);
    let change = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        changed.to_string()
    };
    let without = |name: &str| {
        let mut changed = good.clone();
        changed.as_object_mut().expect("it is an object").remove(name);
        changed.to_string()
    };
    let negative = good.to_string().replace("\"size\":5", "\"size\":-5");
    assert_ne!(negative, good.to_string());
    for document in [
        String::new(),
        "not JSON".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "\u{0}".to_owned(),
        "[".repeat(100_000),
        format!("{{\"schemaVersion\":2,\"x\":{}", "{\"x\":".repeat(50_000)),
        format!("{good}{good}"),
        good.to_string()[..100].to_owned(),
        change("schemaVersion", json!(1)),
        change("schemaVersion", json!("2")),
        change("config", json!("config")),
        change("config", json!({})),
        change("layers", json!({})),
        change("layers", json!([{ "mediaType": OCI_LAYER, "digest": "sha256:abc", "size": 1 }])),
        change("layers", json!([{ "mediaType": OCI_LAYER, "digest": "../../etc", "size": 1 }])),
        change("layers", json!([null])),
        change("manifests", json!([])),
        change("artifactType", json!("a\0b")),
        change("annotations", json!({ "a": 1 })),
        change("subject", json!("v1")),
        change("subject", json!({ "digest": "v1", "size": 1 })),
        change("mediaType", json!("text/plain")),
        change("mediaType", json!(OCI_INDEX)),
        without("schemaVersion"),
        without("config"),
        negative,
    ] {
        let response = repository.put("v1", OCI_MANIFEST, document.as_bytes());
        assert_refused(&response, 400, "MANIFEST_INVALID");
    }
    let response = repository.put("v1", OCI_MANIFEST, b"\xff\xfe{\"schemaVersion\":2}");
    assert_refused(&response, 400, "MANIFEST_INVALID");
    assert_eq!(repository.head("manifests/v1").status, 404);
}

#[test]
fn a_type_that_is_no_manifests_or_another_one_is_refused() {
    let server = Server::start();
    let repository = with_blobs(&server);
    let bytes = image(b"config", &[b"layer"]).to_string().into_bytes();
    for content_type in [
        OCI_INDEX,
        DOCKER_MANIFEST,
        "text/plain",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.oci.image.config.v1+json",
        "nonsense",
    ] {
        let response = repository.put("v1", content_type, &bytes);
        assert_refused(&response, 400, "MANIFEST_INVALID");
    }
    let response = repository.send(Method::PUT, "manifests/v1", |request| {
        request.header(CONTENT_TYPE, b"\xff\xfe".as_slice()).body(bytes)
    });
    assert_refused(&response, 400, "MANIFEST_INVALID");
}
