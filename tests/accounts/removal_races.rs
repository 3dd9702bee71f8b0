//! Requests that are under way while their repository is removed: none of them makes it again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use reqwest::Method;
use tempfile::TempDir;

use super::removal::remove;
use super::team::{Sender, configure, edit, edit_at, fill, push, send, user};
use crate::common::connection::Connection;
use crate::common::content::{noise, sha256};
use crate::common::http;
use crate::common::{Postgres, Server};

/// How often the repository is removed.
const ROUNDS: usize = 8;

/// A manifest that names nothing.
const BARE: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Only administrators make repositories: what a writer sends after a removal is refused, whatever it is.
fn by_admins(command: &mut std::process::Command) {
    configure(command);
    command.env("ROADSTEAD_AUTH__ACCOUNTS__CREATE", "admins");
}

fn manage(server: &Server, query: &str) {
    let body = serde_json::json!({ "query": query });
    let answer = http::send(|client| {
        let Sender::Basic(name, password) = user("root") else { unreachable!("it is one") };
        client.post(server.url("/graphql")).json(&body).basic_auth(name, Some(password))
    });
    assert!(answer.json().get("errors").is_none(), "{query}: {}", answer.text());
}

/// One of the requests that a writer sends.
fn write(server: &Server, sender: &Sender, kind: usize, number: u64) -> u16 {
    let name = "/v2/team/secret";
    match kind {
        0 => {
            let url = server.url(&format!("{name}/manifests/v{number}"));
            let Sender::Basic(user, password) = sender else { unreachable!("it is one") };
            let put = http::send(|client| {
                let put = client.put(url).header("Content-Type", INDEX).body(BARE);
                put.basic_auth(user, Some(password))
            });
            put.status
        }
        1 => {
            let mount = format!("?mount={}&from=team/inner", sha256(b"config"));
            let path = format!("{name}/blobs/uploads/{mount}");
            send(server, Method::POST, &path, sender, Vec::new()).status
        }
        _ => {
            let bytes = noise(2000, number);
            let path = format!("{name}/blobs/uploads/?digest={}", sha256(&bytes));
            send(server, Method::POST, &path, sender, bytes).status
        }
    }
}

fn race(server: &Server) {
    let (root, will) = (user("root"), user("will"));
    assert_eq!(push(server, "team/inner", &root), [201, 201]);
    let mut written = 0;
    for round in 0..ROUNDS {
        assert_eq!(push(server, "team/secret", &root), [201, 201], "{round}");
        let is_removed = AtomicBool::new(false);
        let statuses: Vec<u16> = thread::scope(|scope| {
            let writers: Vec<_> = (0..6)
                .map(|writer| {
                    let (is_removed, will) = (&is_removed, &will);
                    scope.spawn(move || {
                        let mut statuses = Vec::new();
                        for number in 0.. {
                            let number = number * 10 + writer;
                            let kind = usize::try_from(writer % 3).expect("it is small");
                            let is_last = is_removed.load(Ordering::SeqCst);
                            statuses.push(write(server, will, kind, number));
                            if is_last {
                                break;
                            }
                        }
                        statuses
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(
                30 * u64::try_from(round % 4).expect("it is small"),
            ));
            manage(server, &remove("team/secret"));
            is_removed.store(true, Ordering::SeqCst);
            writers.into_iter().flat_map(|it| it.join().expect("it comes to an end")).collect()
        });
        written += statuses.iter().filter(|status| **status == 201).count();
        assert!(
            statuses.iter().all(|status| [201, 202, 403, 404].contains(status)),
            "{round}: {statuses:?}"
        );
        let tags = send(server, Method::GET, "/v2/team/secret/tags/list", &root, Vec::new());
        assert_eq!(tags.status, 404, "{round}: it is there again: {}", tags.text());
    }
    assert!(written > 0, "nothing was written before it was removed");
    assert!(!server.log().contains("deadlock"), "{}", server.log());
}

#[test]
fn a_writer_does_not_make_a_removed_repository_again() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("the folder is ours");
    edit(&data, async |index| fill(index).await);
    race(&Server::start_on_with(&data, by_admins));
}

#[test]
fn a_writer_does_not_make_a_removed_repository_again_over_postgres() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let url = postgres.url();
    edit_at(&url, async |index| fill(index).await);
    let folder = TempDir::new().expect("a temporary folder can be made");
    race(&Server::start_on_with(&folder.path().join("data"), move |command| {
        by_admins(command);
        command.env("ROADSTEAD_INDEX__URL", &url);
    }));
}

/// A PUT by an old `Location`, whose body is the whole blob: it comes beside the upload.
#[test]
fn a_whole_blob_that_comes_beside_an_upload_does_not_make_a_removed_repository_again() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("the folder is ours");
    edit(&data, async |index| fill(index).await);
    let server = Server::start_on_with(&data, configure);
    let anna = user("anna");
    for is_removed in [false, true] {
        assert_eq!(push(&server, "team/secret", &anna), [201, 201]);
        let begun =
            send(&server, Method::POST, "/v2/team/secret/blobs/uploads/", &anna, Vec::new());
        let below = |location: &str| location.trim_start_matches(&server.url("")).to_owned();
        let old = below(begun.header("location"));
        let appended = send(&server, Method::PATCH, &old, &anna, b"something".to_vec());
        assert_eq!(appended.status, 202);
        let blob = noise(20_000, 9);
        let sign = if old.contains('?') { '&' } else { '?' };
        let mut connection = Connection::open(&server);
        connection.ask(
            "PUT",
            &format!("{old}{sign}digest={}", sha256(&blob)),
            &[
                ("Authorization", &basic(&anna)),
                ("Content-Length", &blob.len().to_string()),
                ("Content-Type", "application/octet-stream"),
            ],
        );
        connection.send(&blob[..10_000]);
        // It is let in, and waits for the rest.
        thread::sleep(Duration::from_millis(300));
        if is_removed {
            manage(&server, &remove("team/secret"));
        }
        connection.send(&blob[10_000..]);
        let answer = connection.answer();
        let expected = if is_removed { 404 } else { 201 };
        assert_eq!(answer.status, expected, "{}", answer.text());
        let tags = send(&server, Method::GET, "/v2/team/secret/tags/list", &anna, Vec::new());
        assert_eq!(tags.status, if is_removed { 404 } else { 200 });
    }
}

fn basic(sender: &Sender) -> String {
    use base64::Engine;

    let Sender::Basic(user, password) = sender else { unreachable!("it is one") };
    let text = base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {text}")
}
