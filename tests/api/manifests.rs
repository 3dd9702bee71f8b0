//! Manifests: pushed and pulled, byte for byte.

use reqwest::Method;
use reqwest::header::{ACCEPT, IF_NONE_MATCH};
use serde_json::json;

use crate::common::content::{
    DOCKER_MANIFEST, NOBODYS, OCI_INDEX, OCI_MANIFEST, descriptor, image, index, sha256, sha512,
};
use crate::common::repository::{Repository, assert_refused};
use crate::common::{Server, http};

#[test]
fn a_manifest_comes_back_by_tag_and_by_digest() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    for reference in ["v1", &pushed.digest] {
        let path = format!("manifests/{reference}");
        let response = repository.get(&path);
        assert_eq!(response.status, 200);
        assert!(response.body == pushed.manifest, "{reference}: other bytes came");
        let head = repository.head(&path);
        assert_eq!((head.status, head.body.len()), (200, 0));
        for (name, value) in [
            ("content-type", OCI_MANIFEST),
            ("content-length", &pushed.manifest.len().to_string()),
            ("docker-content-digest", &pushed.digest),
            ("etag", &format!("\"{}\"", pushed.digest)),
        ] {
            assert_eq!(response.header(name), value, "GET {reference}: {name}");
            assert_eq!(head.header(name), value, "HEAD {reference}: {name}");
        }
    }
}

#[test]
fn a_push_answers_with_the_location_and_the_digest() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    for reference in ["v2", &pushed.digest] {
        let response = repository.put(reference, OCI_MANIFEST, &pushed.manifest);
        assert_eq!(response.status, 201);
        assert_eq!(response.header("docker-content-digest"), pushed.digest);
        let location = format!("/v2/team/app/manifests/{}", pushed.digest);
        assert_eq!(response.header("location"), location);
        assert_eq!(response.header("oci-subject"), "");
        assert!(http::get(&server.url(&location)).body == pushed.manifest);
    }
}

/// OpenRegistry wrote manifests anew: the digest differed, annotations were lost.
#[test]
fn bytes_are_served_exactly_as_they_came() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"config");
    let config = descriptor("application/vnd.oci.image.config.v1+json", b"config");
    let odd = format!(
        "\n {{ \"unknown\":{{\"b\":1,\"a\":[1.0,1e2,null]}},\t\"layers\" : [ ] ,\r\n\
         \"annotations\":{{\"z\":\"\\u00e4\",\"a\":\"<&>\"}},\"config\":{config},\
         \"schemaVersion\":2}}\n\n"
    );
    let response = repository.put("odd", OCI_MANIFEST, odd.as_bytes());
    assert_eq!(response.status, 201, "{}", response.text());
    assert_eq!(response.header("docker-content-digest"), sha256(odd.as_bytes()));
    for reference in ["odd", &sha256(odd.as_bytes())] {
        let pulled = repository.get(&format!("manifests/{reference}"));
        assert!(pulled.body == odd.as_bytes(), "{}", pulled.text());
        assert_eq!(pulled.header("content-type"), OCI_MANIFEST);
    }
}

/// distribution answers 404 for OCI types that `Accept` does not name, which breaks old scripts.
#[test]
fn what_was_pushed_is_served_whatever_the_client_accepts() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    for accept in [DOCKER_MANIFEST, OCI_INDEX, "text/html", "*/*", ""] {
        let response =
            repository.send(Method::GET, "manifests/v1", |request| request.header(ACCEPT, accept));
        assert_eq!(response.header("content-type"), OCI_MANIFEST, "{accept}");
        assert!(response.body == pushed.manifest, "{accept}");
    }
}

#[test]
fn a_client_that_has_the_manifest_gets_304_without_the_bytes() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let first = repository.push_image("v1", "first");
    let ask = |tag: &str| {
        repository.send(Method::GET, "manifests/v1", |request| request.header(IF_NONE_MATCH, tag))
    };
    let tag = format!("\"{}\"", first.digest);
    assert_eq!((ask(&tag).status, ask(&tag).body.len()), (304, 0));
    repository.push_image("v1", "second");
    assert_eq!(ask(&tag).status, 200, "the tag has moved");
}

#[test]
fn an_unknown_manifest_is_404() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let absent = Repository::of(&server, "absent");
    repository.push_image("v1", "word");
    for reference in ["v2", "V1", "latest", NOBODYS, &sha512(b"nobody's")] {
        let path = format!("manifests/{reference}");
        for repository in [&repository, &absent] {
            assert_refused(&repository.get(&path), 404, "MANIFEST_UNKNOWN");
            assert_refused(&repository.delete(&path), 404, "MANIFEST_UNKNOWN");
            assert_eq!(repository.head(&path).status, 404);
        }
    }
}

#[test]
fn a_manifest_is_only_there_for_the_repository_that_it_was_pushed_to() {
    let server = Server::start();
    let pushed = Repository::of(&server, "team/app").push_image("v1", "word");
    let other = Repository::of(&server, "team/other");
    for reference in ["v1", &pushed.digest] {
        let path = format!("manifests/{reference}");
        assert_refused(&other.get(&path), 404, "MANIFEST_UNKNOWN");
    }
}

#[test]
fn a_tag_moves_at_once_and_what_it_pointed_to_stays() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let first = repository.push_image("latest", "first");
    let second = repository.push_image("latest", "second");
    assert!(repository.get("manifests/latest").body == second.manifest);
    assert_eq!(repository.head("manifests/latest").header("docker-content-digest"), second.digest);
    assert!(repository.get(&format!("manifests/{}", first.digest)).body == first.manifest);
    repository.push_manifest("latest", &serde_json::from_slice(&first.manifest).expect("JSON"));
    assert!(repository.get("manifests/latest").body == first.manifest);
}

#[test]
fn a_manifest_by_another_digest_is_refused() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    for digest in [NOBODYS, &sha512(b"nobody's")] {
        let response = repository.put(digest, OCI_MANIFEST, &pushed.manifest);
        assert_refused(&response, 400, "DIGEST_INVALID");
        assert_eq!(repository.head(&format!("manifests/{digest}")).status, 404);
    }
}

#[test]
fn one_push_by_digest_sets_many_tags() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    let tags: Vec<String> = (0..12).map(|number| format!("t{number:02}")).collect();
    let query = tags.iter().map(|tag| format!("tag={tag}")).collect::<Vec<_>>().join("&");
    let reference = format!("{}?{query}", pushed.digest);
    let response = repository.put(&reference, OCI_MANIFEST, &pushed.manifest);
    assert_eq!(response.status, 201, "{}", response.text());
    let listed: Vec<&str> = response
        .headers
        .get_all("oci-tag")
        .iter()
        .flat_map(|value| value.to_str().expect("tags are ASCII").split(", "))
        .collect();
    assert_eq!(listed, tags);
    for tag in &tags {
        assert!(repository.get(&format!("manifests/{tag}")).body == pushed.manifest, "{tag}");
    }
    let reference = format!("{}?tag=good&tag=-bad", pushed.digest);
    let refused = repository.put(&reference, OCI_MANIFEST, &pushed.manifest);
    assert_refused(&refused, 400, "TAG_INVALID");
    assert_eq!(repository.head("manifests/good").status, 404, "all of them or none");
}

#[test]
fn an_index_and_its_children_are_pushed_in_one_repository() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let (amd64, arm64) =
        (repository.push_image("amd64", "amd64"), repository.push_image("arm64", "arm64"));
    let list = index(&[&amd64.manifest, &arm64.manifest]);
    let bytes = repository.push_manifest("multi", &list);
    let pulled = repository.get("manifests/multi");
    assert!(pulled.body == bytes);
    assert_eq!(pulled.header("content-type"), OCI_INDEX);
    let nested = repository.push_manifest(
        "nested",
        &json!({
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [descriptor(OCI_INDEX, &bytes)],
        }),
    );
    assert!(repository.get("manifests/nested").body == nested);
    let empty = repository.push_manifest("empty", &index(&[]));
    assert!(repository.get("manifests/empty").body == empty);
}

#[test]
fn an_image_may_name_a_layer_twice_and_have_none() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"config");
    repository.push_blob(b"layer");
    repository.push_manifest("twice", &image(b"config", &[b"layer", b"layer", b"config"]));
    repository.push_manifest("none", &image(b"config", &[]));
}
