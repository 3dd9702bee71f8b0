//! Parts of blobs. artifact-keeper was off by one here.

use reqwest::Method;
use reqwest::header::{IF_NONE_MATCH, IF_RANGE, RANGE};

use crate::common::Server;
use crate::common::connection::Connection;
use crate::common::content::{MIB, NOBODYS, noise};
use crate::common::http::Response;
use crate::common::multipart::assert_parts;
use crate::common::repository::{Repository, assert_refused};

fn fetch(repository: &Repository, digest: &str, range: &str) -> Response {
    let path = format!("blobs/{digest}");
    repository.send(Method::GET, &path, |request| request.header(RANGE, range))
}

#[test]
fn a_range_is_served_to_the_byte() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let size = 2 * MIB + 100;
    let content = noise(size, 3);
    let digest = repository.push_blob(&content);
    for (range, first, end) in [
        ("bytes=0-0".to_owned(), 0, 1),
        ("bytes=1-1".to_owned(), 1, 2),
        ("bytes=0-".to_owned(), 0, size),
        (format!("bytes={}-{MIB}", MIB - 1), MIB - 1, MIB + 1),
        (format!("bytes={MIB}-"), MIB, size),
        (format!("bytes=10-{}", 2 * MIB), 10, 2 * MIB + 1),
        (format!("bytes={}-", size - 1), size - 1, size),
        (format!("bytes={}-{}", size - 1, size + 1000), size - 1, size),
        ("bytes=-1".to_owned(), size - 1, size),
        ("bytes=-1000".to_owned(), size - 1000, size),
        (format!("bytes=-{}", size * 2), 0, size),
        ("bytes=5-99999999999999999999999999".to_owned(), 5, size),
    ] {
        let response = fetch(&repository, &digest, &range);
        assert_eq!(response.status, 206, "{range}");
        assert!(response.body == content[first..end], "{range}: other bytes came");
        let expected = format!("bytes {first}-{}/{size}", end - 1);
        assert_eq!(response.header("content-range"), expected, "{range}");
        assert_eq!(response.header("content-length"), (end - first).to_string(), "{range}");
        assert_eq!(response.header("docker-content-digest"), digest, "{range}");
    }
}

#[test]
fn an_empty_range_is_416_with_the_size() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(b"0123456789");
    for range in [
        "bytes=10-",
        "bytes=10-20",
        "bytes=99999999999999999999-",
        "bytes=-0",
        "bytes=5-2",
        "bytes=10-,20-30,-0",
        "bytes=0-1,5-2",
    ] {
        let response = fetch(&repository, &digest, range);
        assert_refused(&response, 416, "RANGE_INVALID");
        assert_eq!(response.header("content-range"), "bytes */10", "{range}");
    }
}

#[test]
fn what_is_no_set_of_byte_ranges_is_ignored() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(b"0123456789");
    for range in
        ["bytes=-", "bytes=a-b", "bytes=0-1,a-b", "bytes=,", "items=0-1,3-4", "0-1", "bytes", ""]
    {
        let response = fetch(&repository, &digest, range);
        assert_eq!((response.status, response.text().as_str()), (200, "0123456789"), "{range}");
    }
}

#[test]
fn a_range_that_depends_on_other_content_gets_the_whole() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(b"0123456789");
    for (validator, status, body) in [
        (format!("\"{digest}\""), 206, "34"),
        (format!("\"{NOBODYS}\""), 200, "0123456789"),
        (format!("W/\"{digest}\""), 200, "0123456789"),
        ("Wed, 21 Oct 2015 07:28:00 GMT".to_owned(), 200, "0123456789"),
    ] {
        let response = repository.send(Method::GET, &format!("blobs/{digest}"), |request| {
            request.header(RANGE, "bytes=3-4").header(IF_RANGE, &validator)
        });
        assert_eq!((response.status, response.text().as_str()), (status, body), "{validator}");
    }
}

/// A3: several ranges were answered by the whole blob.
#[test]
fn several_ranges_come_in_one_answer_in_the_order_of_the_request() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let size = 3 * MIB + 100;
    let content = noise(size, 4);
    let digest = repository.push_blob(&content);
    let last = size - 1;
    for (range, expected) in [
        ("bytes=0-9,200000-200009".to_owned(), vec![0..10, 200_000..200_010]),
        ("bytes=200000-200009,0-9".to_owned(), vec![200_000..200_010, 0..10]),
        ("BYTES=0-0 ,, 2-2,\t4-4".to_owned(), vec![0..1, 2..3, 4..5]),
        // Across leaves, to the end, and from the end.
        (format!("bytes={}-{MIB},-1", MIB - 1), vec![MIB - 1..MIB + 1, last..size]),
        (format!("bytes=10-20,{}-", 2 * MIB), vec![10..21, 2 * MIB..size]),
        // Those that overlap or touch are one, where the first of them was asked for.
        ("bytes=500-599,10-19,20-29,550-700".to_owned(), vec![500..701, 10..30]),
        (format!("bytes=-100,5-5,{}-{}", size - 200, size - 50), vec![size - 200..size, 5..6]),
        // Those that it does not have are left out.
        (format!("bytes={size}-,7-8,-0,10-11,{size}-{}", size * 2), vec![7..9, 10..12]),
        (format!("bytes=7-8,{last}-{}", size * 2), vec![7..9, last..size]),
    ] {
        let response = fetch(&repository, &digest, &range);
        assert_parts(&response, &content, &expected);
        assert_eq!(response.header("docker-content-digest"), digest, "{range}");
        assert_eq!(response.header("etag"), format!("\"{digest}\""), "{range}");
    }
}

#[test]
fn several_ranges_that_are_one_come_as_one() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(b"0123456789");
    for (range, content_range, body) in [
        ("bytes=0-4,5-9", "bytes 0-9/10", "0123456789"),
        ("bytes=5-,-8,0-3", "bytes 0-9/10", "0123456789"),
        ("bytes=3-4,4-5,3-3", "bytes 3-5/10", "345"),
        ("bytes=10-,3-4", "bytes 3-4/10", "34"),
        ("bytes=3-4,,", "bytes 3-4/10", "34"),
    ] {
        let response = fetch(&repository, &digest, range);
        assert_eq!((response.status, response.text().as_str()), (206, body), "{range}");
        assert_eq!(response.header("content-range"), content_range, "{range}");
        assert_eq!(response.header("content-type"), "application/octet-stream", "{range}");
    }
}

/// podman takes the nth part for the nth range that it asked for.
#[test]
fn ranges_that_touch_stay_apart_for_clients_that_count_them() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(b"0123456789");
    let response = repository.send(Method::GET, &format!("blobs/{digest}"), |request| {
        let request = request.header("Docker-Distribution-API-Version", "registry/2.0");
        request.header(RANGE, "bytes=0-1,2-3,5-9")
    });
    assert_parts(&response, b"0123456789", &[0..2, 2..4, 5..10]);
}

#[test]
fn a_thousand_ranges_are_served_and_more_are_the_whole() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let content = noise(MIB, 5);
    let digest = repository.push_blob(&content);
    let ranges = |count: usize, width: usize| {
        // As wide as 32 KiB of header allow, by zeros.
        let spec = |it: usize| format!("{:0width$}-{:0width$}", it * 1000, it * 1000 + 9);
        let specs: Vec<_> = (0..count).rev().map(spec).collect();
        format!("bytes={}", specs.join(","))
    };
    let expected: Vec<_> = (0..1024).rev().map(|it| it * 1000..it * 1000 + 10).collect();
    let header = ranges(1024, 15);
    assert!(header.len() >= 32 * 1024, "{}", header.len());
    assert_parts(&fetch(&repository, &digest, &header), &content, &expected);
    let beyond = fetch(&repository, &digest, &ranges(1025, 1));
    assert_eq!((beyond.status, beyond.body.len()), (200, MIB));
}

#[test]
fn several_ranges_depend_on_conditions_as_one_does() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(b"0123456789");
    let path = format!("blobs/{digest}");
    let several = "bytes=0-1,3-4";
    for (name, value, status) in [
        (IF_RANGE, format!("\"{digest}\""), 206),
        (IF_RANGE, format!("W/\"{digest}\""), 200),
        (IF_RANGE, format!("\"{NOBODYS}\""), 200),
        (IF_RANGE, "Wed, 21 Oct 2015 07:28:00 GMT".to_owned(), 200),
        (IF_NONE_MATCH, format!("\"{digest}\""), 304),
    ] {
        let response = repository.send(Method::GET, &path, |request| {
            request.header(RANGE, several).header(&name, &value)
        });
        assert_eq!(response.status, status, "{name}: {value}");
        if status == 206 {
            assert_parts(&response, b"0123456789", &[0..2, 3..5]);
        }
    }
    // A range means nothing to a HEAD (RFC 9110, 14.2).
    let head = repository.send(Method::HEAD, &path, |request| request.header(RANGE, several));
    assert_eq!((head.status, head.header("content-length")), (200, "10"));
    let empty = repository.push_blob(b"");
    let nothing = fetch(&repository, &empty, "bytes=0-,-5");
    assert_refused(&nothing, 416, "RANGE_INVALID");
    assert_eq!(nothing.header("content-range"), "bytes */0");
}

#[test]
fn a_connection_is_used_again_after_several_ranges() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(&noise(100_000, 6));
    let path = repository.path(&format!("blobs/{digest}"));
    let mut connection = Connection::open(&server);
    for _ in 0..3 {
        connection.ask("GET", &path, &[("Range", "bytes=0-9,50000-59999,-1")]);
        assert_eq!(connection.answer().status, 206);
    }
}
