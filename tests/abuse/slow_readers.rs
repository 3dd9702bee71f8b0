//! Clients that ask for much and read nothing.

use std::thread;
use std::time::{Duration, Instant};

use crate::abuse::{descriptors, metric};
use crate::common::Server;
use crate::common::connection::{Connection, ask};
use crate::common::content::{MIB, noise};
use crate::common::http;
use crate::common::repository::{Repository, wait};
use crate::faults::crowd::raise_limit;
use crate::faults::rude::connections;

/// Begins to pull a blob that no connection takes at once, and reads nothing.
fn pull(server: &Server, path: &str, headers: &[(&str, &str)]) -> Connection {
    let mut connection = Connection::open(server);
    connection.ask("GET", path, headers);
    connection
}

#[test]
fn clients_that_read_nothing_are_disconnected() {
    raise_limit();
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_SERVER__LIMITS__SEND_TIMEOUT", "3s");
    });
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(&noise(16 * MIB, 1));
    let path = repository.path(&format!("blobs/{digest}"));
    let before = descriptors(&server);
    let idle: Vec<Connection> = (0..400).map(|_| pull(&server, &path, &[])).collect();
    assert_eq!(http::get(&server.url("/healthz")).status, 200);
    wait(|| connections(&server) == 0, "the connections stay open");
    wait(|| descriptors(&server) <= before + 10, "files stay open");
    wait(|| metric(&server, "roadstead_transfers") == 0, "it still counts");
    drop(idle);
    // One that reads is answered to the end, however long that takes.
    let mut reader = pull(&server, &path, &[]);
    let (mut buffer, mut read) = (vec![0; MIB], 0);
    while read < 16 * MIB {
        read += reader.read_some(&mut buffer);
        thread::sleep(Duration::from_millis(100));
    }
}

/// A connection takes more of an answer before its buffer of megabytes is nearly empty.
#[test]
fn a_client_that_reads_slowly_but_steadily_is_not_disconnected() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_SERVER__LIMITS__SEND_TIMEOUT", "4s");
    });
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(&noise(32 * MIB, 1));
    let path = repository.path(&format!("blobs/{digest}"));
    let mut steady = pull(&server, &path, &[]);
    let idle = pull(&server, &path, &[]);
    let (mut buffer, begun) = ([0; 15_000], Instant::now());
    while begun.elapsed() < Duration::from_secs(12) {
        assert_ne!(steady.read_some(&mut buffer), 0, "it was disconnected");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(metric(&server, "roadstead_transfers"), 1, "one that reads nothing is disconnected");
    // A transfer that was given up ends with what the system has of it, a few megabytes.
    let (mut buffer, mut read) = (vec![0; MIB], 0);
    while read < 16 * MIB {
        let count = steady.read_some(&mut buffer);
        assert_ne!(count, 0, "it was disconnected");
        read += count;
    }
    drop(idle);
}

/// Its connection asks for nothing more for minutes: what it takes is seen by the system alone.
#[test]
fn a_client_that_reads_a_few_kilobytes_a_second_is_not_disconnected() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_SERVER__LIMITS__SEND_TIMEOUT", "4s");
    });
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(&noise(8 * MIB, 1));
    let path = repository.path(&format!("blobs/{digest}"));
    let mut steady = Connection::open_with_small_buffer(&server);
    steady.ask("GET", &path, &[]);
    let mut idle = Connection::open_with_small_buffer(&server);
    idle.ask("GET", &path, &[]);
    let (mut buffer, mut read, begun) = ([0; 400], 0, Instant::now());
    while begun.elapsed() < Duration::from_secs(16) {
        let count = steady.read_some(&mut buffer);
        assert_ne!(count, 0, "it was disconnected");
        read += count;
        thread::sleep(Duration::from_millis(200));
    }
    assert!(read < 100_000, "{read} bytes say nothing about slow readers");
    assert_eq!(metric(&server, "roadstead_transfers"), 1, "one that reads nothing is disconnected");
    let (mut buffer, mut left) = (vec![0; MIB], 8 * MIB - read);
    while left > 0 {
        let count = steady.read_some(&mut buffer);
        assert_ne!(count, 0, "it was disconnected");
        left = left.saturating_sub(count);
    }
    drop(idle);
}

/// Each of its requests adds to what it has yet to receive.
#[test]
fn a_client_that_goes_on_asking_and_reads_nothing_is_disconnected() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_SERVER__LIMITS__SEND_TIMEOUT", "3s");
    });
    let mut asking = Connection::open_with_small_buffer(&server);
    for _ in 0..100 {
        asking.ask("GET", "/v2/", &[]);
    }
    wait(
        || {
            asking.ask("GET", "/v2/", &[]);
            thread::sleep(Duration::from_millis(200));
            connections(&server) == 0
        },
        "it stays connected",
    );
}

#[test]
fn one_client_and_all_clients_have_no_more_transfers_than_they_may() {
    let server = Server::start_with(|command| {
        command
            .env("ROADSTEAD_SERVER__LIMITS__TRANSFERS", "6")
            .env("ROADSTEAD_SERVER__LIMITS__TRANSFERS_PER_CLIENT", "4");
    });
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(&noise(16 * MIB, 1));
    let path = repository.path(&format!("blobs/{digest}"));
    let [one, neighbour, other] = ["2001:db8::1", "2001:db8::2", "203.0.113.9"];
    let from = |address| [("X-Forwarded-For", address)];
    let mut connections: Vec<Connection> =
        (0..4).map(|_| pull(&server, &path, &from(one))).collect();
    wait(|| metric(&server, "roadstead_transfers") == 4, "they are not counted");
    for address in [one, neighbour] {
        for (method, path) in [("GET", &*path), ("HEAD", &*path), ("POST", "/v2/a/blobs/uploads/")]
        {
            let refused = ask(&server, method, path, &from(address));
            assert_eq!(refused.status, 429, "{method} {address}");
            assert!(refused.header("retry-after").is_some());
        }
        assert_eq!(ask(&server, "GET", "/v2/", &from(address)).status, 200, "it opens nothing");
    }
    connections.extend((0..2).map(|_| pull(&server, &path, &from(other))));
    wait(|| metric(&server, "roadstead_transfers") == 6, "they are not counted");
    let refused = ask(&server, "GET", &path, &from("198.51.100.7"));
    assert_eq!((refused.status, refused.code().as_str()), (503, "UNAVAILABLE"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(http::get(&server.url("/healthz")).status, 200);
    drop(connections);
    wait(|| metric(&server, "roadstead_transfers") == 0, "it still counts");
    assert_eq!(ask(&server, "HEAD", &path, &from(one)).status, 200);
}

#[test]
fn one_client_has_no_more_connections_than_it_may() {
    let server = Server::start_with(|command| {
        command
            .env("ROADSTEAD_SERVER__TRUSTED_PROXIES", "192.0.2.1")
            .env("ROADSTEAD_SERVER__LIMITS__CONNECTIONS_PER_CLIENT", "20");
    });
    let mut connections: Vec<Connection> = (0..25).map(|_| Connection::open(&server)).collect();
    let mut answered = 0;
    for connection in &mut connections {
        connection.ask("GET", "/v2/", &[]);
        match connection.try_answer(false).map(|answer| answer.status) {
            Some(200) => answered += 1,
            refused => assert!(refused.is_none_or(|status| status == 429), "{refused:?}"),
        }
    }
    // Those by which it was seen to run may count for a moment longer.
    assert!((15..=20).contains(&answered), "{answered}");
    let mut refused = 0;
    while refused < 20 {
        let mut more = Connection::open(&server);
        more.ask("GET", "/v2/", &[]);
        let answer = more.try_answer(false).expect("one too many is answered, too");
        if answer.status == 200 {
            connections.push(more);
            continue;
        }
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("5")));
        refused += 1;
    }
    drop(connections);
    wait(
        || {
            let mut again = Connection::open(&server);
            again.ask("GET", "/healthz", &[]);
            again.try_answer(false).is_some_and(|answer| answer.status == 200)
        },
        "it still counts",
    );
}
