//! Thousands of requests that nobody means well: each is answered in HTTP, none by a failure of the server's own.

use std::thread;

use serde_json::Value;

use crate::common::Server;
use crate::common::connection::{Answer, Connection};
use crate::common::content::{NOBODYS, noise, sha256};
use crate::common::repository::Repository;

/// How many clients there are, and how many requests each of them sends.
const CLIENTS: u64 = 4;
const REQUESTS: u64 = 1000;

const METHODS: &[&str] = &[
    "GET", "GET", "GET", "HEAD", "PUT", "PUT", "POST", "POST", "PATCH", "PATCH", "DELETE",
    "OPTIONS", "TRACE", "BREW", "get",
];

/// What paths are made of.
const SEGMENTS: &[&str] = &[
    "v2",
    "v2",
    "v2",
    "team",
    "app",
    "a",
    "example.com",
    "blobs",
    "blobs",
    "uploads",
    "manifests",
    "manifests",
    "tags",
    "list",
    "referrers",
    "_catalog",
    "token",
    "healthz",
    "readyz",
    "metrics",
    "v1",
    "latest",
    "..",
    ".",
    "%2e%2e",
    "%2f",
    "%00",
    "%ff",
    "%",
    "A",
    "a_",
    "_",
    "\u{e4}",
    "a%20b",
    "a:b",
    "sha256:",
    "sha256:abc",
    NOBODYS,
    "sha512:00",
    "00000000-0000-0000-0000-000000000000",
    "",
    "",
    "{name}",
    "*",
    "'",
    "\"",
    "<script>",
    "~",
    "a@b",
    "a;b",
    "x&y",
];

const PARAMETERS: &[&str] = &[
    "digest",
    "mount",
    "from",
    "n",
    "last",
    "artifactType",
    "tag",
    "ns",
    "scope",
    "service",
    "",
    "%00",
    "[]",
    "digest[0]",
];

const VALUES: &[&str] = &[
    "",
    "0",
    "-1",
    "1",
    "99999999999999999999",
    "a",
    "team/app",
    "../..",
    NOBODYS,
    "sha256:abc",
    "sha512:",
    "%ff%fe",
    "%",
    "%00",
    "+",
    "a%2fb",
    "null",
    "[]",
    "application/json",
    "\u{e4}",
];

const HEADERS: &[(&str, &[&str])] = &[
    (
        "Range",
        &[
            "bytes=0-0",
            "bytes=5-2",
            "bytes=-",
            "bytes=-0",
            "bytes=0-1,3-4",
            "bytes=99999999999999999999-",
            "x",
            "",
        ],
    ),
    (
        "Content-Range",
        &["0-0", "0-4", "bytes 0-4/*", "4-0", "0-18446744073709551615", "-", "x", "bytes */*"],
    ),
    (
        "Content-Type",
        &[
            "application/json",
            "application/vnd.oci.image.manifest.v1+json",
            "text/plain; charset=x",
            ";",
            "a/b/c",
            "\u{e4}",
        ],
    ),
    ("Accept", &["*/*", "application/vnd.oci.image.index.v1+json", "", ",,,", "text/html;q=2"]),
    ("Accept-Encoding", &["gzip", "identity;q=0", "*;q=0", "br, zstd"]),
    (
        "Authorization",
        &["Basic", "Basic !!!", "Basic YTpi", "Bearer", "Bearer a.b", "Digest x", ""],
    ),
    ("If-Match", &["*", "\"x\"", "x", "W/\"x\"", ""]),
    ("If-None-Match", &["*", "\"x\"", "x", ""]),
    ("If-Range", &["x", "\"x\"", "Thu, 01 Jan 1970 00:00:00 GMT"]),
    ("If-Modified-Since", &["x", "Thu, 01 Jan 1970 00:00:00 GMT"]),
    ("Expect", &["100-continue", "x"]),
    ("Connection", &["close", "keep-alive", "upgrade", "x"]),
    ("Upgrade", &["h2c", "websocket"]),
    ("Host", &["localhost", "", "a b", "evil.example\"", "[::1]", "[", "@"]),
    ("X-Forwarded-Host", &["evil.example", "\"", ""]),
    ("X-Forwarded-Proto", &["https", "javascript"]),
    ("Forwarded", &["host=evil.example;proto=https", "for=\"", ";;"]),
    ("Docker-Upload-UUID", &["x"]),
    ("OCI-Tag", &["v1", "\u{e4}"]),
    ("Cookie", &["a=b", "=;=;"]),
    ("Origin", &["null", "http://evil.example"]),
];

const BODIES: &[&str] = &[
    "",
    "01234",
    "{}",
    "null",
    "[]",
    "{\"schemaVersion\":2}",
    "{\"schemaVersion\":2,\"manifests\":[]}",
    "{\"schemaVersion\":2,\"config\":{\"digest\":\"x\",\"size\":-1}}",
    "{\"schemaVersion\":2,\"config\":[1,2,3]}",
    "\u{0}\u{1}",
    "{\"schemaVersion\":1e999}",
    "[[[[[[[[[[[[[[[[[[[[",
];

/// A source of numbers that are the same in each run.
struct Dice(Vec<u8>, usize);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(noise(4096, seed), 0)
    }

    fn throw(&mut self, sides: usize) -> usize {
        let two = [self.0[self.1], self.0[self.1 + 1]];
        self.1 += 2;
        usize::from(u16::from_le_bytes(two)) % sides
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.throw(of.len())]
    }
}

/// A path that leads somewhere, one that begins so, or any.
fn target(dice: &mut Dice, paths: &[String]) -> String {
    let (mut target, most) = match dice.throw(6) {
        0..=2 => (dice.one(paths).clone(), 1),
        3 => (dice.one(paths).clone(), 4),
        4 => ("/v2/".to_owned(), 6),
        _ => ("/".to_owned(), 6),
    };
    let segments: Vec<&str> = (0..dice.throw(most)).map(|_| *dice.one(SEGMENTS)).collect();
    target += &segments.join("/");
    for number in 0..dice.throw(4) {
        target.push(if number == 0 { '?' } else { '&' });
        target.extend([dice.one(PARAMETERS), "=", dice.one(VALUES)]);
    }
    target
}

/// A request, with all of its body or less, or more.
fn request(dice: &mut Dice, method: &str, paths: &[String]) -> Vec<u8> {
    let mut text = format!("{method} {} HTTP/1.1\r\nHost: localhost\r\n", target(dice, paths));
    for _ in 0..dice.throw(5) {
        let (name, values) = dice.one(HEADERS);
        text.extend([name, ": ", dice.one(values), "\r\n"]);
    }
    let body = *dice.one(BODIES);
    let rest = match dice.throw(4) {
        0 => "\r\n".to_owned(),
        1 => {
            let end = if body.is_empty() { "" } else { "0\r\n\r\n" };
            let length = body.len();
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n{end}")
        }
        2 => format!("Content-Length: {}\r\n\r\n{body}", body.len()),
        _ => format!("Content-Length: {}\r\n\r\n{body}", dice.throw(20)),
    };
    text += &rest;
    let mut bytes = text.into_bytes();
    if dice.throw(8) == 0 {
        let position = dice.throw(bytes.len());
        bytes[position] = noise(1, position as u64)[0];
    }
    bytes
}

/// Checks what an answer has to be, whatever was asked.
fn check(answer: &Answer, request: &[u8]) {
    let text = String::from_utf8_lossy(request);
    assert!((200..500).contains(&answer.status), "{}: {}\n{text}", answer.status, answer.text());
    let is_json = answer.header("content-type") == Some("application/json");
    if is_json && !answer.body.is_empty() {
        let body: Result<Value, _> = serde_json::from_slice(&answer.body);
        let body = body.unwrap_or_else(|error| panic!("{error}: {}\n{text}", answer.text()));
        if answer.status >= 400 {
            assert!(body["errors"][0]["code"].is_string(), "{body}\n{text}");
        }
    }
    for header in ["location", "link", "www-authenticate"] {
        let value = answer.header(header).unwrap_or_default();
        assert!(!value.contains("evil.example"), "{header}: {value}\n{text}");
    }
}

#[test]
fn whatever_is_requested_the_answer_is_http_and_no_failure() {
    let server = Server::start();
    let pushed = Repository::of(&server, "team/app").push_image("v1", "word");
    let answered: u64 = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (server, pushed) = (&server, &pushed);
                scope.spawn(move || {
                    let repository = Repository::of(server, "team/app");
                    // None of these leads to the image's own manifest, which stays.
                    let known = ["", "tags/list", "manifests/v1", "manifests/v2", "blobs/uploads/"]
                        .map(str::to_owned);
                    let blob = format!("blobs/{}", sha256(&pushed.layer));
                    let referrers = format!("referrers/{}", pushed.digest);
                    let known = known.into_iter().chain([blob, referrers]);
                    let mut paths: Vec<String> = known.map(|path| repository.path(&path)).collect();
                    paths.extend(["/v2/_catalog".to_owned(), "/v2/".to_owned()]);
                    paths.extend((0..3).map(|_| repository.begin().location));
                    let mut answered = 0;
                    for number in 0..REQUESTS {
                        let mut dice = Dice::new(1 + client * REQUESTS + number);
                        let method = *dice.one(METHODS);
                        let request = request(&mut dice, method, &paths);
                        let mut connection = Connection::open(server);
                        connection.send(&request);
                        connection.end();
                        let mut answer = connection.try_answer(method == "HEAD");
                        if answer.as_ref().is_some_and(|answer| answer.status == 100) {
                            answer = connection.try_answer(method == "HEAD");
                        }
                        // What breaks off, or is no HTTP, need not be answered.
                        if let Some(answer) = answer {
                            check(&answer, &request);
                            answered += 1;
                        }
                    }
                    answered
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("see above")).sum()
    });
    assert!(answered > CLIENTS * REQUESTS / 2, "only {answered} were answered");
    let log = server.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("\"ERROR\"")).collect();
    assert!(errors.is_empty() && !log.contains("panicked"), "{errors:#?}");
    // And what was there is there.
    let manifest = Repository::of(&server, "team/app").get(&format!("manifests/{}", pushed.digest));
    assert_eq!(manifest.body, pushed.manifest);
}
