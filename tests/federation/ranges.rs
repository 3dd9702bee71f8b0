//! Ranges of blobs that are not here: answered as they come, from the leaves that they touch.

use std::thread;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{IF_NONE_MATCH, IF_RANGE, RANGE};

use crate::common::connection::{Connection, ask};
use crate::common::content::{noise, sha256, sha512};
use crate::common::http;
use crate::common::repository::{Repository, wait};
use crate::federation::operators::{DOMAIN, Operators};
use crate::federation::publisher::{Publisher, add, leaves, tree_of};

const MEBIBYTE: usize = 1 << 20;

/// Two registries, of which one has a blob that the other has not.
struct Blob {
    operators: Operators,
    publisher: Publisher,
    content: Vec<u8>,
    /// Under what it stands there.
    digest: String,
}

impl Blob {
    /// A blob of so many bytes, which is what its digest says.
    fn sound(length: usize) -> Option<Self> {
        let content = noise(length, 7);
        Self::claimed(&content.clone(), content)
    }

    /// A blob under the digest of another one.
    fn claimed(claimed: &[u8], content: Vec<u8>) -> Option<Self> {
        let operators = Operators::start()?;
        let mut tree = tree_of(claimed, &content);
        add(&mut tree, b"known", b"known");
        let publisher = Publisher::of(&tree);
        publisher.publish(&operators);
        let blob = Self { operators, publisher, content, digest: sha256(claimed) };
        let is_known = || blob.foreign().get(&format!("blobs/{}", sha256(b"known"))).status == 200;
        wait(is_known, "the domain is not found");
        Some(blob)
    }

    fn foreign(&self) -> Repository<'_> {
        self.operators.foreign("team/app")
    }

    fn path(&self) -> String {
        self.foreign().path(&format!("blobs/{}", self.digest))
    }

    fn get(&self, range: &str) -> http::Response {
        let rest = format!("blobs/{}", self.digest);
        self.foreign().send(Method::GET, &rest, |request| request.header(RANGE, range))
    }

    /// How often each leaf was fetched.
    fn fetched(&self) -> Vec<usize> {
        self.publisher.requests(&leaves(&self.content))
    }

    fn assert_part(&self, first: usize, last: usize) {
        let response = self.get(&format!("bytes={first}-{last}"));
        assert_eq!(response.status, 206, "{}", response.text());
        let expected = format!("bytes {first}-{last}/{}", self.content.len());
        assert_eq!(response.header("content-range"), expected);
        assert!(response.body == self.content[first..=last], "{first}-{last}");
    }

    /// Begins to read, and returns the head that was answered.
    fn begin(&self, range: &str) -> (Connection, String) {
        let mut connection = Connection::open(&self.operators.other);
        connection.ask("GET", &self.path(), &[("Range", range)]);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(connection.read_some(&mut byte), 1, "{}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        (connection, String::from_utf8(head).unwrap())
    }
}

/// Reads until the connection ends, or so much has come.
fn read(connection: &mut Connection, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while bytes.len() < most {
        let most = buffer.len().min(most - bytes.len());
        match connection.read_some(&mut buffer[..most]) {
            0 => break,
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
    bytes
}

#[test]
fn a_lazy_pull_fetches_each_leaf_that_it_touches_once_and_no_other() {
    let Some(blob) = Blob::sound(12 * MEBIBYTE + 5000) else { return };
    blob.publisher.slow_down(Duration::from_millis(100));
    blob.assert_part(0, 1);
    // As stargz does: the end, where the index is, and pieces of 50 kB here and there, several at a time.
    let last = blob.content.len() - 1;
    blob.assert_part(last - 50, last);
    let offsets = [3, 4, 9].map(|leaf| leaf * MEBIBYTE);
    thread::scope(|scope| {
        for worker in 0..6 {
            let blob = &blob;
            scope.spawn(move || {
                for offset in offsets {
                    for piece in 0..2 {
                        let first = offset + (worker * 2 + piece) * 50_000;
                        blob.assert_part(first, first + 49_999);
                    }
                }
            });
        }
    });
    // One that lies in two leaves, the second of which is there.
    blob.assert_part(9 * MEBIBYTE - 10, 9 * MEBIBYTE + 10);
    let fetched = blob.fetched();
    assert_eq!(fetched, [1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 1], "{fetched:?}");
}

#[test]
fn a_range_to_the_end_comes_while_the_rest_is_on_its_way() {
    let Some(blob) = Blob::sound(6 * MEBIBYTE) else { return };
    let leaf = leaves(&blob.content);
    blob.publisher.withhold(&leaf[3..4]);
    let size = blob.content.len();
    let mut all = Vec::new();
    for (range, first) in [
        ("bytes=0-".to_owned(), 0),
        (format!("bytes={MEBIBYTE}-"), MEBIBYTE),
        // As regctl resumes: one byte beyond the end.
        (format!("bytes=1000-{size}"), 1000),
    ] {
        let (mut connection, head) = blob.begin(&range);
        assert!(head.starts_with("HTTP/1.1 206"), "{head}");
        assert!(head.contains(&format!("bytes {first}-{}/{size}", size - 1)), "{head}");
        let bytes = read(&mut connection, 100_000);
        assert!(bytes == blob.content[first..first + 100_000], "{range}");
        all.push((connection, first + 100_000));
    }
    // What lies ahead of the transfer is fetched by itself, and ends nothing.
    blob.assert_part(5 * MEBIBYTE, 5 * MEBIBYTE + 10);
    blob.assert_part(MEBIBYTE, MEBIBYTE + 10);
    blob.publisher.release();
    for (mut connection, from) in all {
        assert!(read(&mut connection, size - from) == blob.content[from..]);
    }
    assert_eq!(blob.fetched()[..5], [1; 5]);
}

#[test]
fn a_client_that_comes_back_after_a_pause_goes_on_where_it_was() {
    let Some(blob) = Blob::sound(6 * MEBIBYTE) else { return };
    blob.publisher.withhold(&leaves(&blob.content)[3..4]);
    let (mut connection, head) = blob.begin("bytes=0-");
    assert!(head.starts_with("HTTP/1.1 206"), "{head}");
    assert!(read(&mut connection, MEBIBYTE) == blob.content[..MEBIBYTE]);
    connection.reset();
    // As podman does.
    thread::sleep(Duration::from_millis(1500));
    let (mut connection, head) = blob.begin(&format!("bytes={MEBIBYTE}-"));
    assert!(head.starts_with("HTTP/1.1 206"), "{head}");
    assert!(read(&mut connection, MEBIBYTE) == blob.content[MEBIBYTE..2 * MEBIBYTE]);
    blob.publisher.release();
    assert!(read(&mut connection, 4 * MEBIBYTE) == blob.content[2 * MEBIBYTE..]);
    assert_eq!(blob.fetched(), [1; 6], "what had come was fetched again");
}

#[test]
fn a_range_to_the_end_of_what_has_another_digest_is_cut_off_before_its_last_byte() {
    let content = noise(3 * MEBIBYTE, 8);
    let Some(mut blob) = Blob::claimed(b"something else", content) else { return };
    let size = blob.content.len();
    for digest in [sha256(b"something else"), sha512(b"something else")] {
        blob.digest = digest;
        // A part in the middle is checked block by block.
        blob.assert_part(1000, 1_999_999);
        for (range, first) in [
            ("bytes=0-".to_owned(), 0),
            (format!("bytes={MEBIBYTE}-"), MEBIBYTE),
            (format!("bytes=0-{}", size - 1), 0),
            (format!("bytes=10-{size}"), 10),
            ("bytes=-10".to_owned(), size - 10),
            (format!("bytes={}-", size - 1), size - 1),
        ] {
            let mut connection = Connection::open(&blob.operators.other);
            connection.ask("GET", &blob.path(), &[("Range", &range), ("Connection", "close")]);
            let answer = read(&mut connection, usize::MAX);
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            let (head, body) = answer.split_at(end);
            if head.starts_with(b"HTTP/1.1 206") {
                assert!(body.len() < size - first, "{range}: all of it came");
                assert!(blob.content[first..].starts_with(body), "{range}");
            } else {
                assert!(head.starts_with(b"HTTP/1.1 502"), "{}", String::from_utf8_lossy(head));
            }
        }
    }
}

#[test]
fn a_range_that_does_not_arrive_is_to_be_requested_again_later() {
    let Some(blob) = Blob::sound(3 * MEBIBYTE) else { return };
    blob.publisher.withhold(&leaves(&blob.content)[1..2]);
    let late = blob.get(&format!("bytes={}-{}", MEBIBYTE + 5, MEBIBYTE + 9));
    assert_eq!(late.status, 503, "{}", late.text());
    assert!(!late.header("retry-after").is_empty());
    blob.publisher.release();
    blob.assert_part(MEBIBYTE + 5, MEBIBYTE + 9);
    assert_eq!(blob.fetched(), [0, 1, 0], "the leaf was thrown away");
}

#[test]
fn what_only_looks_at_a_blob_fetches_nothing_of_it() {
    let Some(mut blob) = Blob::sound(3 * MEBIBYTE) else { return };
    let size = blob.content.len();
    for digest in [sha256(&blob.content), sha512(&blob.content)] {
        blob.digest = digest;
        let rest = format!("blobs/{}", blob.digest);
        let head = ask(&blob.operators.other, "HEAD", &blob.path(), &[("Range", "bytes=0-9")]);
        assert_eq!((head.status, head.header("content-length")), (200, Some("3145728")));
        let known = format!("\"{}\"", blob.digest);
        let known = blob.foreign().send(Method::GET, &rest, |it| it.header(IF_NONE_MATCH, known));
        assert_eq!(known.status, 304);
        let beyond = blob.get(&format!("bytes={size}-"));
        assert_eq!(beyond.status, 416);
        assert_eq!(beyond.header("content-range"), format!("bytes */{size}"));
        assert_eq!(blob.get(&format!("bytes={size}-{}", size + 5)).status, 416);
    }
    assert_eq!(blob.fetched(), [0, 0, 0]);
    // By another name, the same leaves.
    blob.assert_part(MEBIBYTE, MEBIBYTE + 10);
    blob.digest = sha256(&blob.content);
    blob.assert_part(MEBIBYTE + 20, MEBIBYTE + 30);
    assert_eq!(blob.fetched(), [0, 1, 0]);
    let rest = format!("blobs/{}", blob.digest);
    for (tag, status) in [(format!("\"{}\"", blob.digest), 206), ("\"other\"".to_owned(), 200)] {
        let part = blob.foreign().send(Method::GET, &rest, |request| {
            request.header(RANGE, "bytes=5-9").header(IF_RANGE, tag)
        });
        let expected = if status == 206 { &blob.content[5..10] } else { &blob.content };
        assert!(part.status == status && part.body == expected, "{}", part.status);
    }
    wait(|| blob.get("bytes=0-0").body == blob.content[..1], "it is not kept");
}

#[test]
fn a_blob_of_one_leaf_and_an_empty_one_have_ranges_too() {
    for length in [0, 1, 40_000, 300_000] {
        let Some(blob) = Blob::sound(length) else { return };
        assert_eq!(blob.get(&format!("bytes={length}-")).status, 416);
        if length > 0 {
            blob.assert_part(0, 0);
            blob.assert_part(length / 2, length / 2);
            blob.assert_part(length - 1, length - 1);
            let whole = blob.get("bytes=0-");
            assert!(whole.status == 206 && whole.body == blob.content);
        } else {
            assert_eq!(blob.get("bytes=0-0").status, 416);
        }
        let name = format!("{DOMAIN}/team/app");
        let whole =
            Repository::of(&blob.operators.other, &name).get(&format!("blobs/{}", blob.digest));
        assert!(whole.status == 200 && whole.body == blob.content);
    }
}
