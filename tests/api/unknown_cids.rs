//! Requests for CIDs that this registry does not have, while others push.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use roadstead::ipld::Block;

use crate::common::content::{image, noise};
use crate::common::repository::Repository;
use crate::common::{Server, http};

/// How long they go on.
const WHILE: Duration = Duration::from_secs(4);

/// How many folds there are beside those that the requests cause: of the server's own, and of the test's.
const OTHERS: u64 = 4;

fn folds(server: &Server) -> u64 {
    let text = http::get(&server.url("/metrics")).text();
    let line = text.lines().find_map(|line| line.strip_prefix("roadstead_folds_total "));
    line.expect("it is counted").parse().expect("it is a number")
}

/// Asks for what is not there by both routes.
fn ask_for_nothing(server: &Server, seed: u64) {
    let cid = Block::raw(noise(40, seed).into()).cid;
    for (path, status) in
        [(format!("/ipfs/{cid}?format=raw"), 404), (format!("/routing/v1/providers/{cid}"), 200)]
    {
        let answer = http::get(&server.url(&path));
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
}

#[test]
fn requests_for_unknown_cids_cause_few_folds_and_what_was_pushed_before_them_is_found() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_image("first", "word");
    let (begun, before, is_over) = (Instant::now(), folds(&server), AtomicBool::new(false));
    let (mut requests, mut pushed) = (0, 0_u64);
    thread::scope(|threads| {
        let asking: Vec<_> = (0..8)
            .map(|client| {
                let (server, is_over) = (&server, &is_over);
                threads.spawn(move || {
                    let mut requests = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        ask_for_nothing(server, client * 1_000_000 + requests);
                        requests += 1;
                    }
                    requests
                })
            })
            .collect();
        while begun.elapsed() < WHILE || pushed <= 20 {
            // Something is always to be folded.
            let layer = format!("layer {pushed}").into_bytes();
            repository.push_blob(b"{}");
            repository.push_blob(&layer);
            let manifest = image(b"{}", &[&layer]).to_string().into_bytes();
            let answer =
                repository.put("moving", "application/vnd.oci.image.manifest.v1+json", &manifest);
            assert_eq!(answer.status, 201, "{}", answer.text());
            pushed += 1;
            if pushed % 20 == 0 {
                let path = format!("{}?format=raw", answer.header("x-ipfs-path"));
                let found = http::get(&server.url(&path));
                assert_eq!((found.status, found.body), (200, manifest), "{path}");
            }
        }
        is_over.store(true, Ordering::Relaxed);
        for client in asking {
            requests += client.join().expect("it was answered");
        }
    });
    let (caused, seconds) = (folds(&server) - before, begun.elapsed().as_secs());
    assert!(pushed > 20 && requests > 8, "{pushed} pushes, {requests} questions");
    assert!(caused <= seconds + OTHERS, "{caused} folds in {seconds} s, {requests} questions");
}
