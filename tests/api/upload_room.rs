//! How many bytes uploads under way take together (`uploads.max_bytes`).

use reqwest::Method;
use reqwest::header::CONTENT_RANGE;

use crate::common::content::{MIB, noise, sha256};
use crate::common::http::{self, Response};
use crate::common::repository::{Repository, Upload, assert_refused, streamed, wait};
use crate::common::{Server, embedded_only};

/// What the servers of these tests allow.
const ROOM: usize = 3 * MIB;

fn server() -> Server {
    Server::start_with(|command| {
        command.env("ROADSTEAD_UPLOADS__MAX_BYTES", ROOM.to_string());
    })
}

fn assert_no_room(response: &Response) {
    assert_refused(response, 429, "TOOMANYREQUESTS");
    assert!(!response.header("retry-after").is_empty());
}

fn taken(server: &Server) -> usize {
    let text = http::get(&server.url("/metrics")).text();
    let line = text.lines().find_map(|line| line.strip_prefix("roadstead_upload_bytes "));
    line.expect("it is measured").parse().expect("it is a number")
}

/// How many bytes an upload has.
fn offset(upload: &Upload<'_>) -> usize {
    let status = upload.status();
    assert_eq!(status.status, 204, "{}", status.text());
    let range = status.header("range").to_owned();
    let (_, end) = range.split_once('-').expect("it is a range");
    end.parse::<usize>().map_or(0, |end| if range == "0-0" { 0 } else { end + 1 })
}

#[test]
fn uploads_beyond_the_room_are_refused_and_go_on_when_others_have_ended() {
    let mut server = server();
    let first = noise(2 * MIB, 1);
    let second = noise(2 * MIB, 2);
    let (one, other) = {
        let repository = Repository::of(&server, "team/app");
        let (one, other) = (repository.begin(), repository.begin());
        assert_eq!(one.stream(&first).status, 202);
        assert_eq!(taken(&server), 2 * MIB);
        // Of what says how long it is nothing is written.
        assert_no_room(&other.chunk(0, &second));
        assert_eq!((offset(&other), taken(&server)), (0, 2 * MIB));
        assert_no_room(&other.stream(&second));
        let stands_at = offset(&other);
        assert!(stands_at <= MIB && taken(&server) <= ROOM, "{stands_at}");
        let whole = format!("blobs/uploads/?digest={}", sha256(&second));
        assert_no_room(&repository.send(Method::POST, &whole, |it| it.body(second.clone())));
        (one.location, other.location)
    };
    // What was saved counts after a restart.
    server.kill();
    server.start_again();
    let (one, other) = (Upload::at(&server, &one), Upload::at(&server, &other));
    let stands_at = offset(&other);
    assert_no_room(&other.chunk(stands_at, &second[stands_at..]));
    assert_eq!(one.finish(&sha256(&first)).status, 201);
    assert_eq!(offset(&other), stands_at, "it stands where it stood");
    assert_eq!(other.chunk(stands_at, &second[stands_at..]).status, 202);
    assert_eq!(other.finish(&sha256(&second)).status, 201);
    assert_eq!(taken(&server), 0);
    let repository = Repository::of(&server, "team/app");
    for bytes in [&first, &second] {
        assert!(repository.get(&format!("blobs/{}", sha256(bytes))).body == *bytes);
    }

    let (one, other) = (repository.begin(), repository.begin());
    assert_eq!(one.stream(&noise(ROOM, 3)).status, 202, "to the last byte");
    assert_refused(&repository.post("blobs/uploads/"), 429, "TOOMANYREQUESTS");
    assert_no_room(&other.stream(b"one more"));
    assert_eq!(one.cancel().status, 204);
    assert_eq!(other.stream(b"one more").status, 202);
}

#[test]
fn a_blob_that_is_larger_than_all_uploads_may_be_is_refused() {
    let server = server();
    let repository = Repository::of(&server, "team/app");
    let (most, more) = (noise(ROOM, 1), noise(ROOM + 1, 2));
    let digest = sha256(&more);
    repository.push_blob(&most);
    let whole = format!("blobs/uploads/?digest={digest}");
    let refused = repository.send(Method::POST, &whole, |it| it.body(more.clone()));
    assert_refused(&refused, 413, "SIZE_INVALID");
    let upload = repository.begin();
    assert_refused(&upload.stream(&more), 413, "SIZE_INVALID");
    assert_eq!(upload.cancel().status, 204);
    let upload = repository.begin();
    assert_refused(&upload.chunk(0, &more), 413, "SIZE_INVALID");
    assert_refused(&upload.finish_with(&digest, &more), 413, "SIZE_INVALID");
    assert_eq!(upload.chunk(0, &most).status, 202);
    assert_refused(&upload.chunk(ROOM, b"!"), 413, "SIZE_INVALID");
    assert_eq!(upload.finish(&sha256(&most)).status, 201);
    assert_eq!(taken(&server), 0);
}

#[test]
fn what_a_killed_process_had_not_saved_counts_until_it_is_gone() {
    let Some(()) = embedded_only("over Kubo it is no file") else { return };
    let mut server = server();
    let location = {
        let upload = Repository::of(&server, "team/app").begin();
        assert_eq!(upload.stream(b"saved").status, 202);
        upload.location
    };
    server.kill();
    let id = location.rsplit('/').next().expect("it is a path");
    let file = server.data().join("tmp/uploads").join(id);
    let bytes = [b"saved".to_vec(), noise(2 * MIB, 1)].concat();
    std::fs::write(&file, &bytes).expect("the upload has a file");
    server.start_again();
    assert_eq!(taken(&server), bytes.len());
    let other = Repository::of(&server, "team/app").begin();
    assert_no_room(&other.chunk(0, &noise(2 * MIB, 2)));
    // What was not saved goes when its client comes back.
    assert_eq!(Upload::at(&server, &location).chunk(5, b" again").status, 202);
    wait(|| other.chunk(0, &noise(2 * MIB, 2)).status == 202, "there is room again");
}

/// How many bytes of content the files of all uploads have.
fn on_disk(server: &Server) -> u64 {
    let files = std::fs::read_dir(server.data().join("tmp/uploads")).expect("there is a folder");
    let files = files.map(|file| file.expect("it is listed").path());
    let content = files.filter(|file| file.extension().is_none());
    content.map(|file| file.metadata().expect("it is a file").len()).sum()
}

#[test]
fn a_chunk_that_is_longer_than_it_says_leaves_nothing_behind() {
    let server = server();
    let repository = Repository::of(&server, "team/app");
    let bytes = noise(2 * MIB, 1);
    let refuse = |upload: &Upload<'_>, method: Method, range: &str| {
        let refused = upload.send(method, |request| {
            let request = request.query(&[("digest", sha256(&bytes))]);
            request.header(CONTENT_RANGE, range).body(streamed(&bytes))
        });
        assert_refused(&refused, 400, "SIZE_INVALID");
    };
    let uploads: Vec<_> = (0..3).map(|_| repository.begin()).collect();
    for upload in &uploads {
        refuse(upload, Method::PATCH, "0-0");
    }
    let begun = repository.begin();
    assert_eq!(begun.stream(b"saved").status, 202);
    refuse(&begun, Method::PATCH, "5-5");
    refuse(&begun, Method::PUT, "5-5");
    assert_eq!(taken(&server), 5);
    if server.pair().is_none() {
        assert_eq!(on_disk(&server), 5);
    }
    assert_eq!(begun.chunk(5, b" again").status, 202);
    assert_eq!(begun.finish(&sha256(b"saved again")).status, 201);
    for upload in &uploads {
        assert_eq!(offset(upload), 0);
    }
    assert_eq!(uploads[0].chunk(0, &bytes).status, 202);
    assert_eq!(uploads[0].finish(&sha256(&bytes)).status, 201);
}
