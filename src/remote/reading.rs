//! Reads an answer: an archive, or blocks that are requested one by one.

use std::mem;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::{self, try_unfold};
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::bounds::Permit;
use super::progress::Progress;
use super::{
    BlockStream, Event, Events, Prefetch, ReadRequest, RemoteError, RemoteErrorKind, Result,
    RootBounds,
};
use crate::ipld::{Block, CarEvent, CarReader, Step, Target, Traversal};

/// The body of an answer.
pub(super) type Body = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Where the blocks come from.
enum Blocks {
    Archive(Archive),
    Single(Prefetch<RemoteError>),
}

/// An archive in transit.
struct Archive {
    body: Body,
    reader: CarReader,
    traversal: Traversal,
    bounds: RootBounds,
    /// The memory of the block that is being received.
    memory: Option<Permit>,
}

/// A read under way.
struct Reading {
    blocks: Blocks,
    progress: Progress,
    has_begun: bool,
    has_target: bool,
}

/// Reads an archive as it comes.
pub(super) fn archive(
    body: Body,
    traversal: Traversal,
    request: &ReadRequest,
    progress: Progress,
) -> Events {
    let archive = Archive::new(body, traversal, request);
    Reading::events(Blocks::Archive(archive), progress)
}

/// Reads blocks that are requested one by one.
pub(super) fn single(blocks: Prefetch<RemoteError>, progress: Progress) -> Events {
    Reading::events(Blocks::Single(blocks), progress)
}

/// Reads the blocks of an archive as they come.
pub(super) fn blocks(
    body: Body,
    traversal: Traversal,
    request: &ReadRequest,
    progress: Progress,
) -> BlockStream {
    let reading = (Archive::new(body, traversal, request), progress);
    try_unfold(reading, |(mut archive, mut progress)| async move {
        let next = archive.next(&mut progress).await?;
        Ok(next.map(|(block, _)| (block, (archive, progress))))
    })
    .boxed()
}

impl Reading {
    fn events(blocks: Blocks, progress: Progress) -> Events {
        let reading = Self { blocks, progress, has_begun: false, has_target: false };
        try_unfold(reading, |mut reading| async move {
            let events = reading.next().await?;
            Ok::<_, RemoteError>(events.map(|events| (stream::iter(events.map(Ok)), reading)))
        })
        .try_flatten()
        .boxed()
    }

    /// Returns the events of the next block; none at the end.
    async fn next(&mut self) -> Result<Option<impl Iterator<Item = Event> + Send + use<>>> {
        let step = if mem::replace(&mut self.has_begun, true) {
            self.blocks.next(&mut self.progress).await?
        } else {
            // The CID alone may hold content.
            Some(self.blocks.inlined().clone())
        };
        let Some(step) = step else { return Ok(None) };
        let target = self.blocks.target().filter(|_| !self.has_target).cloned();
        self.has_target |= target.is_some();
        let more = (!step.is_empty()).then_some(Event::More(step));
        Ok(Some(target.map(Event::Found).into_iter().chain(more)))
    }
}

impl Blocks {
    fn target(&self) -> Option<&Target> {
        match self {
            Self::Archive(archive) => archive.traversal.target(),
            Self::Single(ahead) => ahead.target(),
        }
    }

    fn inlined(&self) -> &Step {
        match self {
            Self::Archive(archive) => archive.traversal.inlined(),
            Self::Single(ahead) => ahead.inlined(),
        }
    }

    /// Returns what the next block adds; none at the end.
    async fn next(&mut self, progress: &mut Progress) -> Result<Option<Step>> {
        match self {
            Self::Archive(archive) => Ok(archive.next(progress).await?.map(|(_, step)| step)),
            Self::Single(ahead) => {
                let Some((block, step)) = progress.wait(ahead.next()).await?? else {
                    return Ok(None);
                };
                progress.note_block(block.bytes.len());
                Ok(Some(step))
            }
        }
    }
}

impl Archive {
    fn new(body: Body, traversal: Traversal, request: &ReadRequest) -> Self {
        let reader = CarReader::at_most(request.block);
        Self { body, reader, traversal, bounds: request.bounds.clone(), memory: None }
    }

    /// Returns the next block, and what it adds; none at the end.
    async fn next(&mut self, progress: &mut Progress) -> Result<Option<(Block, Step)>> {
        // The rest after the last requested block is neither read nor waited for.
        while self.traversal.next_cid().is_some() {
            match self.reader.next_event()? {
                Some(CarEvent::Block(block)) => {
                    self.memory = None;
                    let step = self.traversal.supply(&block)?;
                    return Ok(Some((block, step)));
                }
                Some(CarEvent::Header { .. }) => {}
                None => {
                    let pending = self.reader.pending();
                    if pending > self.memory.as_ref().map_or(0, Permit::size) {
                        self.memory = None;
                        self.memory = Some(self.bounds.memory(pending).await?);
                    }
                    let Some(piece) = progress.wait(self.body.next()).await? else {
                        let what = "the archive ended before all needed blocks had arrived";
                        let error = RemoteError::new(RemoteErrorKind::Unreachable, what);
                        return Err(error.breaking_off(true));
                    };
                    let piece = piece?;
                    progress.note(piece.len());
                    self.reader.push(piece);
                }
            }
        }
        Ok(None)
    }
}
