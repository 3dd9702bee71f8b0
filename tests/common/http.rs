//! One request at a time, for tests without a runtime of their own.

use std::sync::LazyLock;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, ClientBuilder, RequestBuilder, Version};

use super::client::block_on;

/// How long an answer may take, to its end.
const LIMIT: Duration = Duration::from_mins(3);

/// What came back, read to its end.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    /// The header's text, or nothing when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are ASCII here"))
    }
}

/// Sends what `build` makes, on a connection of its own; panics when no answer comes. Any certificate
/// will do.
pub(crate) fn send(build: impl FnOnce(&Client) -> RequestBuilder) -> Response {
    try_send(build).unwrap_or_else(|error| panic!("no answer: {error:?}"))
}

/// Like [`send`], where the other side may be gone.
pub(crate) fn try_send(
    build: impl FnOnce(&Client) -> RequestBuilder,
) -> Result<Response, reqwest::Error> {
    // One for all requests of the process, which are many.
    static CLIENT: LazyLock<Client> = LazyLock::new(|| {
        client(|client| client.tls_danger_accept_invalid_certs(true)).expect("a client can be made")
    });
    finish(&CLIENT, build)
}

/// Like [`try_send`], by a client of which `configure` says more.
pub(crate) fn try_send_by(
    configure: impl FnOnce(ClientBuilder) -> ClientBuilder,
    build: impl FnOnce(&Client) -> RequestBuilder,
) -> Result<Response, reqwest::Error> {
    finish(&client(configure)?, build)
}

/// A client that keeps no connection for a later request.
fn client(
    configure: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Result<Client, reqwest::Error> {
    let client = Client::builder().no_proxy().timeout(LIMIT).pool_max_idle_per_host(0);
    configure(client).build()
}

fn finish(
    client: &Client,
    build: impl FnOnce(&Client) -> RequestBuilder,
) -> Result<Response, reqwest::Error> {
    let request = build(client);
    block_on(async {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let version = response.version();
        let headers = response.headers().clone();
        let body = response.bytes().await?.to_vec();
        Ok(Response { status, version, headers, body })
    })
}

pub(crate) fn get(url: &str) -> Response {
    send(|client| client.get(url))
}
