//! A client that sends each request to another replica, and repeats what was not answered.

use std::time::{Duration, Instant};
use std::{hash, thread};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder};

use crate::common::content::{OCI_MANIFEST, image, sha256};
use crate::common::http::{self, Response};
use crate::common::replicas::Addresses;

/// How long nobody may answer a request, or only that it is to be repeated.
const TIMEOUT: Duration = Duration::from_mins(2);

/// An image of one config and one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) config: Vec<u8>,
    pub(crate) layer: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

impl Image {
    pub(crate) fn new(word: &str, layer: Vec<u8>) -> Self {
        let config = format!("{{\"{word}\":0}}").into_bytes();
        let manifest = image(&config, &[&layer]).to_string().into_bytes();
        Self { config, layer, manifest }
    }
}

/// Sends to any of the addresses until one gives an answer that is final.
pub(crate) fn ask(
    addresses: &Addresses,
    build: impl Fn(&Client, &str) -> RequestBuilder,
    is_final: impl Fn(&Response) -> bool,
) -> Response {
    let begun = Instant::now();
    loop {
        let base = format!("http://{}", addresses.any(random()));
        let failure = match http::try_send(|client| build(client, &base)) {
            Ok(response) if is_final(&response) => return response,
            Ok(response) => format!("{}: {}", response.status, response.text()),
            Err(error) => error.to_string(),
        };
        assert!(begun.elapsed() < TIMEOUT, "at last {failure}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether an answer says that the same may succeed later.
fn may_succeed_later(response: &Response) -> bool {
    response.status == 503
}

/// Pushes a blob in one request, or in pieces that go to one replica each.
pub(crate) fn push_blob(addresses: &Addresses, repository: &str, bytes: &[u8], in_pieces: bool) {
    let digest = sha256(bytes);
    let uploads = format!("/v2/{repository}/blobs/uploads/");
    let begun = Instant::now();
    while !in_pieces || !try_pieces(addresses, &uploads, bytes, &digest) {
        assert!(begun.elapsed() < TIMEOUT, "a blob cannot be pushed in pieces");
        if !in_pieces {
            let answer = ask(
                addresses,
                |client, base| {
                    client.post(format!("{base}{uploads}?digest={digest}")).body(bytes.to_vec())
                },
                |answer| !may_succeed_later(answer),
            );
            assert_eq!(answer.status, 201, "{}", answer.text());
            return;
        }
    }
}

/// Whether it came to its end: a piece whose answer was lost may have been taken or not, and an upload whose replica
/// was killed is somebody else's after a minute, so then the client begins anew, as clients do.
fn try_pieces(addresses: &Addresses, uploads: &str, bytes: &[u8], digest: &str) -> bool {
    let begun = ask(
        addresses,
        |client, base| client.post(format!("{base}{uploads}")),
        |answer| !may_succeed_later(answer),
    );
    assert_eq!(begun.status, 202, "{}", begun.text());
    // Each answer says where the next request goes, as the specification has it: the link carries the offset.
    let mut location = begun.header("location").to_owned();
    let mut try_once = |build: &dyn Fn(&Client, String) -> RequestBuilder, expected: u16| {
        let url = format!("http://{}{location}", addresses.any(random()));
        match http::try_send(|client| build(client, url)) {
            Ok(answer) if answer.status == expected => {
                answer.header("location").clone_into(&mut location);
                true
            }
            Ok(answer) => {
                let is_expected = [201, 202, 404, 416, 503].contains(&answer.status);
                assert!(is_expected, "{}: {}", answer.status, answer.text());
                false
            }
            Err(_) => false,
        }
    };
    let half = bytes.len() / 2;
    for piece in [&bytes[..half], &bytes[half..]] {
        if !try_once(&|client, base| client.patch(base).body(piece.to_vec()), 202) {
            return false;
        }
    }
    try_once(&|client, base| client.put(base).query(&[("digest", digest)]), 201)
}

/// Pushes all of an image.
pub(crate) fn push(
    addresses: &Addresses,
    repository: &str,
    tag: &str,
    image: &Image,
    in_pieces: bool,
) {
    push_blob(addresses, repository, &image.config, false);
    push_blob(addresses, repository, &image.layer, in_pieces);
    let answer = ask(
        addresses,
        |client, base| {
            let url = format!("{base}/v2/{repository}/manifests/{tag}");
            client.put(url).header(CONTENT_TYPE, OCI_MANIFEST).body(image.manifest.clone())
        },
        |answer| !may_succeed_later(answer),
    );
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// Deletes a tag; one that is gone may have been deleted by a request whose answer was lost.
pub(crate) fn delete(addresses: &Addresses, repository: &str, tag: &str) {
    let answer = ask(
        addresses,
        |client, base| client.delete(format!("{base}/v2/{repository}/manifests/{tag}")),
        |answer| !may_succeed_later(answer),
    );
    assert!([202, 404].contains(&answer.status), "{}", answer.text());
}

/// Another number at each call.
pub(crate) fn random() -> u64 {
    hash::BuildHasher::hash_one(&hash::RandomState::new(), 0)
}
