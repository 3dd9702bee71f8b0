//! Refusals: the right status and code for each, as the specification has them.

use std::fs;

use crate::common::connection::ask;
use crate::common::content::{NOBODYS, OCI_MANIFEST, image};
use crate::common::repository::{Repository, assert_refused, wait};
use crate::common::{Server, http};

#[test]
fn every_refusal_has_its_status_and_its_code() {
    let server = Server::start();
    Repository::of(&server, "a").push_image("v1", "word");
    let blob = format!("/v2/a/blobs/{NOBODYS}");
    let manifest = format!("/v2/a/manifests/{NOBODYS}");
    let upload = "/v2/a/blobs/uploads/00000000-0000-4000-8000-000000000000".to_owned();
    let ended = format!("{upload}?digest={NOBODYS}");
    for (method, target, status, code) in [
        ("GET", blob.clone(), 404, "BLOB_UNKNOWN"),
        ("DELETE", blob, 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/a/blobs/sha256:abc".to_owned(), 400, "DIGEST_INVALID"),
        ("GET", "/v2/a/blobs/v1".to_owned(), 400, "DIGEST_INVALID"),
        ("DELETE", "/v2/a/blobs/sha256:".to_owned(), 400, "DIGEST_INVALID"),
        ("GET", "/v2/a/blobs/uploads".to_owned(), 405, "UNSUPPORTED"),
        ("GET", manifest.clone(), 404, "MANIFEST_UNKNOWN"),
        ("DELETE", manifest, 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/a/manifests/absent".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("GET", format!("/v2/a/manifests/{}", "x".repeat(129)), 404, "MANIFEST_UNKNOWN"),
        ("PUT", format!("/v2/a/manifests/{}", "x".repeat(129)), 400, "TAG_INVALID"),
        ("GET", "/v2/a/manifests/.INVALID_MANIFEST_NAME".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("DELETE", "/v2/a/manifests/.x".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/a/manifests/sha256:XYZ".to_owned(), 400, "DIGEST_INVALID"),
        ("PUT", "/v2/a/manifests/v2".to_owned(), 400, "MANIFEST_INVALID"),
        ("GET", "/v2/absent/tags/list".to_owned(), 404, "NAME_UNKNOWN"),
        ("GET", "/v2/a/tags/list?n=x".to_owned(), 400, "PAGINATION_NUMBER_INVALID"),
        ("GET", "/v2/a/referrers/x".to_owned(), 400, "DIGEST_INVALID"),
        ("GET", format!("/v2/a/referrers/{NOBODYS}?last=x"), 400, "DIGEST_INVALID"),
        ("GET", format!("/v2/a/referrers/{NOBODYS}?n=x"), 400, "PAGINATION_NUMBER_INVALID"),
        ("POST", "/v2/A/blobs/uploads/".to_owned(), 400, "NAME_INVALID"),
        ("POST", "/v2/a/blobs/uploads/?digest=x".to_owned(), 400, "DIGEST_INVALID"),
        ("POST", format!("/v2/a/blobs/uploads/?digest={NOBODYS}"), 400, "DIGEST_INVALID"),
        ("GET", upload.clone(), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PATCH", upload.clone(), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("DELETE", upload.clone(), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", ended, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", upload, 400, "DIGEST_INVALID"),
        ("GET", "/v2/a/blobs/uploads/no-upload".to_owned(), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PATCH", "/v2/a/blobs/uploads/%2e%2e".to_owned(), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PATCH", "/v2/a/blobs/uploads/%00".to_owned(), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("POST", "/v2/example.com/a/blobs/uploads/".to_owned(), 403, "DENIED"),
        ("BREW", "/v2/a/tags/list".to_owned(), 405, "UNSUPPORTED"),
        ("GET", "/v2/a/nothing/here".to_owned(), 404, "NAME_UNKNOWN"),
    ] {
        let answer = ask(&server, method, &target, &[("Content-Length", "0")]);
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
        assert_eq!(answer.code(), code, "{method} {target}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {target}");
    }
    let log = server.log();
    assert!(!log.contains("\"ERROR\""), "{log}");
}

/// Trow takes every failure for absence: a client then pushes again what is there, or gives up on it.
#[test]
fn a_fault_of_the_storage_is_not_taken_for_absence() {
    let server = Server::start();
    let repository = Repository::of(&server, "a");
    let digest = repository.push_blob(b"content");
    let hex = &digest["sha256:".len()..];
    if let Some(pair) = server.pair() {
        let head = repository.head(&format!("blobs/{digest}"));
        pair.lose_block(head.header("x-ipfs-path").trim_start_matches("/ipfs/"));
    } else {
        let file = server.data().join("content/sha256").join(&hex[..2]).join(hex);
        fs::remove_file(file).expect("the blob stands there");
    }
    let response = repository.get(&format!("blobs/{digest}"));
    assert_refused(&response, 500, "UNKNOWN");
    assert!(!response.text().contains(hex), "the cause went to the client: {}", response.text());
    wait(|| server.log().contains("\"ERROR\""), "the cause went nowhere");
}

/// No cause, no path of the machine and nothing of the client's bytes goes into a message unread.
#[test]
fn a_message_is_a_sentence_that_names_the_thing() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let missing = image(b"absent", &[]).to_string();
    Repository::of(&server, "team/there").push_image("v1", "word");
    let data = server.data().display().to_string();
    for (response, named) in [
        (repository.get(&format!("blobs/{NOBODYS}")), NOBODYS),
        (repository.get("manifests/v9"), "team/app"),
        (Repository::of(&server, "team/there").get("manifests/v9"), "v9"),
        (repository.get("tags/list"), "team/app"),
        (repository.put("v1", OCI_MANIFEST, missing.as_bytes()), "the repository does not have"),
        (repository.put("v1", "text/plain", missing.as_bytes()), "text/plain"),
        (repository.get("tags/list?n=many"), "many"),
    ] {
        let body = response.json();
        let message = body["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(message.contains(named), "{message}");
        assert!(!message.contains(&data) && !message.ends_with('.'), "{message}");
    }
}

#[test]
fn a_manifest_of_no_repository_is_absent_under_the_code_that_clients_know() {
    let server = Server::start();
    let absent = http::get(&server.url("/v2/team/nope/manifests/1"));
    assert_refused(&absent, 404, "MANIFEST_UNKNOWN");
    assert!(absent.text().contains("repository `team/nope` not found"), "{}", absent.text());
}

#[test]
fn an_error_is_short_however_long_the_request() {
    let server = Server::start();
    let long = "a/".repeat(10_000);
    for target in [
        format!("/v2/{long}app/manifests/v1"),
        format!("/v2/app/manifests/{}", "a".repeat(20_000)),
        format!("/v2/app/blobs/sha256:{}", "ü".repeat(10_000)),
        format!("/v2/app/tags/list?n={}", "9".repeat(20_000)),
        format!("/ipfs/{long}"),
        format!("/nowhere/{long}"),
    ] {
        let answer = http::get(&server.url(&target));
        let shown = &target[..20];
        assert!((400..500).contains(&answer.status), "{shown}: {}", answer.status);
        assert!(answer.body.len() < 2048, "{shown}: {} bytes", answer.body.len());
        assert!(answer.json()["errors"][0]["code"].is_string(), "{shown}");
    }
}
