//! Deletes: at once, of one thing, in one repository.

use serde_json::json;

use crate::common::Server;
use crate::common::content::{OCI_MANIFEST, sha256};
use crate::common::repository::{Repository, assert_refused};

#[test]
fn a_deleted_blob_is_gone_at_once_and_may_come_back() {
    let server = Server::start();
    let (repository, other) = (Repository::of(&server, "a"), Repository::of(&server, "b"));
    let path = format!("blobs/{}", repository.push_blob(b"content"));
    other.push_blob(b"content");
    for _ in 0..2 {
        let response = repository.delete(&path);
        assert_eq!((response.status, response.body.len()), (202, 0));
        assert_eq!(repository.head(&path).status, 404);
        assert_refused(&repository.get(&path), 404, "BLOB_UNKNOWN");
        assert_refused(&repository.delete(&path), 404, "BLOB_UNKNOWN");
        assert_eq!(other.get(&path).body, b"content", "of another repository");
        repository.push_blob(b"content");
        assert_eq!(repository.get(&path).body, b"content");
    }
}

#[test]
fn a_deleted_tag_leaves_its_manifest_and_other_tags() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    assert_eq!(repository.put("v2", OCI_MANIFEST, &pushed.manifest).status, 201);
    assert_eq!(repository.delete("manifests/v1").status, 202);
    assert_refused(&repository.get("manifests/v1"), 404, "MANIFEST_UNKNOWN");
    assert_refused(&repository.delete("manifests/v1"), 404, "MANIFEST_UNKNOWN");
    assert!(repository.get("manifests/v2").body == pushed.manifest);
    assert!(repository.get(&format!("manifests/{}", pushed.digest)).body == pushed.manifest);
    assert_eq!(repository.get("tags/list").json()["tags"], json!(["v2"]));
}

#[test]
fn a_manifest_goes_with_every_tag_that_points_to_it() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let other = Repository::of(&server, "team/other");
    let pushed = repository.push_image("v1", "word");
    other.push_image("v1", "word");
    assert_eq!(repository.put("v2", OCI_MANIFEST, &pushed.manifest).status, 201);
    let another = repository.push_image("v3", "another");
    let path = format!("manifests/{}", pushed.digest);
    assert_eq!(repository.delete(&path).status, 202);
    for gone in ["manifests/v1", "manifests/v2", &path] {
        assert_refused(&repository.get(gone), 404, "MANIFEST_UNKNOWN");
        assert_eq!(repository.head(gone).status, 404);
    }
    assert_refused(&repository.delete(&path), 404, "MANIFEST_UNKNOWN");
    assert!(repository.get("manifests/v3").body == another.manifest);
    assert_eq!(repository.get("tags/list").json()["tags"], json!(["v3"]));
    // OpenRegistry deleted from every repository.
    assert!(other.get("manifests/v1").body == pushed.manifest);
    // The blobs are still there, so that the image can be pushed again.
    assert_eq!(repository.get(&format!("blobs/{}", sha256(&pushed.layer))).body, pushed.layer);
    assert_eq!(repository.put("v1", OCI_MANIFEST, &pushed.manifest).status, 201);
    assert!(repository.get("manifests/v1").body == pushed.manifest);
}

#[test]
fn a_repository_without_tags_has_an_empty_list_of_them() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    assert_eq!(repository.delete("manifests/v1").status, 202);
    for _ in 0..2 {
        let list = repository.get("tags/list");
        assert_eq!(list.status, 200);
        assert_eq!(list.text(), r#"{"name":"team/app","tags":[]}"#);
        // Then without the manifest, too.
        repository.delete(&format!("manifests/{}", pushed.digest));
    }
}
