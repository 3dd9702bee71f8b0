//! Heads of HTTP/2 requests that are too much: a server that collected them would have no memory left.

use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::abuse::http2::{encrypted, start};
use crate::abuse::memory;
use crate::common::Server;
use crate::common::content::{MIB, noise};
use crate::common::http;
use crate::common::repository::Repository;

/// How many connections send each of them at once.
const CONNECTIONS: usize = 20;

/// How long a connection may last: only a server that never ends it takes that long.
const STEP: Duration = Duration::from_mins(1);

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// The most bytes of a frame.
const FRAME: usize = 16 * 1024;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    let begin = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [begin, payload.to_vec()].concat()
}

/// The fields of a request for `/`.
fn request() -> Vec<u8> {
    [&[0x82, 0x87, 0x84, 0x41, 9][..], b"127.0.0.1"].concat()
}

/// A hundred requests, each of whose heads has thousands of fields of one byte.
fn many_fields() -> Vec<u8> {
    let heads = (0..100).flat_map(|number| {
        let block = [request(), vec![0x90; 24_000]].concat();
        let (first, rest) = block.split_at(FRAME);
        let stream = 2 * number + 1;
        let first = frame(HEADERS, 0, stream, first);
        [first, frame(CONTINUATION, END_HEADERS, stream, rest)].concat()
    });
    heads.collect()
}

/// A head of twelve mebibytes, and more would follow.
fn endless() -> Vec<u8> {
    // A text of 16,378 bytes: 127 and 0x7b + (0x7e << 7).
    let field = [&[0, 1, b'x', 127, 0xfb, 0x7e][..], &[b'v'; FRAME - 6]].concat();
    let parts = (0..768).flat_map(|_| frame(CONTINUATION, 0, 1, &field));
    frame(HEADERS, 0, 1, &request()).into_iter().chain(parts).collect()
}

/// A request that a client promises, with fields, and more would follow.
fn promised() -> Vec<u8> {
    let payload = [&[0, 0, 0, 2][..], &request(), &[0x90; 12_000]].concat();
    frame(PUSH_PROMISE, 0, 1, &payload)
}

/// A head that has begun.
fn begun() -> Vec<u8> {
    frame(HEADERS, 0, 1, &request())
}

/// Sends something after what each connection begins with, and waits until the server ends it.
async fn send(server: &Server, bytes: &[u8]) {
    let mut stream = encrypted(server).await;
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &[])[..]].concat();
    stream.write_all(&preface).await.expect("the server takes it");
    // It may end at any point.
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

#[test]
fn a_head_that_is_too_much_ends_its_connection_and_takes_no_memory() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let server = start(folder.path());
    assert_eq!(http::get(&server.url("/healthz")).status, 200);
    let before = memory(&server);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime needs nothing from outside");
    for (what, bytes, reason) in [
        ("many fields", many_fields(), "has too many fields"),
        ("a head without an end", endless(), "is too long"),
        ("a request that is promised", promised(), "cannot promise"),
        ("a head whose end does not come", begun(), "did not arrive in time"),
    ] {
        runtime.block_on(async {
            let sends = (0..CONNECTIONS).map(|_| timeout(STEP, send(&server, &bytes)));
            for ended in futures_util::future::join_all(sends).await {
                assert!(ended.is_ok(), "{what}: the connection stays");
            }
        });
        let after = memory(&server);
        assert!(after < before + 64 * MIB, "{what}: {before} {after}");
        assert_eq!(http::get(&server.url("/healthz")).status, 200);
        assert_eq!(server.log().matches(reason).count(), CONNECTIONS, "{what}");
    }
}

#[test]
fn a_head_with_many_fields_and_a_long_one_is_served() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let server = start(folder.path());
    let repository = Repository::of(&server, "team/app");
    let content = noise(MIB, 1);
    let digest = repository.push_blob(&content);
    let path = repository.path(&format!("blobs/{digest}"));
    // With leading zeros: 32 KiB for a thousand ranges.
    let ranges: Vec<_> = (0..1024).map(|it| format!("{0:015}-{0:015}", it * 1000)).collect();
    let range = format!("bytes={}", ranges.join(","));
    assert!(range.len() >= 32 * 1024);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime needs nothing from outside");
    runtime.block_on(async {
        let (mut client, connection) =
            h2::client::handshake(encrypted(&server).await).await.expect("it speaks HTTP/2");
        tokio::spawn(connection);
        for _ in 0..3 {
            let mut request = ::http::Request::get(format!("https://127.0.0.1{path}"));
            for number in 0..100 {
                request = request.header(format!("x-field-{number}"), "value");
            }
            let request = request.header("range", &range).body(()).expect("it is one");
            let (answer, _) = client.send_request(request, true).expect("it lasts");
            let answer = timeout(STEP, answer).await.expect("in time").expect("it is answered");
            assert_eq!(answer.status(), 206);
        }
    });
    runtime.shutdown_background();
}
