//! Uploads: every way in which clients push a blob.

use std::collections::HashSet;
use std::fs;
use std::thread;

use reqwest::Method;
use reqwest::header::CONTENT_RANGE;

use crate::common::connection::Connection;
use crate::common::content::{MIB, noise, sha256};
use crate::common::repository::{
    Repository, assert_nothing_is_left, assert_refused, streamed, wait,
};
use crate::common::{Server, embedded_only, http};

#[test]
fn an_upload_begins_with_a_location_of_its_own() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let mut locations = HashSet::new();
    for path in ["blobs/uploads/", "blobs/uploads", "blobs/uploads/?digest-algorithm=sha256"] {
        let response = repository.post(path);
        assert_eq!(response.status, 202, "{path}");
        assert_eq!(response.header("range"), "0-0");
        assert_eq!(response.header("content-length"), "0");
        let location = response.header("location");
        let segment = location.strip_prefix("/v2/team/app/blobs/uploads/").expect("it is relative");
        let (id, offset) = segment.split_once('.').expect("it carries the offset");
        assert_eq!(offset, "0");
        assert_eq!(id.parse::<uuid::Uuid>().map(|id| id.to_string()).as_deref(), Ok(id));
        assert_eq!(response.header("docker-upload-uuid"), id);
        assert!(locations.insert(location.to_owned()), "two uploads at one place");
    }
}

#[test]
fn a_blob_is_pushed_in_one_request() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    for content in [noise(3, 1), noise(MIB + 5, 2)] {
        let digest = sha256(&content);
        let path = format!("blobs/uploads/?digest={digest}");
        for body in [content.clone().into(), streamed(&content)] {
            let response = repository.send(Method::POST, &path, |request| request.body(body));
            assert_eq!(response.status, 201, "{}", response.text());
            assert_eq!(response.header("location"), format!("/v2/team/app/blobs/{digest}"));
            assert_eq!(response.header("docker-content-digest"), digest);
            assert!(http::get(&server.url(response.header("location"))).body == content);
        }
    }
}

#[test]
fn a_blob_is_pushed_by_post_and_put() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(MIB + 1, 3);
    let digest = sha256(&content);
    let upload = repository.begin();
    let response = upload.finish_with(&digest, &content);
    assert_eq!(response.status, 201);
    assert_eq!(response.header("location"), format!("/v2/team/app/blobs/{digest}"));
    assert_eq!(response.header("docker-content-digest"), digest);
    assert!(repository.get(&format!("blobs/{digest}")).body == content);
    assert_refused(&upload.status(), 404, "BLOB_UPLOAD_UNKNOWN");
}

/// Docker sends one PATCH with neither a Content-Range nor a Content-Length.
#[test]
fn a_blob_is_pushed_as_a_stream() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(2 * MIB + 1, 4);
    let upload = repository.begin();
    let (first, rest) = content.split_at(MIB + 300_000);
    for (piece, end) in [(first, first.len()), (rest, content.len())] {
        let response = upload.stream(piece);
        assert_eq!(response.status, 202);
        assert_eq!(response.header("range"), format!("0-{}", end - 1));
        assert_eq!(response.header("location"), upload.location_at(end));
        assert!(upload.location.ends_with(response.header("docker-upload-uuid")));
    }
    let digest = sha256(&content);
    assert_eq!(upload.finish(&digest).status, 201);
    assert!(repository.get(&format!("blobs/{digest}")).body == content);
}

#[test]
fn a_blob_is_pushed_in_chunks() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(3 * MIB, 5);
    let digest = sha256(&content);
    // The last chunk comes by PATCH, or by PUT; both with and without saying where it belongs.
    for last in ["PATCH", "PUT", "PUT with its place"] {
        let upload = repository.begin();
        let mut offset = 0;
        for end in [1, 2, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB - 1] {
            let response = upload.chunk(offset, &content[offset..end]);
            assert_eq!(response.status, 202, "{}", response.text());
            assert_eq!(response.header("range"), format!("0-{}", end - 1));
            let status = upload.status();
            assert_eq!(status.status, 204);
            assert_eq!(status.header("range"), format!("0-{}", end - 1));
            assert_eq!(status.header("location"), upload.location_at(end));
            offset = end;
        }
        let response = match last {
            "PATCH" => {
                assert_eq!(upload.chunk(offset, &content[offset..]).status, 202);
                upload.finish(&digest)
            }
            "PUT" => upload.finish_with(&digest, &content[offset..]),
            _ => upload.finish_with_chunk(&digest, offset, &content[offset..]),
        };
        assert_eq!(response.status, 201, "{last}: {}", response.text());
        assert!(repository.get(&format!("blobs/{digest}")).body == content, "{last}");
    }
}

/// Some clients write the range of a chunk as that of an answer.
#[test]
fn a_unit_and_a_total_in_the_range_of_a_chunk_are_tolerated() {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    for (range, body, end) in
        [("bytes 0-2", "abc", "0-2"), ("bytes 3-4/*", "de", "0-4"), ("5-5", "f", "0-5")]
    {
        let response =
            upload.send(Method::PATCH, |request| request.header(CONTENT_RANGE, range).body(body));
        assert_eq!((response.status, response.header("range")), (202, end), "{range}");
    }
    assert_eq!(upload.finish(&sha256(b"abcdef")).status, 201);
}

#[test]
fn a_chunk_out_of_order_is_416_with_the_offset_of_the_upload() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let upload = repository.begin();
    let early = upload.chunk(5, b"56789");
    assert_refused(&early, 416, "RANGE_INVALID");
    assert_eq!(early.header("range"), "0-0");
    assert_eq!(upload.chunk(0, b"01234").status, 202);
    let digest = sha256(b"0123456789");
    for (offset, bytes) in [(0, "01234"), (4, "456789"), (6, "6789"), (1000, "x")] {
        for response in [
            upload.chunk(offset, bytes.as_bytes()),
            upload.finish_with_chunk(&digest, offset, bytes.as_bytes()),
        ] {
            assert_refused(&response, 416, "RANGE_INVALID");
            assert_eq!(response.header("range"), "0-4", "{offset}");
            assert_eq!(response.header("location"), upload.location_at(5), "{offset}");
        }
    }
    assert_eq!(upload.status().header("range"), "0-4");
    assert_eq!(upload.finish_with_chunk(&digest, 5, b"56789").status, 201);
    assert_eq!(repository.get(&format!("blobs/{digest}")).body, b"0123456789");
}

/// The client is still sending when it is refused: it must be able to read why.
#[test]
fn a_refusal_reaches_a_client_that_sends_a_large_chunk() {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    let response = upload.chunk(5, &noise(8 * MIB, 1));
    assert_refused(&response, 416, "RANGE_INVALID");
}

#[test]
fn a_cancelled_upload_is_gone() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let upload = repository.begin();
    assert_eq!(upload.stream(&noise(MIB + 1, 6)).status, 202);
    assert_eq!(upload.cancel().status, 204);
    let digest = sha256(b"");
    for response in
        [upload.status(), upload.cancel(), upload.stream(b"more"), upload.finish(&digest)]
    {
        assert_refused(&response, 404, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_nothing_is_left(&server);
}

#[test]
fn an_upload_belongs_to_one_repository() {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    assert_eq!(upload.stream(b"content").status, 202);
    let elsewhere = upload.location.replace("team/app", "team/other");
    let elsewhere = crate::common::repository::Upload::at(&server, &elsewhere);
    for response in [
        elsewhere.status(),
        elsewhere.stream(b"more"),
        elsewhere.finish(&sha256(b"content")),
        elsewhere.cancel(),
    ] {
        assert_refused(&response, 404, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(upload.finish(&sha256(b"content")).status, 201);
}

/// OpenRegistry did not check the whole of an upload in chunks.
#[test]
fn other_content_than_its_digest_is_refused_and_the_upload_stays_where_it_was() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(MIB + 100, 8);
    let wrong = sha256(b"something else");
    let upload = repository.begin();
    assert_eq!(upload.stream(&content).status, 202);
    assert_refused(&upload.finish(&wrong), 400, "DIGEST_INVALID");
    assert_eq!(upload.status().header("range"), format!("0-{}", content.len() - 1));
    let fresh = repository.begin();
    assert_refused(&fresh.finish_with(&wrong, &content), 400, "DIGEST_INVALID");
    assert_eq!(fresh.status().header("range"), "0-0");
    let path = format!("blobs/uploads/?digest={wrong}");
    let posted = repository.send(Method::POST, &path, |request| request.body(content.clone()));
    assert_refused(&posted, 400, "DIGEST_INVALID");
    for digest in [wrong, sha256(&content)] {
        assert_eq!(repository.head(&format!("blobs/{digest}")).status, 404);
    }
    assert_eq!(fresh.finish_with(&sha256(b"other"), b"other").status, 201);
    assert_eq!(upload.finish(&sha256(&content)).status, 201);
    assert!(repository.get(&format!("blobs/{}", sha256(&content))).body == content);
    assert_nothing_is_left(&server);
}

#[test]
fn an_upload_survives_an_end_without_a_digest() {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    assert_eq!(upload.stream(b"content").status, 202);
    assert_refused(&upload.send(Method::PUT, |request| request), 400, "DIGEST_INVALID");
    for digest in ["", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "content"] {
        assert_refused(&upload.finish(digest), 400, "DIGEST_INVALID");
    }
    assert_eq!(upload.finish(&sha256(b"content")).status, 201);
}

#[test]
fn a_client_may_wait_for_100_continue() {
    let server = Server::start();
    let upload = Repository::of(&server, "team/app").begin();
    let mut connection = Connection::open(&server);
    let target = format!("{}?digest={}", upload.location, sha256(b"content"));
    connection.ask("PUT", &target, &[("Content-Length", "7"), ("Expect", "100-continue")]);
    assert_eq!(connection.answer().status, 100);
    connection.send("content");
    assert_eq!(connection.answer().status, 201);
}

#[test]
fn the_same_blob_may_be_pushed_by_many_at_once() {
    let server = Server::start();
    let content = noise(2 * MIB + 9, 9);
    thread::scope(|scope| {
        for number in 0..6 {
            let (server, content) = (&server, &content);
            scope.spawn(move || {
                let repository = Repository::of(server, &format!("team/app{}", number % 3));
                let upload = repository.begin();
                assert_eq!(upload.stream(content).status, 202);
                assert_eq!(upload.finish(&sha256(content)).status, 201);
            });
        }
    });
    for number in 0..3 {
        let repository = Repository::of(&server, &format!("team/app{number}"));
        assert!(repository.get(&format!("blobs/{}", sha256(&content))).body == content);
    }
    assert_nothing_is_left(&server);
}

#[test]
fn locations_are_absolute_below_an_external_url() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_SERVER__EXTERNAL_URL", "https://registry.example.com");
    });
    let repository = Repository::of(&server, "team/app");
    let base = "https://registry.example.com/v2/team/app";
    let response = repository.post("blobs/uploads/");
    let location = response.header("location");
    let upload = location.strip_prefix("https://registry.example.com").expect("it is absolute");
    let upload = crate::common::repository::Upload::at(&server, upload);
    let patched = upload.stream(b"content");
    let moved = format!("{}7", location.strip_suffix('0').expect("nothing was sent"));
    assert_eq!(patched.header("location"), moved);
    assert_eq!(upload.status().header("location"), moved);
    let digest = sha256(b"content");
    assert_eq!(upload.finish(&digest).header("location"), format!("{base}/blobs/{digest}"));
    let bytes = crate::common::content::image(b"content", &[b"content"]).to_string();
    let pushed = repository.put("v1", crate::common::content::OCI_MANIFEST, bytes.as_bytes());
    let expected = format!("{base}/manifests/{}", sha256(bytes.as_bytes()));
    assert_eq!(pushed.header("location"), expected);
}

/// OpenRegistry kept a transaction of its database open for each.
#[test]
fn many_uploads_may_be_open_at_once() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let uploads: Vec<_> = (0..40).map(|_| repository.begin()).collect();
    for piece in ["first ", "second "] {
        for (number, upload) in uploads.iter().enumerate() {
            assert_eq!(upload.stream(format!("{piece}{number} ").as_bytes()).status, 202);
        }
    }
    for (number, upload) in uploads.iter().enumerate() {
        let content = format!("first {number} second {number} ");
        assert_eq!(upload.finish(&sha256(content.as_bytes())).status, 201);
    }
    assert_nothing_is_left(&server);
}

#[test]
fn an_upload_that_no_client_continues_expires_with_its_bytes() {
    let server = Server::start_with(|command| {
        command
            .env("ROADSTEAD_UPLOADS__EXPIRE_AFTER", "1s")
            .env("ROADSTEAD_UPLOADS__PURGE_INTERVAL", "1s");
    });
    let upload = Repository::of(&server, "team/app").begin();
    assert_eq!(upload.stream(b"01234").status, 202);
    assert_nothing_is_left(&server);
    assert_refused(&upload.status(), 404, "BLOB_UPLOAD_UNKNOWN");
    assert_refused(&upload.finish(&sha256(b"01234")), 404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn an_upload_whose_bytes_cannot_be_removed_is_tried_again_and_stops_no_other() {
    let Some(()) = embedded_only("over Kubo it is no file") else { return };
    let mut server = Server::start_with(|command| {
        command
            .env("ROADSTEAD_UPLOADS__EXPIRE_AFTER", "1s")
            .env("ROADSTEAD_UPLOADS__PURGE_INTERVAL", "1s");
    });
    let files: Vec<_> = (0..3)
        .map(|_| {
            let upload = Repository::of(&server, "team/app").begin();
            let segment = upload.location.rsplit('/').next().expect("it is a path");
            let id = segment.split('.').next().expect("it has a name");
            server.data().join("tmp/uploads").join(id)
        })
        .collect();
    server.stop();
    // A folder cannot be removed as a file is.
    for odd in [&files[0], &files[2]] {
        fs::create_dir(odd).expect("nothing was sent");
    }
    fs::write(&files[1], b"01234").expect("there is room");
    server.start_again();
    wait(|| !files[1].exists(), "it expires");
    assert!(files[0].exists() && files[2].exists());
    for odd in [&files[0], &files[2]] {
        fs::remove_dir(odd).expect("it is empty");
        fs::write(odd, b"01234").expect("there is room");
    }
    // One of them may have been looked for in between.
    wait(|| files.iter().filter(|file| file.exists()).count() < 2, "it is not tried again");
}
