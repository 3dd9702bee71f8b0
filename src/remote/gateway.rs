//! A trustless gateway as a source: one archive for a whole path, or, if it has none in an order that
//! can be followed, block by block.

use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use cid::Cid;
use futures_util::{StreamExt, TryStreamExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response};

use super::address::{GatewayAddress, RequestError, shown};
use super::progress::{Progress, Timeouts};
use super::reading::{self, Body};
use super::{
    BlockAnswer, BlockStream, Events, Prefetch, ReadRequest, RemoteError, RemoteErrorKind, Result,
    RootBounds, Source,
};
use crate::ipld::{Block, MAX_BLOCK_SIZE, Scope, Traversal};

const RAW: &str = "application/vnd.ipld.raw";
const CAR: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=y";

/// The characters that are escaped in a name of a URL (RFC 3986, 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-').remove(b'~');

/// How many blocks are requested at a time where they are requested one by one.
const WIDTH: usize = 6;

/// The pauses before the request for a block is retried because the connection broke.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];

/// A gateway that speaks the trustless gateway protocol.
#[derive(Clone)]
pub struct Gateway {
    client: Client,
    base: String,
    address: GatewayAddress,
    timeouts: Timeouts,
}

impl Gateway {
    /// Uses the gateway at that URL, which has no slash at its end. The client must not follow redirects to
    /// addresses that are not allowed.
    #[must_use]
    pub fn new(client: Client, base: impl Into<String>) -> Self {
        Self::with(client, base, Timeouts::default())
    }

    /// Uses the gateway at that URL, with these time limits.
    #[must_use]
    pub fn with(client: Client, base: impl Into<String>, timeouts: Timeouts) -> Self {
        let base = base.into();
        Self { client, address: GatewayAddress::of_publisher(&base), base, timeouts }
    }

    /// Uses a gateway of the operator, and follows its redirects. The client must not follow any itself.
    #[must_use]
    pub fn of_operator(client: Client, base: impl Into<String>) -> Self {
        let gateway = Self::new(client, base);
        Self { address: GatewayAddress::of_operator(&gateway.base), ..gateway }
    }

    async fn get(&self, target: &str, accept: &str) -> Result<Response> {
        let response = self.send(target, accept).await?;
        self.check(response)
    }

    /// Sends a request, and returns the response, whatever its status.
    async fn send(&self, target: &str, accept: &str) -> Result<Response> {
        let target = format!("/ipfs/{target}");
        let sending = self.address.get(&self.client, &target, accept);
        let response = tokio::time::timeout(self.timeouts.answer, sending).await.map_err(|_| {
            RemoteError::new(RemoteErrorKind::TimedOut, format!("{} does not answer", self.base))
        })?;
        response.map_err(|RequestError { redirected_to, error }| match redirected_to {
            // Another server than that of the settings.
            Some(other) => {
                let what = format!("{} redirected to {other}, which is not a URL", self.base);
                RemoteError::wrap(kind(&error), what, error.without_url())
            }
            None => self.unreachable(error),
        })
    }

    /// Refuses a response that is not the requested one.
    fn check(&self, response: Response) -> Result<Response> {
        let status = response.status();
        match status.as_u16() {
            200 => Ok(response),
            404 | 410 | 412 => {
                let what = format!("{} does not have it ({})", self.base, status.as_u16());
                Err(RemoteError::new(RemoteErrorKind::Absent, what))
            }
            code => {
                let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
                let location = location.and_then(|location| location.to_str().ok());
                let location = location.map(|url| format!(", which leads to {}", shown(url)));
                let what = format!("{} answered {code}{}", self.base, location.unwrap_or_default());
                Err(RemoteError::new(RemoteErrorKind::Unreachable, what))
            }
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> RemoteError {
        let what = format!("cannot read from {}", self.base);
        // A redirect that is not followed is a response. A body that is cut short counts as undecodable.
        let is_other = error.is_builder() || error.is_redirect();
        let has_connected = !(is_other || error.is_connect() || error.is_timeout());
        RemoteError::wrap(kind(&error), what, error.without_url()).breaking_off(has_connected)
    }

    /// Requests an archive; none if it would not be in an order that can be followed.
    async fn archive(&self, request: &ReadRequest) -> Result<Option<Body>> {
        let ReadRequest { root, path, scope, .. } = request;
        let scope = match scope {
            Scope::Block => "dag-scope=block".to_owned(),
            Scope::Entity(None) => "dag-scope=entity".to_owned(),
            Scope::Entity(Some(part)) => format!("dag-scope=entity&entity-bytes={part}"),
            Scope::All { .. } => "dag-scope=all".to_owned(),
        };
        // URL parsers give these names another meaning, however they are escaped.
        if path.iter().any(|name| matches!(&**name, "" | "." | "..")) {
            return Ok(None);
        }
        let target = format!("{root}{}", url_path(path));
        let query = format!("format=car&{scope}&car-order=dfs&car-dups=y");
        let response = self.send(&format!("{target}?{query}"), CAR).await?;
        // Every gateway has raw blocks; archives, or this kind of them, it may lack (trustless gateway
        // specification, "Response Codes").
        if matches!(response.status().as_u16(), 400 | 406 | 415 | 501) {
            return Ok(None);
        }
        let response = self.check(response)?;
        // In another order, or without the repeated blocks, no bounded memory could follow.
        let described = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let described = described.unwrap_or_default().replace(' ', "");
        let has = |parameter: &str| described.split(';').any(|part| part == parameter);
        if !has("order=dfs") || !has("dups=y") {
            return Ok(None);
        }
        let gateway = self.clone();
        let body = response.bytes_stream().map_err(move |error| gateway.unreachable(error));
        Ok(Some(body.boxed()))
    }

    /// Requests one block after the other.
    fn blocks_of(&self, traversal: Traversal, request: &ReadRequest) -> Prefetch<RemoteError> {
        let (gateway, most, bounds) = (self.clone(), request.block, request.bounds.clone());
        Prefetch::new(traversal, WIDTH, move |cid| {
            let (gateway, bounds) = (gateway.clone(), bounds.clone());
            Box::pin(async move { gateway.fetch_block(cid, most, &bounds).await })
        })
    }

    /// Reads a block; retries when the connection breaks.
    async fn fetch_block(&self, cid: Cid, most: usize, bounds: &RootBounds) -> Result<Block> {
        let mut pauses = PAUSES.iter();
        loop {
            let reading = async {
                let response = self.get(&format!("{cid}?format=raw"), RAW).await?;
                self.read_block(response, cid, most, bounds).await
            };
            let error = match reading.await {
                Ok(block) => return Ok(block),
                Err(error) => error,
            };
            let pause = pauses.next().filter(|_| error.broke_off());
            // It was retried here, so no caller retries it.
            let Some(pause) = pause else { return Err(error.breaking_off(false)) };
            tokio::time::sleep(*pause).await;
        }
    }

    async fn read_block(
        &self,
        response: Response,
        cid: Cid,
        most: usize,
        bounds: &RootBounds,
    ) -> Result<Block> {
        let too_long = || {
            let what = format!("{} sent more than one block for {cid}", self.base);
            RemoteError::new(RemoteErrorKind::Invalid, what)
        };
        let content_length =
            response.content_length().and_then(|length| usize::try_from(length).ok());
        let length = content_length.unwrap_or(most);
        if length > most {
            return Err(too_long());
        }
        let _memory = bounds.memory(length).await?;
        let (mut body, mut progress) = (response.bytes_stream(), Progress::begin(self.timeouts));
        let mut bytes = BytesMut::new();
        while let Some(piece) = progress.wait(body.next()).await? {
            let piece = piece.map_err(|error| self.unreachable(error))?;
            progress.note(piece.len());
            if bytes.len() + piece.len() > length {
                return Err(too_long());
            }
            bytes.extend_from_slice(&piece);
        }
        Block::verify(cid, bytes.freeze()).map_err(|error| {
            let what = format!("{} sent other bytes", self.base);
            RemoteError::wrap(RemoteErrorKind::Invalid, what, error)
        })
    }
}

#[async_trait]
impl Source for Gateway {
    fn name(&self) -> &str {
        &self.base
    }

    async fn open(&self, request: &ReadRequest) -> Result<Events> {
        let traversal = request.traversal()?;
        let progress = Progress::begin(self.timeouts);
        Ok(match self.archive(request).await? {
            Some(body) => reading::archive(body, traversal, request, progress),
            None => reading::single(self.blocks_of(traversal, request), progress),
        })
    }

    async fn blocks(&self, request: &ReadRequest) -> Result<BlockStream> {
        let traversal = request.traversal()?;
        let Some(body) = self.archive(request).await? else {
            let what = format!("{} serves no archives, or none of a known order", self.base);
            return Err(RemoteError::new(RemoteErrorKind::Absent, what));
        };
        Ok(reading::blocks(body, traversal, request, Progress::begin(self.timeouts)))
    }

    async fn block(&self, cid: Cid, bounds: &RootBounds) -> Result<BlockAnswer> {
        let target = format!("{cid}?format=raw");
        let response = match self.get(&target, RAW).await {
            Err(error) if error.broke_off() => self.get(&target, RAW).await?,
            answered => answered?,
        };
        let (gateway, bounds) = (self.clone(), bounds.clone());
        Ok(Box::pin(async move {
            match gateway.read_block(response, cid, MAX_BLOCK_SIZE, &bounds).await {
                Err(error) if error.broke_off() => {
                    gateway.fetch_block(cid, MAX_BLOCK_SIZE, &bounds).await
                }
                read => read,
            }
        }))
    }
}

fn kind(error: &reqwest::Error) -> RemoteErrorKind {
    if error.is_timeout() { RemoteErrorKind::TimedOut } else { RemoteErrorKind::Unreachable }
}

/// Writes names as a path of a URL: each with a slash before it.
#[must_use]
pub fn url_path(names: &[String]) -> String {
    let escaped = |name: &String| format!("/{}", utf8_percent_encode(name, ESCAPED));
    names.iter().map(escaped).collect()
}

/// Reads the names of a URL's path. An escaped slash separates names as another one does, since no name has one; empty
/// names are left out. None if an escape is malformed, or what is escaped is no UTF-8.
#[must_use]
pub fn read_url_path(path: &str) -> Option<Vec<String>> {
    let is_escape = |rest: &str| {
        rest.as_bytes().first_chunk::<2>().is_some_and(|it| it.iter().all(u8::is_ascii_hexdigit))
    };
    if !path.split('%').skip(1).all(is_escape) {
        return None;
    }
    let path = percent_decode_str(path).decode_utf8().ok()?;
    Some(path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}
