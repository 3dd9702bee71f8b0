//! A trustless gateway as a source: one archive for a whole path, or, where it gives none in an order that
//! can be followed, block by block.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cid::Cid;
use futures_util::stream::{self, try_unfold};
use futures_util::{StreamExt, TryStreamExt};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Response};

use super::progress::Progress;
use super::{Ahead, Event, Events, RemoteError, RemoteErrorKind, Result, Source, Wanted};
use crate::ipld::{Block, CarEvent, CarReader, MAX_BLOCK_SIZE, Scope, Traversal};

const RAW: &str = "application/vnd.ipld.raw";
const CAR: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=y";

/// How long the head of an answer is waited for.
const FIRST: Duration = Duration::from_secs(15);

/// How many blocks are asked for at a time where they are asked for one by one.
const WIDTH: usize = 6;

/// A gateway that speaks the trustless gateway protocol.
#[derive(Clone)]
pub struct Gateway {
    client: Client,
    base: String,
}

impl Gateway {
    /// Asks the gateway at that URL, which has no slash at its end. The client must not follow redirects to
    /// where it may not go.
    #[must_use]
    pub fn new(client: Client, base: impl Into<String>) -> Self {
        Self { client, base: base.into() }
    }

    async fn get(&self, target: &str, accept: &str) -> Result<Response> {
        let url = format!("{}/ipfs/{target}", self.base);
        let request = self.client.get(url).header(ACCEPT, accept);
        let response = tokio::time::timeout(FIRST, request.send()).await.map_err(|_| {
            RemoteError::new(RemoteErrorKind::TimedOut, format!("{} does not answer", self.base))
        })?;
        let response = response.map_err(|error| self.unreachable(error))?;
        let status = response.status().as_u16();
        match status {
            200 => Ok(response),
            404 | 410 | 412 => {
                let what = format!("{} does not have it ({status})", self.base);
                Err(RemoteError::new(RemoteErrorKind::Absent, what))
            }
            _ => {
                let what = format!("{} answered {status}", self.base);
                Err(RemoteError::new(RemoteErrorKind::Unreachable, what))
            }
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> RemoteError {
        let kind = match error.is_timeout() {
            true => RemoteErrorKind::TimedOut,
            false => RemoteErrorKind::Unreachable,
        };
        RemoteError::wrap(kind, format!("{} cannot be read", self.base), error.without_url())
    }

    /// Reads an archive as it comes.
    fn archive(&self, response: Response, traversal: Traversal) -> Events {
        let gateway = self.clone();
        let body = response.bytes_stream().map_err(move |error| gateway.unreachable(error)).boxed();
        let reading = Archive {
            body,
            reader: CarReader::new(),
            progress: Progress::begin(),
            teller: Teller::new(traversal),
        };
        try_unfold(reading, |mut reading| async move {
            let events = reading.next().await?;
            Ok::<_, RemoteError>(events.map(|events| (stream::iter(events.map(Ok)), reading)))
        })
        .try_flatten()
        .boxed()
    }

    /// Asks for one block after the other.
    fn blocks(&self, traversal: Traversal) -> Events {
        let gateway = self.clone();
        let ahead = Ahead::new(traversal, WIDTH, move |cid| {
            let gateway = gateway.clone();
            Box::pin(async move { gateway.block(cid).await })
        });
        let reading = (ahead, false);
        try_unfold(reading, |(mut ahead, mut is_told)| async move {
            let step = match ahead.next().await? {
                Some((_, step)) => Some(step),
                None if !is_told => None,
                None => return Ok::<_, RemoteError>(None),
            };
            let mut events = Vec::new();
            if let (false, Some(target)) = (is_told, ahead.target()) {
                is_told = true;
                events.push(Event::Found(target.clone()));
                events.push(Event::More(ahead.inlined().clone()));
            } else if step.is_none() {
                return Ok(None);
            }
            events.extend(step.filter(|step| !step.is_empty()).map(Event::More));
            Ok(Some((stream::iter(events.into_iter().map(Ok)), (ahead, is_told))))
        })
        .try_flatten()
        .boxed()
    }

    async fn block(&self, cid: Cid) -> Result<Block> {
        let response = self.get(&format!("{cid}?format=raw"), RAW).await?;
        let (mut body, mut progress) = (response.bytes_stream(), Progress::begin());
        let mut bytes = BytesMut::new();
        while let Some(piece) = progress.wait(body.next()).await? {
            let piece = piece.map_err(|error| self.unreachable(error))?;
            progress.note(piece.len());
            bytes.extend_from_slice(&piece);
            if bytes.len() > MAX_BLOCK_SIZE {
                let what = format!("{} sent more than a block for {cid}", self.base);
                return Err(RemoteError::new(RemoteErrorKind::Invalid, what));
            }
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

    async fn open(&self, wanted: &Wanted) -> Result<Events> {
        let Wanted { root, path, scope } = wanted;
        let traversal = Traversal::new(*root, path.iter().cloned(), *scope)?;
        let scope = match scope {
            Scope::Block => "dag-scope=block".to_owned(),
            Scope::Entity(None) => "dag-scope=entity".to_owned(),
            Scope::Entity(Some(part)) => format!("dag-scope=entity&entity-bytes={part}"),
            Scope::All { .. } => "dag-scope=all".to_owned(),
        };
        let mut target = root.to_string();
        for name in path {
            target.push('/');
            target.push_str(&escaped(name));
        }
        let query = format!("format=car&{scope}&car-order=dfs&car-dups=y");
        let response = self.get(&format!("{target}?{query}"), CAR).await?;
        // In another order, or where what comes twice is left out, no bounded memory could follow.
        let described = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let described = described.unwrap_or_default().replace(' ', "");
        let has = |parameter: &str| described.split(';').any(|part| part == parameter);
        if has("order=dfs") && has("dups=y") {
            return Ok(self.archive(response, traversal));
        }
        Ok(self.blocks(traversal))
    }
}

/// Writes a name so that it can stand in a URL.
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() || b"._-~".contains(&byte) {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// An archive under way.
struct Archive {
    body: Pin<Box<dyn futures_util::Stream<Item = Result<Bytes>> + Send>>,
    reader: CarReader,
    progress: Progress,
    teller: Teller,
}

impl Archive {
    /// Returns what the next block tells; none at the end.
    async fn next(&mut self) -> Result<Option<std::vec::IntoIter<Event>>> {
        loop {
            if let Some(events) = self.teller.begin() {
                return Ok(Some(events.into_iter()));
            }
            // What comes after the last wanted block is of no interest, nor waited for.
            if self.teller.is_complete() {
                return Ok(None);
            }
            match self.reader.next_event()? {
                Some(CarEvent::Block(block)) => {
                    let events = self.teller.supply(&block)?;
                    if !events.is_empty() {
                        return Ok(Some(events.into_iter()));
                    }
                }
                Some(CarEvent::Header { .. }) => {}
                None => match self.progress.wait(self.body.next()).await? {
                    Some(piece) => {
                        let piece = piece?;
                        self.progress.note(piece.len());
                        self.reader.push(piece);
                    }
                    None => {
                        let what = "the archive ended before all that is wanted had come";
                        return Err(RemoteError::new(RemoteErrorKind::Unreachable, what));
                    }
                },
            }
        }
    }
}

/// A traversal that tells what it comes by.
struct Teller {
    traversal: Traversal,
    is_told: bool,
}

impl Teller {
    fn new(traversal: Traversal) -> Self {
        Self { traversal, is_told: false }
    }

    fn is_complete(&self) -> bool {
        self.traversal.wanted().is_none()
    }

    /// Tells what is known without any block.
    fn begin(&mut self) -> Option<Vec<Event>> {
        if self.is_told {
            return None;
        }
        let target = self.traversal.target()?.clone();
        self.is_told = true;
        Some(vec![Event::Found(target), Event::More(self.traversal.inlined().clone())])
    }

    fn supply(&mut self, block: &Block) -> Result<Vec<Event>> {
        let step = self.traversal.supply(block)?;
        let mut events = Vec::new();
        if let (false, Some(target)) = (self.is_told, self.traversal.target()) {
            self.is_told = true;
            events.push(Event::Found(target.clone()));
        }
        if !step.is_empty() {
            events.push(Event::More(step));
        }
        Ok(events)
    }
}
