//! Requests to an upload that are sent again: since the network broke them off, or lost the answer.

use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::CONTENT_RANGE;

use crate::common::Server;
use crate::common::connection::Connection;
use crate::common::content::{MIB, noise, sha256, sha512};
use crate::common::http::Response;
use crate::common::repository::{
    Repository, Upload, assert_nothing_is_left, assert_refused, streamed, wait, wait_for_bytes,
};

/// How a request is cut in the middle of its body.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// With its length announced.
    Sized,
    /// By chunked transfer-encoding.
    Chunked,
    /// By chunked transfer-encoding, and the client is killed.
    Reset,
}

const CUTS: [Cut; 3] = [Cut::Sized, Cut::Chunked, Cut::Reset];

/// Sends two thirds of a body, hangs up, and waits until the server has noticed; gives how much stays.
fn cut(
    upload: &Upload,
    server: &Server,
    method: &str,
    target: &str,
    body: &[u8],
    cut: Cut,
) -> usize {
    let mut connection = Connection::open(server);
    if let Cut::Sized = cut {
        connection.ask(method, target, &[("Content-Length", &body.len().to_string())]);
    } else {
        connection.ask(method, target, &[("Transfer-Encoding", "chunked")]);
        connection.send(format!("{:x}\r\n", body.len()));
    }
    connection.send(&body[..body.len() * 2 / 3]);
    wait_for_bytes(server);
    if let Cut::Reset = cut {
        connection.reset();
    } else {
        drop(connection);
    }
    // It is logged when it has ended.
    let path = target.split('?').next().expect("there is a path");
    let line = format!("{method} {path}\"");
    wait(|| server.log().contains(&line), "the end was not noticed");
    received(upload)
}

/// Waits until something of an upload has been received, and no more comes.
fn received(upload: &Upload) -> usize {
    let begun = Instant::now();
    let mut before = 0;
    loop {
        let status = upload.status();
        assert_eq!(status.status, 204, "{}", status.text());
        let last: usize = status.header("range")["0-".len()..].parse().expect("it is a number");
        if last > 0 && last == before {
            return last + 1;
        }
        before = last;
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing was kept");
        thread::sleep(Duration::from_millis(50));
    }
}

fn put(upload: &Upload, digest: &str, body: reqwest::Body) -> Response {
    upload.send(Method::PUT, |request| request.query(&[("digest", digest)]).body(body))
}

#[test]
fn a_put_that_broke_off_is_taken_when_it_is_sent_again() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    for (number, how) in CUTS.into_iter().enumerate() {
        let content = noise(3 * MIB + 5, number as u64);
        for digest in [sha256(&content), sha512(&content)] {
            let upload = repository.begin_with_offset();
            let target = format!("{}?digest={digest}", upload.location);
            cut(&upload, &server, "PUT", &target, &content, how);
            let again = upload.finish_with(&digest, &content);
            assert_eq!(again.status, 201, "{how:?}: {}", again.text());
            assert!(repository.get(&format!("blobs/{digest}")).body == content, "{how:?}");
            assert_refused(&upload.status(), 404, "BLOB_UPLOAD_UNKNOWN");
            assert_eq!(repository.delete(&format!("blobs/{digest}")).status, 202);
        }
    }
    assert_nothing_is_left(&server);
}

#[test]
fn a_put_of_the_whole_is_taken_whatever_came_before_it() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(2 * MIB + 5, 1);
    let digest = sha256(&content);
    for how in CUTS {
        // Where the client was told first, and where no offset is told at all.
        for upload in [repository.begin_with_offset(), repository.begin()] {
            let location = upload.location.clone();
            cut(&upload, &server, "PATCH", &location, &content, how);
            let body =
                if let Cut::Chunked = how { streamed(&content) } else { content.clone().into() };
            let put = put(&upload, &digest, body);
            assert_eq!(put.status, 201, "{how:?} {location}: {}", put.text());
            assert!(repository.get(&format!("blobs/{digest}")).body == content, "{how:?}");
            assert_eq!(repository.delete(&format!("blobs/{digest}")).status, 202);
        }
    }
    // Also where what came before is another content, and the client knows how much it is.
    let upload = repository.begin_with_offset();
    let patched = upload.stream(b"something else");
    let moved = Upload::at(&server, patched.header("location"));
    assert_eq!(moved.finish_with(&digest, &content).status, 201);
    assert_nothing_is_left(&server);
}

#[test]
fn a_patch_that_is_sent_again_is_refused_and_costs_nothing() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(MIB + 5, 2);
    let digest = sha256(&content);
    for body in [|| false, || true] {
        let upload = repository.begin_with_offset();
        let send = || {
            if body() {
                upload.stream(&content)
            } else {
                upload.send(Method::PATCH, |request| request.body(content.clone()))
            }
        };
        let first = send();
        assert_eq!(first.status, 202, "{}", first.text());
        for _ in 0..2 {
            let again = send();
            assert_refused(&again, 416, "RANGE_INVALID");
            assert_eq!(again.header("range"), first.header("range"));
            assert_eq!(again.header("location"), first.header("location"));
            assert_eq!(again.header("docker-upload-uuid"), first.header("docker-upload-uuid"));
        }
        // The end comes by the old location, as it has no body that could be one too many.
        assert_eq!(upload.finish(&digest).status, 201);
        assert!(repository.get(&format!("blobs/{digest}")).body == content);
        assert_eq!(repository.delete(&format!("blobs/{digest}")).status, 202);
    }
}

#[test]
fn a_patch_that_broke_off_is_refused_as_a_whole_and_goes_on_where_it_says() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(3 * MIB, 3);
    let digest = sha256(&content);
    for how in CUTS {
        let upload = repository.begin_with_offset();
        let stored = cut(&upload, &server, "PATCH", &upload.location, &content, how);
        let whole = upload.stream(&content);
        assert_refused(&whole, 416, "RANGE_INVALID");
        assert_eq!(whole.header("range"), format!("0-{}", stored - 1));
        let moved = Upload::at(&server, whole.header("location"));
        let rest = moved.stream(&content[stored..]);
        assert_eq!(rest.status, 202, "{how:?}: {}", rest.text());
        assert_eq!(Upload::at(&server, rest.header("location")).finish(&digest).status, 201);
        assert!(repository.get(&format!("blobs/{digest}")).body == content, "{how:?}");
        assert_eq!(repository.delete(&format!("blobs/{digest}")).status, 202);
    }
}

/// What regctl does: PUT, lost; PUT; PATCH; GET; PATCH of the rest; PUT.
#[test]
fn each_step_by_which_a_client_gets_back_on_its_way_is_answered() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(2 * MIB, 4);
    let digest = sha256(&content);
    let upload = repository.begin_with_offset();
    let target = format!("{}?digest={digest}", upload.location);
    let stored = cut(&upload, &server, "PUT", &target, &content, Cut::Sized);
    let wrong = upload.finish_with(&digest, &content[..content.len() - 1]);
    assert_refused(&wrong, 416, "RANGE_INVALID");
    assert_eq!(wrong.header("range"), format!("0-{}", stored - 1));
    assert_refused(&upload.chunk(0, &content), 416, "RANGE_INVALID");
    let status = upload.status();
    assert_eq!(status.header("location"), wrong.header("location"));
    let moved = Upload::at(&server, status.header("location"));
    let patched = moved.chunk(stored, &content[stored..]);
    assert_eq!(patched.status, 202, "{}", patched.text());
    assert_eq!(Upload::at(&server, patched.header("location")).finish(&digest).status, 201);
    assert!(repository.get(&format!("blobs/{digest}")).body == content);
}

#[test]
fn a_put_whose_answer_was_lost_is_answered_again() {
    let mut server = Server::start();
    let content = noise(MIB + 9, 5);
    let digests = [sha256(&content), sha512(&content)];
    let repository = Repository::of(&server, "team/app");
    let mut ended = Vec::new();
    for digest in &digests {
        let whole = repository.begin_with_offset();
        assert_eq!(whole.finish_with(digest, &content).status, 201);
        let patched = repository.begin_with_offset();
        let moved = Upload::at(&server, patched.stream(&content).header("location"));
        assert_eq!(moved.finish(digest).status, 201);
        ended.extend([whole, patched, moved].map(|upload| (digest, upload.location)));
    }
    let never = format!("/v2/team/app/blobs/uploads/{}", uuid::Uuid::now_v7());
    ended.push((&digests[0], never));
    for restarts in [false, true] {
        if restarts {
            assert!(server.stop().success());
            server.start_again();
        }
        let repository = Repository::of(&server, "team/app");
        for (digest, location) in &ended {
            let upload = Upload::at(&server, location);
            for body in [Vec::new(), content.clone()] {
                for again in [
                    put(&upload, digest, body.clone().into()),
                    put(&upload, digest, streamed(&body)),
                ] {
                    assert_eq!(again.status, 201, "{location}: {}", again.text());
                    assert_eq!(again.header("docker-content-digest"), **digest);
                    let blob = format!("/v2/team/app/blobs/{digest}");
                    assert_eq!(again.header("location"), blob);
                }
            }
            assert_refused(&upload.stream(&content), 404, "BLOB_UPLOAD_UNKNOWN");
            // Of another repository nothing is told.
            let elsewhere = Upload::at(&server, &location.replace("team/app", "team/other"));
            assert_refused(&elsewhere.finish(digest), 404, "BLOB_UPLOAD_UNKNOWN");
        }
        assert!(repository.get(&format!("blobs/{}", digests[0])).body == content);
    }
    let repository = Repository::of(&server, "team/app");
    assert_eq!(repository.delete(&format!("blobs/{}", digests[0])).status, 202);
    let upload = Upload::at(&server, &ended[0].1);
    assert_refused(&upload.finish(&digests[0]), 404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn an_end_that_is_wrong_leaves_the_upload_where_it_stood() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(2 * MIB + 77, 6);
    let digest = sha256(&content);
    let upload = repository.begin();
    let half = MIB + 33;
    assert_eq!(upload.stream(&content[..half]).status, 202);
    let stands = |upload: &Upload| {
        assert_eq!(upload.status().header("range"), format!("0-{}", half - 1));
    };
    for wrong in [sha256(b"other"), sha512(b"other")] {
        for body in [&content[half..], b"x", b""] {
            let answer = put(&upload, &wrong, body.to_vec().into());
            assert_refused(&answer, 400, "DIGEST_INVALID");
            stands(&upload);
            assert_refused(&put(&upload, &wrong, streamed(body)), 400, "DIGEST_INVALID");
            stands(&upload);
        }
        let placed = upload.finish_with_chunk(&wrong, half, &content[half..]);
        assert_refused(&placed, 400, "DIGEST_INVALID");
        stands(&upload);
    }
    // A chunk that is malformed half-way.
    let mut connection = Connection::open(&server);
    let target = format!("{}?digest={digest}", upload.location);
    connection.ask("PUT", &target, &[("Transfer-Encoding", "chunked")]);
    connection.send("5\r\nother\r\nthis is no chunk\r\n");
    if let Some(answer) = connection.try_answer(false) {
        assert_eq!(answer.status, 400);
    }
    let stored = received(&upload);
    assert!(stored == half || stored == half + 5, "{stored}");
    if stored == half {
        assert_eq!(upload.finish_with(&digest, &content[half..]).status, 201);
    } else {
        assert_eq!(upload.finish_with(&digest, &content).status, 201);
    }
    assert!(repository.get(&format!("blobs/{digest}")).body == content);
}

#[test]
fn the_range_of_an_empty_request_does_not_matter() {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    assert_eq!(upload.stream(b"content").status, 202);
    let digest = sha256(b"content");
    let wrong = sha256(b"other");
    for range in ["0-6", "7-6", "7-13", "0-0", "nonsense", ""] {
        for body in [reqwest::Body::from(""), streamed(b"")] {
            let answer = upload.send(Method::PUT, |request| {
                request.query(&[("digest", &wrong)]).header(CONTENT_RANGE, range).body(body)
            });
            assert_refused(&answer, 400, "DIGEST_INVALID");
        }
    }
    let answer = upload.send(Method::PUT, |request| {
        request.query(&[("digest", &digest)]).header(CONTENT_RANGE, "0-6").body("")
    });
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[test]
fn an_upload_outlives_a_stop_and_a_kill_in_the_middle() {
    let mut server = Server::start_with(|command| {
        command.env("ROADSTEAD_SERVER__SHUTDOWN_GRACE", "1s");
    });
    let content = noise(4 * MIB + 5, 7);
    let digest = sha256(&content);
    for is_killed in [false, true] {
        for method in ["PATCH", "PUT"] {
            let location = Repository::of(&server, "team/app").begin_with_offset().location;
            let mut connection = Connection::open(&server);
            let target = format!("{location}?digest={digest}");
            connection.ask(method, &target, &[("Content-Length", &content.len().to_string())]);
            connection.send(&content[..3 * MIB]);
            wait_for_bytes(&server);
            if is_killed {
                server.kill();
            } else {
                assert!(server.stop().success(), "{}", server.log());
            }
            drop(connection);
            server.start_again();
            let upload = Upload::at(&server, &location);
            let repository = Repository::of(&server, "team/app");
            if !is_killed && method == "PATCH" {
                let stored = received(&upload);
                assert!(stored <= 3 * MIB);
                assert_refused(&upload.stream(&content), 416, "RANGE_INVALID");
                assert_eq!(upload.chunk(stored, &content[stored..]).status, 202);
                assert_eq!(upload.finish(&digest).status, 201);
            } else {
                let whole = upload.finish_with(&digest, &content);
                assert_eq!(whole.status, 201, "killed: {is_killed} {method}: {}", whole.text());
            }
            assert!(repository.get(&format!("blobs/{digest}")).body == content);
            assert_eq!(repository.delete(&format!("blobs/{digest}")).status, 202);
        }
    }
    assert_nothing_is_left(&server);
}
