//! Pushing over HTTP, in the fewest words.

use roadstead::oci::{Algorithm, Digest};

use crate::common::repository::Repository;
use crate::common::{Server, http};

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

/// Pushes a blob under a name.
pub(crate) fn blob(server: &Server, repository: &str, digest: &Digest, bytes: &[u8]) {
    Repository::of(server, repository).push_blob_as(bytes, &digest.to_string());
}

/// Pushes a manifest by tag or digest, and returns the answer.
pub(crate) fn manifest(
    server: &Server,
    repository: &str,
    reference: &str,
    text: &str,
) -> http::Response {
    let url = server.url(&format!("/v2/{repository}/manifests/{reference}"));
    http::send(|client| client.put(&url).body(text.to_owned()))
}

/// The manifest of an image of one config and one layer, by those names.
pub(crate) fn image_text(config: &Digest, layer: &Digest) -> String {
    let media = "application/vnd.oci.image";
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{media}.manifest.v1+json","config":{{"mediaType":"{media}.config.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"{media}.layer.v1.tar","digest":"{layer}","size":5}}]}}"#
    )
}

/// Pushes an image with that layer, and returns its manifest.
pub(crate) fn image(server: &Server, repository: &str, tag: &str, layer: &str) -> String {
    let (config, digest) = (sha256(b"{}"), sha256(layer.as_bytes()));
    blob(server, repository, &config, b"{}");
    blob(server, repository, &digest, layer.as_bytes());
    let text = image_text(&config, &digest);
    assert_eq!(manifest(server, repository, tag, &text).status, 201);
    text
}

pub(crate) fn delete(server: &Server, path: &str) -> u16 {
    let url = server.url(path);
    http::send(|client| client.delete(&url)).status
}

/// The media type of an artifact manifest.
pub(crate) const ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";

/// Pushes an artifact manifest whose media type only the Content-Type says, and returns it.
pub(crate) fn artifact(server: &Server, repository: &str, tag: &str) -> String {
    let digest = sha256(b"layer");
    blob(server, repository, &digest, b"layer");
    let text = format!(
        r#"{{"artifactType":"text/x","blobs":[{{"mediaType":"text/plain","digest":"{digest}","size":5}}]}}"#
    );
    let answer = Repository::of(server, repository).put(tag, ARTIFACT, text.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
    text
}
