//! Parts of blobs. artifact-keeper was off by one here.

use reqwest::Method;
use reqwest::header::{IF_RANGE, RANGE};

use crate::common::Server;
use crate::common::content::{MIB, NOBODYS, noise};
use crate::common::http::Response;
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
fn a_range_that_holds_nothing_is_416_and_tells_the_size() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(b"0123456789");
    for range in
        ["bytes=10-", "bytes=10-20", "bytes=99999999999999999999-", "bytes=-0", "bytes=5-2"]
    {
        let response = fetch(&repository, &digest, range);
        assert_refused(&response, 416, "RANGE_INVALID");
        assert_eq!(response.header("content-range"), "bytes */10", "{range}");
    }
}

#[test]
fn what_is_no_single_range_of_bytes_is_ignored() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let digest = repository.push_blob(b"0123456789");
    for range in ["bytes=-", "bytes=a-b", "bytes=0-1,3-4", "items=0-1", "0-1", "bytes", ""] {
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
