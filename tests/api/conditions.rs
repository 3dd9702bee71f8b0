//! `If-Match` and `If-None-Match` on manifests: changes only where what stands there is what the client knows
//! (RFC 9110, 13.1).

use std::thread;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, RANGE};

use crate::common::Server;
use crate::common::content::{NOBODYS, OCI_MANIFEST, image, sha256};
use crate::common::http::Response;
use crate::common::repository::{Repository, assert_refused};

/// Pushes what an image needs, and returns its manifest.
fn prepare(repository: &Repository<'_>, word: &str) -> Vec<u8> {
    let (config, layer) = (format!("{{\"{word}\":0}}").into_bytes(), word.as_bytes());
    repository.push_blob(&config);
    repository.push_blob(layer);
    image(&config, &[layer]).to_string().into_bytes()
}

fn put(
    repository: &Repository<'_>,
    reference: &str,
    bytes: &[u8],
    headers: &[(&str, &str)],
) -> Response {
    let bytes = bytes.to_vec();
    repository.send(Method::PUT, &format!("manifests/{reference}"), |request| {
        let request = request.header(CONTENT_TYPE, OCI_MANIFEST).body(bytes);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    })
}

fn delete(repository: &Repository<'_>, reference: &str, if_match: &str) -> Response {
    repository.send(Method::DELETE, &format!("manifests/{reference}"), |request| {
        request.header(IF_MATCH, if_match)
    })
}

fn tagged(repository: &Repository<'_>, tag: &str) -> String {
    repository.head(&format!("manifests/{tag}")).header("docker-content-digest").to_owned()
}

#[test]
fn a_tag_moves_only_from_where_the_client_knows_it() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let old = repository.push_image("v1", "old").digest;
    let (new, other) = (prepare(&repository, "new"), prepare(&repository, "other"));
    let etag = repository.head("manifests/v1").header("etag").to_owned();
    assert_eq!(etag, format!("\"{old}\""));

    let moved = put(&repository, "v1", &new, &[("if-match", &etag)]);
    assert_eq!(moved.status, 201, "{}", moved.text());
    assert_eq!(moved.header("etag"), format!("\"{}\"", sha256(&new)), "for the next change");
    let refused = put(&repository, "v1", &other, &[("if-match", &etag)]);
    assert_refused(&refused, 412, "PRECONDITION_FAILED");
    // The client learns what stands there now.
    let error = &refused.json()["errors"][0];
    assert_eq!(error["detail"], sha256(&new));
    assert!(error["message"].as_str().unwrap().contains(&sha256(&new)), "{error}");
    assert_eq!(tagged(&repository, "v1"), sha256(&new));
    assert_eq!(repository.get(&format!("manifests/{}", sha256(&other))).status, 404);

    let several = format!("\"{NOBODYS}\", {}", moved.header("etag"));
    for (tag, headers, status) in [
        ("v1", &[("if-match", "\"nonsense\"")][..], 412),
        ("v1", &[("if-match", "\"*\"")], 412),
        ("v1", &[("if-match", &format!("W/{}", moved.header("etag")))], 412),
        ("v1", &[("if-match", "*"), ("if-none-match", "*")], 412),
        ("v1", &[("if-match", &several)], 201),
        ("v1", &[("if-match", &sha256(&other))], 201),
        ("v1", &[("if-match", NOBODYS), ("if-match", &sha256(&other))], 201),
        ("v1", &[("if-match", "*")], 201),
        ("v1", &[("if-none-match", "*")], 412),
        ("v1", &[("if-none-match", &format!("W/\"{}\"", sha256(&other)))], 412),
        ("v1", &[("if-none-match", NOBODYS)], 201),
        ("v2", &[("if-match", "*")], 412),
        ("v2", &[("if-match", &several)], 412),
        ("v2", &[("if-none-match", "*")], 201),
        ("v2", &[("if-none-match", "*")], 412),
    ] {
        let response = put(&repository, tag, &other, headers);
        assert_eq!(response.status, status, "{tag} {headers:?}: {}", response.text());
        if status == 412 {
            let current = repository.head(&format!("manifests/{tag}"));
            let current =
                (current.status == 200).then(|| current.header("docker-content-digest").to_owned());
            assert_eq!(response.json()["errors"][0]["detail"], serde_json::json!(current));
        }
    }
}

#[test]
fn by_digest_a_condition_is_about_the_manifest_and_not_its_tags() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let old = repository.push_image("v1", "old").digest;
    let new = prepare(&repository, "new");
    let digest = sha256(&new);
    let reference = format!("{digest}?tag=v1");
    assert_refused(
        &put(&repository, &reference, &new, &[("if-match", "*")]),
        412,
        "PRECONDITION_FAILED",
    );
    assert_eq!(tagged(&repository, "v1"), old, "nothing of it was done");
    assert_eq!(put(&repository, &reference, &new, &[("if-none-match", "*")]).status, 201);
    assert_eq!(tagged(&repository, "v1"), digest);
    assert_eq!(put(&repository, &digest, &new, &[("if-none-match", "*")]).status, 412);
    assert_eq!(put(&repository, &digest, &new, &[("if-match", &digest)]).status, 201);
}

#[test]
fn a_deletion_may_have_a_condition() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let image = repository.push_image("v1", "word");
    let refused = delete(&repository, "v1", NOBODYS);
    assert_refused(&refused, 412, "PRECONDITION_FAILED");
    assert_eq!(refused.json()["errors"][0]["detail"], image.digest);
    assert_refused(&delete(&repository, &image.digest, NOBODYS), 412, "PRECONDITION_FAILED");
    assert_eq!(repository.get("manifests/v1").body, image.manifest);
    // What would fail without a condition fails in the same way with one (13.2.1).
    assert_refused(&delete(&repository, "v2", "*"), 404, "MANIFEST_UNKNOWN");
    assert_eq!(delete(&repository, "v1", &format!("\"{}\"", image.digest)).status, 202);
    assert_refused(&repository.get("manifests/v1"), 404, "MANIFEST_UNKNOWN");
    assert_eq!(delete(&repository, &image.digest, "*").status, 202);
    assert_refused(
        &repository.get(&format!("manifests/{}", image.digest)),
        404,
        "MANIFEST_UNKNOWN",
    );
}

/// Has eight clients put an image each at the same time; returns the one that was accepted.
fn race(repository: &Repository<'_>, round: usize, header: (&str, &str)) -> String {
    let images: Vec<Vec<u8>> =
        (0..8).map(|client| prepare(repository, &format!("{round} {client}"))).collect();
    let answers: Vec<Response> = thread::scope(|scope| {
        let clients: Vec<_> = images
            .iter()
            .map(|image| scope.spawn(move || put(repository, "tag", image, &[header])))
            .collect();
        clients.into_iter().map(|client| client.join().expect("no client panics")).collect()
    });
    let mut winners = Vec::new();
    for (answer, image) in answers.iter().zip(&images) {
        match answer.status {
            201 => winners.push(sha256(image)),
            _ => assert_refused(answer, 412, "PRECONDITION_FAILED"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    winners.remove(0)
}

#[test]
fn of_eight_clients_with_the_same_condition_one_wins() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let mut current = race(&repository, 0, (IF_NONE_MATCH.as_str(), "*"));
    for round in 1..6 {
        assert_eq!(tagged(&repository, "tag"), current, "{round}");
        let etag = format!("\"{current}\"");
        current = race(&repository, round, (IF_MATCH.as_str(), &etag));
    }
    assert_eq!(tagged(&repository, "tag"), current);
}

#[test]
fn a_read_is_answered_only_where_what_the_client_expects_stands() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    let (manifest, blob) = (&pushed.digest, &sha256(&pushed.layer));
    for (rest, digest) in [
        ("manifests/v1".to_owned(), manifest),
        (format!("manifests/{manifest}"), manifest),
        (format!("blobs/{blob}"), blob),
    ] {
        let tag = format!("\"{digest}\"");
        let weak = format!("W/{tag}");
        for (expected, status) in [
            (&tag[..], 200),
            ("*", 200),
            (&format!("\"x\", {tag}"), 200),
            ("\"x\"", 412),
            (&format!("\"{NOBODYS}\""), 412),
            (&weak, 412),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let answer =
                    repository.send(method.clone(), &rest, |it| it.header(IF_MATCH, expected));
                assert_eq!(answer.status, status, "{method} {rest} {expected}: {}", answer.text());
                if status == 412 && method == Method::GET {
                    assert_refused(&answer, 412, "PRECONDITION_FAILED");
                }
            }
        }
        // It comes before what the client has, and before a part.
        let both = |request: reqwest::RequestBuilder| {
            request.header(IF_MATCH, "\"x\"").header(IF_NONE_MATCH, &tag).header(RANGE, "bytes=0-0")
        };
        assert_eq!(repository.send(Method::GET, &rest, both).status, 412);
    }
    // What is not there is not there, whatever is expected of it.
    for rest in ["manifests/v2".to_owned(), format!("blobs/{NOBODYS}")] {
        let absent = repository.send(Method::GET, &rest, |it| it.header(IF_MATCH, "\"x\""));
        assert_eq!(absent.status, 404, "{rest}");
    }
}
