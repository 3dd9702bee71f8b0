//! Of two requests to one upload the newer goes on with it.

use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;

use crate::common::connection::Connection;
use crate::common::content::{MIB, noise, sha256};
use crate::common::repository::{
    Repository, Upload, assert_nothing_is_left, assert_refused, wait, wait_for_bytes,
};
use crate::common::{Server, http};

/// Begins a request whose body rests after so many bytes, once they have been received.
fn hang(
    server: &Server,
    upload: &Upload,
    method: &str,
    target: &str,
    body: &[u8],
    sent: usize,
) -> Connection {
    let mut connection = Connection::open(server);
    connection.ask(method, target, &[("Content-Length", &body.len().to_string())]);
    connection.send(&body[..sent]);
    let expected = format!("0-{}", sent.saturating_sub(1));
    wait(|| upload.status().header("range") == expected, "nothing arrived");
    connection
}

#[test]
fn an_upload_continues_from_what_a_hanging_request_has_received() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(2 * MIB + 3, 1);
    let digest = sha256(&content);
    let sent = MIB + 50_000;
    for method in ["PATCH", "PUT"] {
        let upload = repository.begin_with_offset();
        let target = format!("{}?digest={digest}", upload.location);
        let mut hanging = hang(&server, &upload, method, &target, &content, sent);
        let status = upload.status();
        assert_eq!((status.status, status.header("range")), (204, &*format!("0-{}", sent - 1)));
        let begun = Instant::now();
        let rest = upload.chunk(sent, &content[sent..]);
        assert_eq!(rest.status, 202, "{method}: {}", rest.text());
        assert_eq!(rest.header("range"), format!("0-{}", content.len() - 1));
        assert!(begun.elapsed() < Duration::from_secs(20), "it waited for the older request");
        assert_eq!(upload.finish(&digest).status, 201);
        assert!(repository.get(&format!("blobs/{digest}")).body == content, "{method}");
        let answer = hanging.answer();
        // The older PUT waits for what becomes of the upload.
        let expected = if method == "PATCH" { 416 } else { 201 };
        assert!([expected, 416].contains(&answer.status), "{}", answer.text());
        assert_eq!(repository.delete(&format!("blobs/{digest}")).status, 202);
    }
}

#[test]
fn a_stream_goes_on_behind_what_a_hanging_request_has_received() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let upload = repository.begin();
    let _hanging = hang(&server, &upload, "PATCH", &upload.location, b"0123456789", 5);
    let status = upload.status();
    let moved = Upload::at(&server, status.header("location"));
    let rest = moved.stream(b"56789");
    assert_eq!((rest.status, rest.header("range")), (202, "0-9"));
    assert_eq!(upload.finish(&sha256(b"0123456789")).status, 201);
}

#[test]
fn a_request_that_is_sent_again_replaces_the_one_that_hangs() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(MIB + 3, 2);
    let digest = sha256(&content);
    for (older, newer) in [("PATCH", "PATCH"), ("PATCH", "PUT"), ("PUT", "PUT"), ("PUT", "PATCH")] {
        let upload = repository.begin_with_offset();
        let target = format!("{}?digest={digest}", upload.location);
        let _hanging = hang(&server, &upload, older, &target, &content, MIB);
        if newer == "PATCH" {
            let answer = upload.stream(&content);
            assert_eq!(answer.status, 202, "{older} {newer}: {}", answer.text());
            assert_eq!(upload.finish(&digest).status, 201);
        } else {
            let answer = upload.finish_with(&digest, &content);
            assert_eq!(answer.status, 201, "{older} {newer}: {}", answer.text());
        }
        assert!(repository.get(&format!("blobs/{digest}")).body == content);
        assert_eq!(repository.delete(&format!("blobs/{digest}")).status, 202);
    }
}

#[test]
fn an_end_and_a_cancellation_do_not_wait_for_a_hanging_request() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let upload = repository.begin();
    let mut hanging = hang(&server, &upload, "PATCH", &upload.location, b"0123456789", 5);
    let short = upload.finish(&sha256(b"0123456789"));
    assert_refused(&short, 400, "DIGEST_INVALID");
    assert_eq!(upload.status().header("range"), "0-4", "what came is there");
    assert_eq!(hanging.answer().status, 416);
    assert_eq!(upload.finish(&sha256(b"01234")).status, 201);

    let upload = repository.begin();
    let mut hanging = hang(&server, &upload, "PATCH", &upload.location, b"0123456789", 5);
    assert_eq!(upload.cancel().status, 204);
    let answer = hanging.answer();
    assert_eq!((answer.status, answer.code().as_str()), (404, "BLOB_UPLOAD_UNKNOWN"));
    assert_refused(&upload.status(), 404, "BLOB_UPLOAD_UNKNOWN");
    assert_nothing_is_left(&server);
}

/// What comes late, or never belonged there, does not cost the request that is under way.
#[test]
fn a_request_that_cannot_go_on_ends_no_other() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let upload = repository.begin();
    assert_eq!(upload.stream(b"01234").status, 202);
    let body = b"56789abcde";
    let mut under_way = Connection::open(&server);
    under_way.ask("PATCH", &upload.location_at(5), &[("Content-Length", "10")]);
    under_way.send(&body[..5]);
    wait(|| upload.status().header("range") == "0-9", "nothing arrived");
    let old = Upload::at(&server, &upload.location_at(0));
    for late in [old.stream(b"01234"), upload.chunk(0, b"01234"), upload.chunk(11, b"bcde")] {
        assert_refused(&late, 416, "RANGE_INVALID");
        assert_eq!(late.header("range"), "0-9");
        assert_eq!(late.header("location"), upload.location_at(10));
    }
    let wrong = old.finish_with(&sha256(b"0123456789abcde"), b"01234");
    assert_refused(&wrong, 416, "RANGE_INVALID");
    under_way.send(&body[5..]);
    let answer = under_way.answer();
    assert_eq!((answer.status, answer.header("range")), (202, Some("0-14")));
    assert_eq!(upload.finish(&sha256(b"0123456789abcde")).status, 201);
}

#[test]
fn of_requests_that_come_at_once_each_is_answered_and_nothing_is_lost() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(MIB, 3);
    let digest = sha256(&content);
    for _ in 0..5 {
        let upload = repository.begin_with_offset();
        let statuses: Vec<u16> = thread::scope(|scope| {
            let tasks: Vec<_> = (0..6)
                .map(|_| scope.spawn(|| upload.finish_with(&digest, &content).status))
                .collect();
            tasks.into_iter().map(|task| task.join().expect("it does not panic")).collect()
        });
        assert_eq!(statuses, [201; 6]);
        assert!(repository.get(&format!("blobs/{digest}")).body == content);
        assert_eq!(repository.delete(&format!("blobs/{digest}")).status, 202);
    }
    assert_nothing_is_left(&server);
}

#[test]
fn a_body_that_rests_for_too_long_is_refused_as_one_to_repeat() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_UPLOADS__IDLE_TIMEOUT", "1s");
    });
    let repository = Repository::of(&server, "team/app");
    let upload = repository.begin();
    let digest = sha256(b"0123456789");
    let single = repository.path(&format!("blobs/uploads/?digest={digest}"));
    let ended = format!("{}?digest={digest}", upload.location);
    let manifest = repository.path("manifests/v1");
    for (method, target, code) in [
        ("PATCH", &upload.location, "BLOB_UPLOAD_INVALID"),
        ("PUT", &ended, "BLOB_UPLOAD_INVALID"),
        ("POST", &single, "BLOB_UPLOAD_INVALID"),
        ("PUT", &manifest, "MANIFEST_INVALID"),
    ] {
        for encoding in [("Content-Length", "10"), ("Transfer-Encoding", "chunked")] {
            let mut connection = Connection::open(&server);
            connection.ask(method, target, &[encoding]);
            connection.send(if encoding.1 == "chunked" { "3\r\n012\r\n" } else { "012" });
            let answer = connection.answer();
            assert_eq!((answer.status, answer.code().as_str()), (408, code), "{method} {target}");
            assert_eq!(connection.read_some(&mut [0; 16]), 0, "the connection ends");
        }
    }
    // What came is there, of each of the four requests.
    assert_eq!(upload.status().header("range"), "0-11");
    assert_eq!(upload.finish_with(&digest, b"0123456789").status, 201);
    assert_nothing_is_left(&server);
}

/// A client may rest, as long as the operator allows.
#[test]
fn a_body_may_rest() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_UPLOADS__IDLE_TIMEOUT", "30s");
    });
    let upload = Repository::of(&server, "team/app").begin();
    let mut connection = Connection::open(&server);
    connection.ask("PATCH", &upload.location, &[("Content-Length", "10")]);
    for piece in ["012", "345", "6789"] {
        thread::sleep(Duration::from_millis(700));
        connection.send(piece);
    }
    assert_eq!(connection.answer().status, 202);
    assert_eq!(upload.finish(&sha256(b"0123456789")).status, 201);
}

#[test]
fn an_upload_belongs_to_the_user_who_began_it() {
    let folder = tempfile::TempDir::new().expect("a temporary folder can be made");
    let users = folder.path().join("users");
    // Both passwords are `secret`.
    std::fs::write(&users, users_file()).expect("a file can be written");
    let file = users.clone();
    let server = Server::start_with(move |command| {
        command
            .env("ROADSTEAD_AUTH__METHOD", "htpasswd")
            .env("ROADSTEAD_AUTH__HTPASSWD__FILE", &file);
    });
    let send = |user: &str, method: Method, path: &str, body: &'static str| {
        let url = server.url(path);
        http::send(|client| client.request(method, url).basic_auth(user, Some("secret")).body(body))
    };
    let begun = send("anna", Method::POST, "/v2/team/app/blobs/uploads/", "");
    assert_eq!(begun.status, 202, "{}", begun.text());
    let with_offset = begun.header("location").to_owned();
    let plain = with_offset.rsplit_once('.').expect("it carries the offset").0.to_owned();
    let patched = send("anna", Method::PATCH, &with_offset, "content");
    assert_eq!(patched.status, 202);
    let moved = patched.header("location").to_owned();
    let digest = sha256(b"content");
    for location in [&with_offset, &plain, &moved] {
        for (method, body) in [
            (Method::GET, ""),
            (Method::PATCH, "more"),
            (Method::PUT, ""),
            (Method::PUT, "content"),
            (Method::DELETE, ""),
        ] {
            let path = format!("{location}?digest={digest}");
            let answer = send("bob", method, &path, body);
            assert_refused(&answer, 404, "BLOB_UPLOAD_UNKNOWN");
        }
    }
    // Nor does another user end a request that is under way.
    let mut connection = Connection::open(&server);
    let basic = "Basic YW5uYTpzZWNyZXQ=";
    connection.ask("PATCH", &moved, &[("Content-Length", "5"), ("Authorization", basic)]);
    connection.send("and");
    wait_for_bytes(&server);
    assert_refused(&send("bob", Method::PATCH, &moved, "more"), 404, "BLOB_UPLOAD_UNKNOWN");
    connection.send("so");
    assert_eq!(connection.answer().status, 202);
    let path = format!("{plain}?digest={}", sha256(b"contentandso"));
    assert_eq!(send("anna", Method::PUT, &path, "").status, 201);
}

fn users_file() -> String {
    ["anna", "bob"]
        .map(|user| format!("{user}:{}\n", bcrypt::hash("secret", 4).expect("it can be hashed")))
        .concat()
}
