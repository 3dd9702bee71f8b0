//! Clients that begin to push large manifests, and do not go on.

use std::thread;
use std::time::{Duration, Instant};

use crate::abuse::metric;
use crate::common::Server;
use crate::common::connection::{Connection, ask};
use crate::common::content::MIB;
use crate::common::repository::{Repository, wait};

/// An index without images that has so many bytes.
fn padded(length: usize) -> Vec<u8> {
    let index = |text: &str| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{{"a":"{text}"}}}}"#
        )
    };
    index(&"x".repeat(length - index("").len())).into_bytes()
}

/// Sends the head of a `PUT` and so much of its body.
fn push(server: &Server, client: &str, tag: &str, body: &[u8], count: usize) -> Connection {
    let mut connection = Connection::open(server);
    connection.send(format!(
        "PUT /v2/team/app/manifests/{tag} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {client}\r\n\
         Content-Type: application/vnd.oci.image.index.v1+json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    connection.send(&body[..count]);
    connection
}

fn server(idle_timeout: &'static str) -> Server {
    Server::start_with(move |command| {
        command
            .env("ROADSTEAD_MANIFESTS__MAX_BYTES", MIB.to_string())
            .env("ROADSTEAD_MANIFESTS__MAX_MEMORY", (8 * MIB).to_string())
            .env("ROADSTEAD_MANIFESTS__IDLE_TIMEOUT", idle_timeout);
    })
}

#[test]
fn one_client_takes_a_quarter_of_the_memory_of_manifests_and_others_go_on() {
    let server = server("5m");
    let body = padded(MIB);
    let [bad, good] = ["198.51.100.1", "203.0.113.9"];
    let stalled: Vec<Connection> =
        (0..12).map(|tag| push(&server, bad, &format!("t{tag}"), &body, MIB - 1)).collect();
    // Those beyond its share are refused; the others are waited for.
    let refused = || {
        let name = r#"roadstead_limit_refusals_total{limit="manifest_memory_per_client"}"#;
        metric(&server, name)
    };
    wait(|| refused() >= 10, "one client has more than its share");
    for tag in ["a", "b"] {
        let mut pushed = push(&server, good, tag, &body, MIB);
        assert_eq!(pushed.answer().status, 201);
    }
    // Small ones of the same client are free.
    let small = padded(1000);
    assert_eq!(push(&server, bad, "small", &small, small.len()).answer().status, 201);
    let path = "/v2/team/app/manifests/a";
    let from = [("X-Forwarded-For", bad)];
    assert_eq!(ask(&server, "HEAD", path, &from).status, 200, "nothing is sent");
    let mut more = push(&server, bad, "more", &body, MIB - 1);
    let answer = more.answer();
    assert_eq!((answer.status, answer.code().as_str()), (429, "TOOMANYREQUESTS"));
    assert!(answer.header("retry-after").is_some());
    let mut pulled = Connection::open(&server);
    pulled.ask("GET", path, &from);
    thread::sleep(Duration::from_millis(200));
    drop(stalled);
    assert_eq!(pulled.answer().body, body, "it waits for the others");
    wait(|| push(&server, bad, "again", &body, MIB).answer().status == 201, "it keeps its share");
}

#[test]
fn large_manifests_without_an_announced_length_do_not_wait_for_each_other() {
    let server = server("5m");
    let body = padded(MIB);
    let (first, rest) = body.split_at(650 * 1024);
    let mut pushed: Vec<Connection> = (0..3)
        .map(|tag| {
            let mut connection = Connection::open(&server);
            connection.send(format!(
                "PUT /v2/team/app/manifests/t{tag} HTTP/1.1\r\nHost: localhost\r\n\
                 Content-Type: application/vnd.oci.image.index.v1+json\r\n\
                 Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
                first.len()
            ));
            connection.send(first);
            connection
        })
        .collect();
    // Until each has what it can have.
    thread::sleep(Duration::from_millis(500));
    for connection in &mut pushed {
        connection.send(format!("\r\n{:x}\r\n", rest.len()));
        connection.send(rest);
        connection.send("\r\n0\r\n\r\n");
    }
    for connection in &mut pushed {
        assert_eq!(connection.answer().status, 201);
    }
}

#[test]
fn a_large_manifest_rests_for_less_time_than_a_small_one() {
    let server = server("2s");
    let (large, small) = (padded(MIB), padded(1000));
    let begun = Instant::now();
    let mut resting = push(&server, "198.51.100.1", "large", &large, MIB - 1);
    let mut waiting = push(&server, "198.51.100.1", "small", &small, 999);
    let answer = resting.answer();
    assert_eq!((answer.status, answer.code().as_str()), (408, "MANIFEST_INVALID"));
    assert!(begun.elapsed() >= Duration::from_secs(2));
    thread::sleep(Duration::from_secs(1));
    waiting.send(&small[999..]);
    assert_eq!(waiting.answer().status, 201);
    assert_eq!(Repository::of(&server, "team/app").head("manifests/large").status, 404);
}

#[test]
fn a_large_manifest_that_comes_byte_by_byte_is_not_waited_for_without_end() {
    let server = server("1s");
    let large = padded(MIB);
    let mut dripping = push(&server, "198.51.100.1", "large", &large, MIB / 2);
    let begun = Instant::now();
    for at in MIB / 2.. {
        dripping.send(&large[at..=at]);
        // Not between all bytes: a slow machine would let it rest.
        if at % 10 == 0
            && metric(
                &server,
                r#"roadstead_http_requests_total{route="/v2/{name}/manifests/{reference}",method="PUT",status="408"}"#,
            ) > 0
        {
            break;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "it still waits");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "it was given no time");
}
