//! Clients of HTTP/1 that send what no client should, all at once, beside one that means well.

use std::thread;
use std::time::{Duration, Instant};

use crate::abuse::{descriptors, memory};
use crate::common::Server;
use crate::common::connection::{Connection, ask};
use crate::common::content::{MIB, noise};
use crate::common::http;
use crate::common::repository::{Repository, wait};

/// How many clients there are of each kind, and how often each comes.
const CLIENTS: usize = 3;
const ROUNDS: usize = 40;

/// What a good client waits for at the most: only a server that is stopped takes that long.
const LATENCY: Duration = Duration::from_secs(10);

/// What the server may take more of memory than before, in bytes.
const GROWTH: usize = 160 * MIB;

/// What a hostile client does in one round. It may be refused and hung up on at any point.
type Abuse = fn(&Server, &str);

const ABUSES: [(&str, Abuse); 12] = [
    ("a head without an end", |server, path| {
        let mut connection = Connection::open(server);
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Long: "));
        connection.send("x".repeat(60_000));
        connection.reset();
    }),
    ("a head that is too long", |server, _| {
        let mut connection = Connection::open(server);
        connection.send(format!("GET /v2/ HTTP/1.1\r\nX-Long: {}\r\n\r\n", "x".repeat(300_000)));
        let _ = connection.try_answer(false);
    }),
    ("thousands of headers", |server, path| {
        let headers = "a: b\r\n".repeat(5000);
        let mut connection = Connection::open(server);
        connection.send(format!("GET {path} HTTP/1.1\r\n{headers}\r\n"));
        let _ = connection.try_answer(false);
    }),
    ("many requests at once, of which nothing is read", |server, path| {
        let mut connection = Connection::open(server);
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(200));
        connection.reset();
    }),
    ("a length that never comes", |server, path| {
        let uploads = uploads(path);
        let mut connection = Connection::open(server);
        connection.ask("POST", &uploads, &[("Content-Length", "10000000000")]);
        connection.send([b'x'; 1000]);
        connection.reset();
    }),
    ("two lengths", |server, path| {
        let mut connection = Connection::open(server);
        let both = [("Content-Length", "5"), ("Content-Length", "50")];
        connection.ask("POST", &uploads(path), &both);
        connection.send("12345GET /v2/ HTTP/1.1\r\n\r\n");
        assert_ne!(connection.try_answer(false).map(|answer| answer.status), Some(202));
    }),
    ("a length beside pieces", |server, path| {
        let mut connection = Connection::open(server);
        let both = [("Content-Length", "5"), ("Transfer-Encoding", "chunked")];
        connection.ask("POST", &uploads(path), &both);
        connection.send("0\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n");
        let _ = connection.try_answer(false);
    }),
    ("a piece of endless length", |server, path| {
        let mut connection = Connection::open(server);
        connection.ask("POST", &uploads(path), &[("Transfer-Encoding", "chunked")]);
        connection.send("fffffffffffffffff\r\nx");
        let _ = connection.try_answer(false);
    }),
    ("thousands of tiny pieces", |server, path| {
        let mut connection = Connection::open(server);
        connection.ask("POST", &uploads(path), &[("Transfer-Encoding", "chunked")]);
        connection.send("1\r\nx\r\n".repeat(5000));
        connection.reset();
    }),
    ("thousands of ranges", |server, path| {
        let ranges: Vec<String> = (0..3000).map(|begin| format!("{begin}-{begin}")).collect();
        let range = format!("bytes={}", ranges.join(","));
        let mut connection = Connection::open(server);
        connection.ask("GET", path, &[("Range", &range)]);
        connection.reset();
    }),
    ("no HTTP", |server, _| {
        let mut connection = Connection::open(server);
        connection.send(noise(5000, 7));
        let _ = connection.try_answer(false);
    }),
    ("an upload that is left, again and again", |server, path| {
        let begun = ask(server, "POST", &uploads(path), &[]);
        let location = begun.header("location").unwrap_or("/v2/").to_owned();
        let mut connection = Connection::open(server);
        connection.ask("PATCH", &location, &[("Transfer-Encoding", "chunked")]);
        connection.send(format!("{MIB:x}\r\n"));
        connection.send(noise(100_000, 8));
        connection.reset();
    }),
];

/// The path of uploads beside that of a blob.
fn uploads(blob: &str) -> String {
    let (repository, _) = blob.split_once("/blobs/").expect("it is a path of a blob");
    format!("{repository}/blobs/uploads/")
}

#[test]
fn a_good_client_pushes_and_pulls_beside_every_kind_of_abuse() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(4 * MIB, 1);
    let digest = repository.push_blob(&content);
    let path = repository.path(&format!("blobs/{digest}"));
    let (files, bytes) = (descriptors(&server), memory(&server));
    let slowest = thread::scope(|scope| {
        let hostile: Vec<_> = ABUSES
            .iter()
            .flat_map(|abuse| std::iter::repeat_n(abuse, CLIENTS))
            .map(|(_, abuse)| {
                let (server, path) = (&server, &path);
                scope.spawn(move || (0..ROUNDS).for_each(|_| abuse(server, path)))
            })
            .collect();
        let mut slowest = Duration::ZERO;
        for round in 0.. {
            let begun = Instant::now();
            assert_eq!(http::get(&server.url("/healthz")).status, 200);
            let pushed = repository.push_image("good", &format!("round {round}"));
            assert_eq!(repository.get("manifests/good").body, pushed.manifest);
            assert!(repository.get(&format!("blobs/{digest}")).body == content, "other bytes");
            slowest = slowest.max(begun.elapsed());
            if hostile.iter().all(thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        slowest
    });
    // Four requests and more of the good client lie in a round.
    assert!(slowest < 4 * LATENCY, "{slowest:?}");
    assert!(memory(&server) < bytes + GROWTH, "{bytes} {}", memory(&server));
    wait(|| descriptors(&server) <= files + 20, "files or connections stay open");
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
}
