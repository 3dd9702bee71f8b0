//! One repository, as a client speaks to it.

use std::thread;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{Body, Method, RequestBuilder};
use serde_json::Value;

use crate::common::Server;
use crate::common::client::{self, block_on};
use crate::common::content::{OCI_MANIFEST, image, sha256};
use crate::common::http::{self, Response};

/// A repository of a server.
pub(crate) struct Repository<'server> {
    server: &'server Server,
    name: String,
}

/// An image that was pushed.
pub(crate) struct Pushed {
    pub(crate) manifest: Vec<u8>,
    pub(crate) digest: String,
    pub(crate) config: Vec<u8>,
    pub(crate) layer: Vec<u8>,
}

impl<'server> Repository<'server> {
    pub(crate) fn of(server: &'server Server, name: &str) -> Self {
        Self { server, name: name.to_owned() }
    }

    /// The same by the client room.
    pub(crate) fn client(&self) -> client::Repository {
        client::repository(&client::client(&self.server.url(""), None), &self.name)
    }

    /// `path("tags/list")` is `/v2/<name>/tags/list`.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.name)
    }

    pub(crate) fn get(&self, rest: &str) -> Response {
        self.send(Method::GET, rest, |request| request)
    }

    pub(crate) fn head(&self, rest: &str) -> Response {
        self.send(Method::HEAD, rest, |request| request)
    }

    pub(crate) fn post(&self, rest: &str) -> Response {
        self.send(Method::POST, rest, |request| request)
    }

    pub(crate) fn delete(&self, rest: &str) -> Response {
        self.send(Method::DELETE, rest, |request| request)
    }

    pub(crate) fn send(
        &self,
        method: Method,
        rest: &str,
        build: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Response {
        let url = self.server.url(&self.path(rest));
        http::send(|client| build(client.request(method, url)))
    }

    /// Begins an upload. Its location is without the offset, so that it is good for every request.
    pub(crate) fn begin(&self) -> Upload<'server> {
        let begun = self.begin_with_offset();
        let (plain, _) = begun.location.rsplit_once('.').expect("it carries the offset");
        Upload { location: plain.to_owned(), ..begun }
    }

    /// Begins an upload whose location is the one that the server tells, with its offset.
    pub(crate) fn begin_with_offset(&self) -> Upload<'server> {
        let response = self.post("blobs/uploads/");
        assert_eq!(response.status, 202, "{}", response.text());
        Upload { server: self.server, location: response.header("location").to_owned() }
    }

    /// Pushes a blob in one request, and gives its digest.
    pub(crate) fn push_blob(&self, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        self.push_blob_as(bytes, &digest);
        digest
    }

    /// Pushes a blob by that digest.
    pub(crate) fn push_blob_as(&self, bytes: &[u8], digest: &str) {
        let digest = digest.parse().expect("it is a digest");
        let pushed = block_on(self.client().push_small_blob(&digest, bytes.to_vec()));
        pushed.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Sends a manifest.
    pub(crate) fn put(&self, reference: &str, media_type: &str, bytes: &[u8]) -> Response {
        let bytes = bytes.to_vec();
        self.send(Method::PUT, &format!("manifests/{reference}"), |request| {
            request.header(CONTENT_TYPE, media_type).body(bytes)
        })
    }

    /// Pushes a manifest that must be accepted; gives its bytes.
    pub(crate) fn push_manifest(&self, reference: &str, manifest: &Value) -> Vec<u8> {
        let bytes = manifest.to_string().into_bytes();
        let media_type = manifest["mediaType"].as_str().unwrap_or(OCI_MANIFEST);
        let reference = reference.parse().expect("it is a reference");
        let (client, pushed) = (self.client(), bytes.clone());
        let pushed = block_on(client.push_manifest(&reference, media_type, pushed));
        pushed.unwrap_or_else(|error| panic!("{error}"));
        bytes
    }

    /// Pushes a manifest by its digest.
    pub(crate) fn push_untagged(&self, manifest: &Value) -> Vec<u8> {
        self.push_manifest(&sha256(manifest.to_string().as_bytes()), manifest)
    }

    /// Pushes an image of one layer; images of different words share nothing.
    pub(crate) fn push_image(&self, tag: &str, word: &str) -> Pushed {
        let (config, layer) = (format!("{{\"{word}\":0}}").into_bytes(), word.as_bytes().to_vec());
        self.push_blob(&config);
        self.push_blob(&layer);
        let manifest = self.push_manifest(tag, &image(&config, &[&layer]));
        Pushed { digest: sha256(&manifest), manifest, config, layer }
    }
}

/// An upload under way.
pub(crate) struct Upload<'server> {
    server: &'server Server,
    /// Where its requests go: a path.
    pub(crate) location: String,
}

impl<'server> Upload<'server> {
    /// Goes on with an upload whose place was kept, on whatever address the server has now.
    pub(crate) fn at(server: &'server Server, location: &str) -> Self {
        Self { server, location: location.to_owned() }
    }

    pub(crate) fn send(
        &self,
        method: Method,
        build: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Response {
        let url = self.server.url(&self.location);
        http::send(|client| build(client.request(method, url)))
    }

    /// The location of an upload that stands there, as the server tells it.
    pub(crate) fn location_at(&self, offset: usize) -> String {
        format!("{}.{offset}", self.location)
    }

    /// Asks how far it has come.
    pub(crate) fn status(&self) -> Response {
        self.send(Method::GET, |request| request)
    }

    pub(crate) fn cancel(&self) -> Response {
        self.send(Method::DELETE, |request| request)
    }

    /// Sends bytes with neither a place nor a length, as Docker does.
    pub(crate) fn stream(&self, bytes: &[u8]) -> Response {
        self.send(Method::PATCH, |request| request.body(streamed(bytes)))
    }

    /// Sends a chunk that belongs at `offset`.
    pub(crate) fn chunk(&self, offset: usize, bytes: &[u8]) -> Response {
        self.send(Method::PATCH, |request| placed(request, offset, bytes))
    }

    /// Ends it, without a last chunk.
    pub(crate) fn finish(&self, digest: &str) -> Response {
        self.finish_with(digest, &[])
    }

    /// Ends it with all bytes, or the last ones.
    pub(crate) fn finish_with(&self, digest: &str, bytes: &[u8]) -> Response {
        let bytes = bytes.to_vec();
        self.send(Method::PUT, |request| request.query(&[("digest", digest)]).body(bytes))
    }

    /// Ends it with a last chunk that belongs at `offset`.
    pub(crate) fn finish_with_chunk(&self, digest: &str, offset: usize, bytes: &[u8]) -> Response {
        self.send(Method::PUT, |request| {
            placed(request.query(&[("digest", digest)]), offset, bytes)
        })
    }
}

/// A body of several pieces whose length is not announced.
pub(crate) fn streamed(bytes: &[u8]) -> Body {
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
        bytes.chunks(100_000).map(|piece| Ok(piece.to_vec())).collect();
    Body::wrap_stream(futures_util::stream::iter(pieces))
}

fn placed(request: RequestBuilder, offset: usize, bytes: &[u8]) -> RequestBuilder {
    let range = format!("{offset}-{}", offset + bytes.len() - 1);
    request.header(CONTENT_RANGE, range).body(bytes.to_vec())
}

/// Checks that an answer is a refusal as the specification has it: status, code, JSON.
pub(crate) fn assert_refused(response: &Response, status: u16, code: &str) {
    let text = response.text();
    assert_eq!(response.status, status, "{text}");
    assert_eq!(response.header("content-type"), "application/json", "{text}");
    assert_eq!(response.header("docker-distribution-api-version"), "registry/2.0");
    let body = response.json();
    let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no errors: {text}"));
    assert_eq!(errors.len(), 1, "{text}");
    assert_eq!(errors[0]["code"], code, "{text}");
    assert!(errors[0]["message"].as_str().is_some_and(|it| !it.is_empty()), "{text}");
}

/// Checks that no bytes of unfinished uploads are left, or will not be in a moment.
pub(crate) fn assert_nothing_is_left(server: &Server) {
    wait(|| unfinished(server) == 0, "bytes are left over");
}

/// Waits until the first bytes of any upload are on their way to the storage.
pub(crate) fn wait_for_bytes(server: &Server) {
    wait(|| unfinished(server) > 0, "nothing arrived");
    if server.pair().is_some() {
        // Whoever claims an upload reads right after that, into memory, where nobody sees it.
        thread::sleep(Duration::from_millis(200));
    }
}

fn unfinished(server: &Server) -> usize {
    if let Some(pair) = server.pair() {
        let uploads = "SELECT count(*) FROM uploads WHERE received > 0 OR claim IS NOT NULL";
        return usize::try_from(pair.number(uploads)).expect("it is a count");
    }
    let folder = server.data().join("tmp/uploads");
    std::fs::read_dir(folder).expect("the server made the folder").count()
}

/// Waits until something is so; panics with the complaint when it never is.
pub(crate) fn wait(mut until: impl FnMut() -> bool, complaint: &str) {
    let begun = Instant::now();
    while !until() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{complaint}");
        thread::sleep(Duration::from_millis(10));
    }
}
