//! Blobs: asked for, fetched, checked against what the client has.

use std::fs;

use reqwest::Method;
use reqwest::header::IF_NONE_MATCH;

use crate::common::connection::ask;
use crate::common::content::{MIB, NOBODYS, noise, sha256, sha512};
use crate::common::repository::{Repository, assert_refused};
use crate::common::{Server, roadstead, succeed};

#[test]
fn a_blob_comes_with_all_that_clients_and_caches_ask_for() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(3 * MIB + 17, 1);
    let digest = repository.push_blob(&content);
    let response = repository.get(&format!("blobs/{digest}"));
    assert_eq!(response.status, 200);
    assert!(response.body == content, "other bytes came back");
    for (name, value) in [
        ("content-length", content.len().to_string().as_str()),
        ("content-type", "application/octet-stream"),
        ("docker-content-digest", &digest),
        ("etag", &format!("\"{digest}\"")),
        ("accept-ranges", "bytes"),
        ("cache-control", "public, max-age=3600, s-maxage=3600"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(response.header(name), value, "{name}");
    }
}

/// ipdr gave a length of 0, OpenRegistry that of the root block.
#[test]
fn a_head_says_the_same_and_has_no_body() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(&noise(2 * MIB + 1, 2));
    let path = format!("blobs/{digest}");
    let (head, get) = (repository.head(&path), repository.get(&path));
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), (2 * MIB + 1).to_string());
    for name in [
        "content-length",
        "content-type",
        "docker-content-digest",
        "etag",
        "accept-ranges",
        "cache-control",
        "x-ipfs-path",
    ] {
        assert!(!get.header(name).is_empty(), "{name}");
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
}

#[test]
fn an_unknown_blob_is_404_by_every_method() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"another");
    for digest in [NOBODYS, &sha512(b"nobody's")] {
        let path = format!("blobs/{digest}");
        assert_refused(&repository.get(&path), 404, "BLOB_UNKNOWN");
        assert_refused(&repository.delete(&path), 404, "BLOB_UNKNOWN");
        let head = repository.head(&path);
        assert_eq!((head.status, head.body.len()), (404, 0));
    }
}

#[test]
fn a_blob_is_only_there_for_the_repository_that_it_was_pushed_to() {
    let server = Server::start();
    let digest = Repository::of(&server, "team/app").push_blob(b"of the team");
    for other in ["team", "team/app/sub", "team/app2", "other"] {
        let other = Repository::of(&server, other);
        assert_refused(&other.get(&format!("blobs/{digest}")), 404, "BLOB_UNKNOWN");
        assert_eq!(other.head(&format!("blobs/{digest}")).status, 404);
    }
    let other = Repository::of(&server, "other");
    other.push_blob(b"of the team");
    assert_eq!(other.get(&format!("blobs/{digest}")).body, b"of the team");
}

#[test]
fn a_client_that_has_the_blob_gets_304_without_the_bytes() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(b"content");
    let path = format!("blobs/{digest}");
    let other = format!("\"{NOBODYS}\"");
    for (tags, status) in [
        (format!("\"{digest}\""), 304),
        (format!("W/\"{digest}\""), 304),
        (format!("{other}, \"{digest}\""), 304),
        ("*".to_owned(), 304),
        (other.clone(), 200),
        ("\"\"".to_owned(), 200),
        (format!("\"{digest}x\""), 200),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let response =
                repository.send(method, &path, |request| request.header(IF_NONE_MATCH, &tags));
            assert_eq!(response.status, status, "{tags}");
            assert_eq!(response.header("etag"), format!("\"{digest}\""), "{tags}");
            assert_eq!(response.header("docker-content-digest"), digest, "{tags}");
        }
    }
    let absent = repository.send(Method::GET, &format!("blobs/{NOBODYS}"), |request| {
        request.header(IF_NONE_MATCH, "*")
    });
    assert_refused(&absent, 404, "BLOB_UNKNOWN");
}

#[test]
fn the_empty_blob_is_a_blob() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(b"");
    assert_eq!(digest, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let path = repository.path(&format!("blobs/{digest}"));
    for method in ["GET", "HEAD"] {
        let answer = ask(&server, method, &path, &[]);
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("0")), "{method}");
    }
    // As a client does that has an empty file to go on with.
    let ranged = ask(&server, "GET", &path, &[("Range", "bytes=0-")]);
    assert_eq!((ranged.status, ranged.header("content-range")), (416, Some("bytes */0")));
    let upload = repository.begin();
    assert_eq!(upload.finish(&digest).status, 201);
}

#[test]
fn a_digest_in_the_path_may_be_percent_encoded() {
    let server = Server::start();
    let digest = Repository::of(&server, "a").push_blob(b"content");
    let target = format!("/v2/a/blobs/{}", digest.replace(':', "%3A"));
    assert_eq!(ask(&server, "GET", &target, &[]).body, b"content");
}

#[test]
fn content_says_where_it_stands_in_ipfs() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let file = server.data().join("content-to-compare");
    for length in [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 333] {
        let content = noise(length, 7);
        fs::write(&file, &content).expect("a file can be written");
        let cid = succeed(roadstead(["cid"]).arg(&file));
        let expected = format!("/ipfs/{cid}");
        let upload = repository.begin();
        assert_eq!(upload.stream(&content).status, 202);
        let digest = sha256(&content);
        assert_eq!(upload.finish(&digest).header("x-ipfs-path"), expected, "{length}: PUT");
        let path = format!("blobs/{digest}");
        let posted =
            repository.send(Method::POST, &format!("blobs/uploads/?digest={digest}"), |request| {
                request.body(content.clone())
            });
        let mounted = Repository::of(&server, "other")
            .post(&format!("blobs/uploads/?mount={digest}&from=team/app"));
        let ranged =
            repository.send(Method::GET, &path, |request| request.header("range", "bytes=0-0"));
        let known = repository.send(Method::GET, &path, |request| {
            request.header(IF_NONE_MATCH, format!("\"{digest}\""))
        });
        for (what, response) in [
            ("POST", &posted),
            ("mount", &mounted),
            ("GET", &repository.get(&path)),
            ("HEAD", &repository.head(&path)),
            ("304", &known),
        ] {
            assert_eq!(response.header("x-ipfs-path"), expected, "{length}: {what}");
        }
        assert_eq!(ranged.status, if length == 0 { 416 } else { 206 });
        assert_eq!(ranged.header("x-ipfs-path"), if length == 0 { "" } else { &expected });
    }
    let pushed = repository.push_image("v1", "word");
    fs::write(&file, &pushed.manifest).expect("a file can be written");
    let expected = format!("/ipfs/{}", succeed(roadstead(["cid"]).arg(&file)));
    for path in ["manifests/v1".to_owned(), format!("manifests/{}", pushed.digest)] {
        assert_eq!(repository.get(&path).header("x-ipfs-path"), expected, "{path}");
        assert_eq!(repository.head(&path).header("x-ipfs-path"), expected, "{path}");
    }
    let put = repository.put("v2", crate::common::content::OCI_MANIFEST, &pushed.manifest);
    assert_eq!(put.header("x-ipfs-path"), expected);
}
