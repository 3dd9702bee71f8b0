//! A server that is told to stop finishes what is under way.

use std::thread;
use std::time::Duration;

use crate::common::connection::Connection;
use crate::common::content::{MIB, noise, sha256};
use crate::common::repository::{Repository, Upload, wait, wait_for_bytes};
use crate::common::{Server, http};

#[test]
fn a_pull_under_way_is_finished() {
    let mut server = Server::start();
    // More than fits into the buffers of both ends, so that it is not sent in one go.
    let content = noise(32 * MIB, 1);
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(&content);
    let target = repository.path(&format!("blobs/{digest}"));
    let mut connection = Connection::open(&server);
    connection.ask("GET", &target, &[]);
    let mut received = Vec::new();
    let mut buffer = vec![0; 256 * 1024];
    let size = connection.read_some(&mut buffer);
    received.extend_from_slice(&buffer[..size]);
    let reader = thread::spawn(move || {
        // The server has been told to stop by then.
        thread::sleep(Duration::from_millis(500));
        loop {
            let size = connection.read_some(&mut buffer);
            if size == 0 {
                return received;
            }
            received.extend_from_slice(&buffer[..size]);
        }
    });
    let status = server.stop();
    let received = reader.join().expect("it does not panic");
    assert!(received.ends_with(&content), "the transfer was cut off");
    assert!(status.success(), "{status}: {}", server.log());
}

#[test]
fn a_push_under_way_is_finished() {
    let mut server = Server::start();
    let content = noise(3 * MIB, 2);
    let location = Repository::of(&server, "team/app").begin().location;
    let address = server.address().to_owned();
    let mut connection = Connection::open(&server);
    connection.ask("PATCH", &location, &[("Content-Length", &content.len().to_string())]);
    connection.send(&content[..=MIB]);
    wait_for_bytes(&server);
    let rest = content[MIB + 1..].to_vec();
    let writer = thread::spawn(move || {
        let url = format!("http://{address}/v2/");
        wait(
            || http::try_send(|client| client.get(&url)).is_err(),
            "new requests are taken after the server was told to stop",
        );
        connection.send(&rest);
        connection.answer()
    });
    let status = server.stop();
    let answer = writer.join().expect("new requests are refused");
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert!(status.success(), "{status}: {}", server.log());
    server.start_again();
    let finished = Upload::at(&server, &location).finish(&sha256(&content));
    assert_eq!(finished.status, 201, "{}", finished.text());
}
