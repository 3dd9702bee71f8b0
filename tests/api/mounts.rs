//! Blobs that a repository takes over from another one. zot fails the conformance suite here.

use crate::common::content::{NOBODYS, noise, sha256, sha512};
use crate::common::repository::{Repository, Upload, assert_refused};
use crate::common::{Server, http};

#[test]
fn a_blob_is_mounted_from_the_repository_that_has_it() {
    let server = Server::start();
    let (source, target) = (Repository::of(&server, "source"), Repository::of(&server, "a/target"));
    let content = noise(100_000, 1);
    let digest = source.push_blob(&content);
    assert_eq!(target.head(&format!("blobs/{digest}")).status, 404);
    let response = target.post(&format!("blobs/uploads/?mount={digest}&from=source"));
    assert_eq!(response.status, 201, "{}", response.text());
    assert_eq!(response.header("location"), format!("/v2/a/target/blobs/{digest}"));
    assert_eq!(response.header("docker-content-digest"), digest);
    assert!(http::get(&server.url(response.header("location"))).body == content);
    assert_eq!(
        Repository::of(&server, "third").head(&format!("blobs/{digest}")).status,
        404,
        "a mount gives the blob to one repository"
    );
}

#[test]
fn a_mount_without_a_source_finds_the_blob() {
    let server = Server::start();
    let digest = Repository::of(&server, "somewhere/else").push_blob(b"content");
    for query in [format!("mount={digest}"), format!("from=&mount={digest}")] {
        let name = format!("target{}", query.len());
        let target = Repository::of(&server, &name);
        let response = target.post(&format!("blobs/uploads/?{query}"));
        assert_eq!(response.status, 201, "{query}: {}", response.text());
        assert_eq!(target.get(&format!("blobs/{digest}")).body, b"content");
    }
}

#[test]
fn a_mount_that_fails_begins_an_upload() {
    let server = Server::start();
    let digest = Repository::of(&server, "source").push_blob(b"content");
    let target = Repository::of(&server, "target");
    for query in [
        format!("mount={NOBODYS}&from=source"),
        format!("mount={NOBODYS}"),
        format!("mount={digest}&from=empty"),
        format!("mount={digest}&from=example.com/source"),
        format!("mount={}&from=source", sha512(b"content")),
        "from=source".to_owned(),
    ] {
        let response = target.post(&format!("blobs/uploads/?{query}"));
        assert_eq!(response.status, 202, "{query}: {}", response.text());
        assert_eq!(target.head(&format!("blobs/{digest}")).status, 404, "{query}");
        let upload = Upload::at(&server, response.header("location"));
        let content = query.as_bytes();
        assert_eq!(upload.finish_with(&sha256(content), content).status, 201, "{query}");
    }
}

#[test]
fn a_mount_of_what_is_there_already_succeeds() {
    let server = Server::start();
    let repository = Repository::of(&server, "app");
    let digest = repository.push_blob(b"content");
    let response = repository.post(&format!("blobs/uploads/?mount={digest}&from=app"));
    assert_eq!(response.status, 201);
}

#[test]
fn a_malformed_mount_is_refused() {
    let server = Server::start();
    let digest = Repository::of(&server, "source").push_blob(b"content");
    let target = Repository::of(&server, "target");
    for (query, code) in [
        ("mount=sha256:abc&from=source".to_owned(), "DIGEST_INVALID"),
        ("mount=content&from=source".to_owned(), "DIGEST_INVALID"),
    ] {
        assert_refused(&target.post(&format!("blobs/uploads/?{query}")), 400, code);
    }
    // Where only the source is no name, the mount has failed, which is never an error.
    for query in [
        format!("mount={digest}&from=SOURCE"),
        format!("mount={digest}&from=../source"),
        "mount=&from=source".to_owned(),
    ] {
        let response = target.post(&format!("blobs/uploads/?{query}"));
        assert_eq!(response.status, 202, "{query}: {}", response.text());
    }
}

#[test]
fn a_mounted_blob_stays_when_its_source_deletes_it() {
    let server = Server::start();
    let (source, target) = (Repository::of(&server, "source"), Repository::of(&server, "target"));
    let digest = source.push_blob(b"content");
    let path = format!("blobs/{digest}");
    let mounted = target.post(&format!("blobs/uploads/?mount={digest}&from=source"));
    assert_eq!(mounted.status, 201);
    assert_eq!(source.delete(&path).status, 202);
    assert_eq!(source.head(&path).status, 404);
    assert_eq!(target.get(&path).body, b"content");
    let image = crate::common::content::image(b"content", &[b"content"]);
    target.push_manifest("v1", &image);
}
