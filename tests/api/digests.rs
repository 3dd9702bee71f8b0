//! sha512 beside sha256: a second name for the same bytes. distribution answers with the wrong one.

use reqwest::Method;
use serde_json::json;

use crate::common::Server;
use crate::common::content::{
    MIB, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, image, index, noise, sha256, sha512,
};
use crate::common::repository::{Repository, assert_refused};

#[test]
fn a_blob_is_pushed_and_pulled_by_sha512() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(2 * MIB + 3, 1);
    let digest = sha512(&content);
    let begun = repository.post("blobs/uploads/?digest-algorithm=sha512");
    assert_eq!(begun.status, 202);
    let upload = crate::common::repository::Upload::at(&server, begun.header("location"));
    let patched = upload.stream(&content[..MIB]);
    assert_eq!(patched.status, 202);
    let upload = crate::common::repository::Upload::at(&server, patched.header("location"));
    let finished = upload.finish_with(&digest, &content[MIB..]);
    assert_eq!(finished.status, 201, "{}", finished.text());
    assert_eq!(finished.header("docker-content-digest"), digest);
    assert_eq!(finished.header("location"), format!("/v2/team/app/blobs/{digest}"));
    let path = format!("blobs/{digest}");
    for response in [repository.get(&path), repository.head(&path)] {
        assert_eq!(response.status, 200);
        assert_eq!(response.header("docker-content-digest"), digest);
        assert_eq!(response.header("etag"), format!("\"{digest}\""));
        assert_eq!(response.header("content-length"), content.len().to_string());
    }
    assert!(repository.get(&path).body == content);
    let ranged = repository
        .send(Method::GET, &path, |request| request.header("range", "bytes=1048575-1048576"));
    assert_eq!((ranged.status, ranged.body), (206, content[MIB - 1..=MIB].to_vec()));
    assert_eq!(
        Repository::of(&server, "other").head(&path).status,
        404,
        "a second name is no key to other repositories"
    );
}

#[test]
fn other_content_than_its_sha512_is_refused() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let response = repository.begin().finish_with(&sha512(b"content"), b"other content");
    assert_refused(&response, 400, "DIGEST_INVALID");
    assert_eq!(repository.head(&format!("blobs/{}", sha512(b"content"))).status, 404);
}

#[test]
fn a_blob_has_both_names_once_it_was_pushed_by_both() {
    let server = Server::start();
    let (repository, other) = (Repository::of(&server, "app"), Repository::of(&server, "other"));
    let (short, long) = (sha256(b"content"), sha512(b"content"));
    repository.push_blob_as(b"content", &short);
    assert_eq!(repository.head(&format!("blobs/{long}")).status, 404, "nobody said it yet");
    repository.push_blob_as(b"content", &long);
    for digest in [&short, &long] {
        let response = repository.get(&format!("blobs/{digest}"));
        assert_eq!(
            (response.header("docker-content-digest"), &*response.body),
            (&**digest, &b"content"[..])
        );
    }
    let mounted = other.post(&format!("blobs/uploads/?mount={long}&from=app"));
    assert_eq!((mounted.status, mounted.header("docker-content-digest")), (201, &*long));
    assert_eq!(other.get(&format!("blobs/{long}")).body, b"content");
    assert_eq!(repository.delete(&format!("blobs/{long}")).status, 202);
    for digest in [&short, &long] {
        let path = format!("blobs/{digest}");
        assert_refused(&repository.get(&path), 404, "BLOB_UNKNOWN");
    }
    assert_eq!(other.get(&format!("blobs/{long}")).body, b"content");
}

#[test]
fn a_manifest_is_pushed_tagged_and_deleted_by_sha512() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let (config, layer) = (b"config".as_slice(), b"layer".as_slice());
    for blob in [config, layer] {
        repository.push_blob_as(blob, &sha512(blob));
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": OCI_CONFIG, "digest": sha512(config), "size": config.len() },
        "layers": [{ "mediaType": OCI_LAYER, "digest": sha512(layer), "size": layer.len() }],
    });
    let bytes = manifest.to_string().into_bytes();
    let (short, long) = (sha256(&bytes), sha512(&bytes));
    let pushed = repository.put(&format!("{long}?tag=long"), OCI_MANIFEST, &bytes);
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    assert_eq!(pushed.header("docker-content-digest"), long);
    assert_eq!(pushed.header("location"), format!("/v2/team/app/manifests/{long}"));
    for reference in [&*long, "long"] {
        let path = format!("manifests/{reference}");
        for response in [repository.get(&path), repository.head(&path)] {
            assert_eq!(response.status, 200, "{reference}");
            assert_eq!(response.header("docker-content-digest"), long, "{reference}");
            assert_eq!(response.header("etag"), format!("\"{long}\""), "{reference}");
        }
        assert!(repository.get(&path).body == bytes);
    }
    let layer = format!("blobs/{}", sha512(layer));
    assert_refused(&repository.delete(&layer), 409, "REFERENCED");
    repository.push_manifest("short", &manifest);
    assert_eq!(repository.head("manifests/short").header("docker-content-digest"), short);
    assert_eq!(repository.delete(&format!("manifests/{long}")).status, 202);
    for reference in [&*long, "long", &*short, "short"] {
        let path = format!("manifests/{reference}");
        assert_refused(&repository.get(&path), 404, "MANIFEST_UNKNOWN");
    }
    assert_eq!(repository.delete(&layer).status, 202);
}

#[test]
fn an_index_may_name_its_children_by_either() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"config");
    let child = image(b"config", &[]).to_string().into_bytes();
    let mut list = index(&[&child]);
    list["manifests"][0]["digest"] = sha512(&child).into();
    let refused =
        repository.put("multi", crate::common::content::OCI_INDEX, list.to_string().as_bytes());
    assert_refused(&refused, 400, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(repository.put(&sha512(&child), OCI_MANIFEST, &child).status, 201);
    repository.push_manifest("multi", &list);
    repository.push_manifest("multi", &index(&[&child]));
    let path = format!("manifests/{}", sha512(&child));
    assert_refused(&repository.delete(&path), 409, "REFERENCED");
}

#[test]
fn an_algorithm_that_cannot_be_checked_is_refused() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let md5 = "md5:d41d8cd98f00b204e9800998ecf8427e";
    for rest in [
        "blobs/uploads/?digest-algorithm=md5".to_owned(),
        "blobs/uploads/?digest-algorithm=".to_owned(),
        format!("blobs/uploads/?digest={md5}"),
        format!("blobs/uploads/?mount={md5}&from=team/app"),
    ] {
        assert_refused(&repository.post(&rest), 400, "DIGEST_INVALID");
    }
    for rest in [format!("blobs/{md5}"), format!("manifests/{md5}"), format!("referrers/{md5}")] {
        assert_refused(&repository.get(&rest), 400, "DIGEST_INVALID");
    }
}
