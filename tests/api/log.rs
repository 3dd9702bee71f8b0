//! The log: one line for each request.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::Server;
use crate::common::connection::Connection;
use crate::common::content::{MIB, NOBODYS, image, noise, sha256};
use crate::common::repository::{Repository, wait_for_bytes};

/// The lines about requests, once there are that many.
fn lines(server: &Server, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let log = server.log();
        let lines: Vec<Value> = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| {
                let message = line["message"].as_str().unwrap_or_default();
                line.get("duration_ms").is_some() && !message.ends_with("/healthz")
            })
            .collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "not {count} lines: {log}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn each_request_has_one_line_that_says_what_it_was_about() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(MIB + 5, 1);
    let digest = sha256(&content);
    let mut count = 0;
    // The line comes behind the answer: that of the next request might overtake it.
    let mut wait_for_line = || {
        count += 1;
        lines(&server, count)
    };
    let upload = repository.begin();
    wait_for_line();
    upload.stream(&content);
    wait_for_line();
    upload.finish(&digest);
    wait_for_line();
    let blob = format!("blobs/{digest}");
    repository.get(&blob);
    wait_for_line();
    repository.head(&blob);
    wait_for_line();
    repository.get(&format!("blobs/{NOBODYS}"));
    wait_for_line();
    let (config, layer) = (b"{\"word\":0}", b"word");
    repository.push_blob(config);
    wait_for_line();
    repository.push_blob(layer);
    wait_for_line();
    let manifest = repository.push_manifest("v1", &image(config, &[layer]));
    wait_for_line();
    repository.get("manifests/v1");
    let lines = wait_for_line();
    let name = sha256(&manifest);
    let size = content.len();
    let location = upload.location;
    // Message, status, digest, bytes received; bytes sent where they are content.
    let expected = [
        ("POST /v2/team/app/blobs/uploads/".to_owned(), 202, "", 0, 0),
        (format!("PATCH {location}"), 202, "", size, 0),
        (format!("PUT {location}"), 201, &*digest, 0, 0),
        (format!("GET /v2/team/app/{blob}"), 200, &*digest, 0, size),
        (format!("HEAD /v2/team/app/{blob}"), 200, &*digest, 0, 0),
        (format!("GET /v2/team/app/blobs/{NOBODYS}"), 404, NOBODYS, 0, usize::MAX),
        ("POST /v2/team/app/blobs/uploads/".to_owned(), 201, &*sha256(config), config.len(), 0),
        ("POST /v2/team/app/blobs/uploads/".to_owned(), 201, &*sha256(layer), layer.len(), 0),
        ("PUT /v2/team/app/manifests/v1".to_owned(), 201, &*name, manifest.len(), 0),
        ("GET /v2/team/app/manifests/v1".to_owned(), 200, &*name, 0, manifest.len()),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (message, status, digest, received, sent)) in lines.iter().zip(expected) {
        assert_eq!(line["message"], message.as_str(), "{line}");
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["repository"], "team/app", "{line}");
        assert_eq!(line["digest"].as_str().unwrap_or_default(), digest, "{line}");
        assert_eq!(line["received_bytes"], received, "{line}");
        if sent != usize::MAX {
            assert_eq!(line["sent_bytes"], sent, "{line}");
        }
        assert!(line["duration_ms"].as_u64().is_some_and(|it| it < 60_000), "{line}");
        assert_eq!(line["level"], "INFO", "{line}");
    }
}

#[test]
fn a_request_that_breaks_off_has_its_line_too() {
    // A reset takes along what the server has not read yet.
    let are_read = [200, 1000, 5000].into_iter().any(|pause| {
        let line = break_off_after(Duration::from_millis(pause));
        assert_eq!(line["repository"], "team/app");
        assert_eq!(line.get("status"), None, "nobody was answered");
        line["received_bytes"] == 5
    });
    assert!(are_read, "the bytes that came are not told");
}

/// Sends five bytes of a chunk, and breaks off after a while; gives the line about that.
fn break_off_after(pause: Duration) -> Value {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    let mut connection = Connection::open(&server);
    connection.ask("PATCH", &upload.location, &[("Content-Length", "1000")]);
    connection.send("01234");
    wait_for_bytes(&server);
    thread::sleep(pause);
    connection.reset();
    let line = lines(&server, 2).swap_remove(1);
    assert_eq!(line["message"], format!("PATCH {}", upload.location));
    line
}

#[test]
fn a_refused_name_cannot_forge_a_line() {
    let server = Server::start();
    let forged = "/v2/a%0A%7B%22message%22:%22forged%22%7D/manifests/v1";
    let answer = crate::common::connection::ask(&server, "GET", forged, &[]);
    assert!([400, 404].contains(&answer.status), "{}", answer.status);
    lines(&server, 1);
    assert!(!server.log().lines().any(|line| line.starts_with("{\"message\":\"forged\"")));
    assert_eq!(lines(&server, 1).len(), 1);
}
