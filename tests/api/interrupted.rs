//! Uploads whose connection breaks, and requests that get in each other's way.

use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;

use crate::common::Server;
use crate::common::connection::Connection;
use crate::common::content::{MIB, noise, sha256, sha512};
use crate::common::repository::{
    Repository, Upload, assert_nothing_is_left, assert_refused, streamed, wait_for_bytes,
};

/// Waits until the server has noticed that nobody appends any more, and gives the offset.
fn offset_after_break(upload: &Upload) -> usize {
    let begun = Instant::now();
    loop {
        let status = upload.status();
        assert_eq!(status.status, 204, "{}", status.text());
        let last: usize = status.header("range")["0-".len()..].parse().expect("it is a number");
        if last > 0 {
            return last + 1;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing was kept");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_upload_that_broke_off_goes_on_where_it_says() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(5 * MIB + 77, 1);
    let digest = sha256(&content);
    for chunked in [false, true] {
        let upload = repository.begin();
        let mut offset = 0;
        for sent in [MIB + 1, 2 * MIB, 4 * MIB - 5] {
            let piece = &content[offset..sent];
            let mut connection = Connection::open(&server);
            if chunked {
                connection.ask("PATCH", &upload.location, &[("Transfer-Encoding", "chunked")]);
                connection.send(format!("{:x}\r\n", piece.len() + 1));
            } else {
                let length = (content.len() - offset).to_string();
                let range = format!("{offset}-{}", content.len() - 1);
                let headers = [("Content-Length", &*length), ("Content-Range", &*range)];
                connection.ask("PATCH", &upload.location, &headers);
            }
            connection.send(piece);
            drop(connection);
            let begun = Instant::now();
            let mut now = offset_after_break(&upload);
            // What was on its way when the connection broke may arrive or not; it is a prefix.
            while now == offset && begun.elapsed() < Duration::from_secs(30) {
                thread::sleep(Duration::from_millis(10));
                now = offset_after_break(&upload);
            }
            assert!(now > offset && now <= sent, "{offset} < {now} <= {sent}");
            offset = now;
        }
        assert_eq!(upload.chunk(offset, &content[offset..]).status, 202);
        assert_eq!(upload.finish(&digest).status, 201);
        let path = format!("blobs/{digest}");
        assert!(repository.get(&path).body == content, "chunked: {chunked}");
        assert_eq!(repository.delete(&path).status, 202);
    }
}

#[test]
fn an_end_that_broke_off_makes_no_blob_and_may_be_repeated() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(3 * MIB, 2);
    let digest = sha256(&content);
    let upload = repository.begin();
    let target = format!("{}?digest={digest}", upload.location);
    let mut connection = Connection::open(&server);
    connection.ask("PUT", &target, &[("Content-Length", &content.len().to_string())]);
    connection.send(&content[..2 * MIB]);
    drop(connection);
    let offset = offset_after_break(&upload);
    assert_eq!(repository.head(&format!("blobs/{digest}")).status, 404);
    let response = upload.finish_with_chunk(&digest, offset, &content[offset..]);
    assert_eq!(response.status, 201, "{}", response.text());
    assert!(repository.get(&format!("blobs/{digest}")).body == content);
}

#[test]
fn a_single_request_that_broke_off_leaves_nothing() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(2 * MIB, 3);
    let digest = sha256(&content);
    let target = repository.path(&format!("blobs/uploads/?digest={digest}"));
    for hang_up in [drop, Connection::reset] {
        let mut connection = Connection::open(&server);
        connection.ask("POST", &target, &[("Content-Length", &content.len().to_string())]);
        connection.send(&content[..=MIB]);
        wait_for_bytes(&server);
        hang_up(connection);
        assert_nothing_is_left(&server);
    }
    assert_eq!(repository.head(&format!("blobs/{digest}")).status, 404);
    assert_eq!(repository.push_blob(&content), digest);
}

#[test]
fn of_many_chunks_for_one_offset_one_is_taken() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(2 * MIB, 4);
    let upload = repository.begin();
    let (first, second) = content.split_at(MIB);
    for (offset, piece) in [(0, first), (MIB, second)] {
        let statuses: Vec<u16> = thread::scope(|scope| {
            let tasks: Vec<_> =
                (0..4).map(|_| scope.spawn(|| upload.chunk(offset, piece).status)).collect();
            tasks.into_iter().map(|task| task.join().expect("it does not panic")).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 416).count(), 3, "{statuses:?}");
    }
    let digest = sha256(&content);
    assert_eq!(upload.finish(&digest).status, 201);
    assert!(repository.get(&format!("blobs/{digest}")).body == content);
}

#[test]
fn an_upload_that_is_cancelled_while_it_comes_stays_cancelled() {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    let mut connection = Connection::open(&server);
    connection.ask("PATCH", &upload.location, &[("Content-Length", "10")]);
    connection.send("01234");
    wait_for_bytes(&server);
    assert_eq!(upload.cancel().status, 204);
    connection.send("56789");
    let answer = connection.answer();
    assert_eq!((answer.status, answer.code().as_str()), (404, "BLOB_UPLOAD_UNKNOWN"));
    assert_refused(&upload.status(), 404, "BLOB_UPLOAD_UNKNOWN");
    assert_nothing_is_left(&server);
}

#[test]
fn a_body_shorter_than_it_was_announced_is_refused() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let upload = repository.begin();
    let mut connection = Connection::open(&server);
    connection.ask("PATCH", &upload.location, &[("Content-Length", "10")]);
    connection.send("01234");
    connection.end();
    if let Some(answer) = connection.try_answer(false) {
        assert_eq!((answer.status, answer.code().as_str()), (400, "BLOB_UPLOAD_INVALID"));
    }
    let offset = offset_after_break(&upload);
    assert_eq!(offset, 5, "what came is kept");
    assert_eq!(upload.chunk(5, b"56789").status, 202);
    assert_eq!(upload.finish(&sha256(b"0123456789")).status, 201);
}

#[test]
fn a_body_ends_where_its_length_says() {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    let mut connection = Connection::open(&server);
    connection.ask("PATCH", &upload.location, &[("Content-Length", "5")]);
    connection.send("01234and what was not announced\r\n\r\n");
    let answer = connection.answer();
    assert_eq!((answer.status, answer.header("range")), (202, Some("0-4")));
    assert_eq!(upload.finish(&sha256(b"01234")).status, 201);
}

#[test]
fn a_chunk_that_is_not_as_long_as_its_range_is_refused_and_leaves_no_trace() {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    assert_eq!(upload.stream(b"01234").status, 202);
    let digest = sha256(b"0123456789");
    for (range, body) in [("5-9", "5678"), ("5-9", "56789x"), ("5-5", "56"), ("5-999999", "5")] {
        let content = body.as_bytes();
        for (method, body) in [
            (Method::PATCH, content.to_vec().into()),
            (Method::PATCH, streamed(content)),
            (Method::PUT, content.to_vec().into()),
            (Method::PUT, streamed(content)),
        ] {
            let response = upload.send(method, |request| {
                request.query(&[("digest", &digest)]).header("content-range", range).body(body)
            });
            assert_refused(&response, 400, "SIZE_INVALID");
            assert_eq!(upload.status().header("range"), "0-4", "{range}");
        }
    }
    assert_eq!(upload.finish_with_chunk(&digest, 5, b"56789").status, 201);
}

#[test]
fn an_end_is_carried_out_although_its_client_is_gone() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(64 * MIB, 9);
    let upload = repository.begin();
    assert_eq!(upload.stream(&content).status, 202);
    let digest = sha512(&content);
    let target = format!("{}?digest={digest}", upload.location);
    let is_there = |limit: Duration| {
        let begun = Instant::now();
        while repository.head(&format!("blobs/{digest}")).status != 200 {
            if begun.elapsed() > limit {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        true
    };
    // The first is shorter than it takes to hash that again by sha512; how long the server takes to begin
    // depends on the machine.
    let is_carried_out = [60, 120, 250, 500, 1000].into_iter().any(|pause| {
        let mut connection = Connection::open(&server);
        connection.ask("PUT", &target, &[("Content-Length", "0")]);
        thread::sleep(Duration::from_millis(pause));
        connection.reset();
        is_there(Duration::from_secs(5))
    });
    assert!(is_carried_out || is_there(Duration::from_mins(1)), "{}", upload.status().status);
    assert_nothing_is_left(&server);
    assert_refused(&upload.status(), 404, "BLOB_UPLOAD_UNKNOWN");
}
