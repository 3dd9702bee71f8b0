//! What an answer tells, by an archive or by blocks that are asked for one by one.

use std::mem;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::{self, try_unfold};
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::progress::Progress;
use super::{Ahead, Event, Events, RemoteError, RemoteErrorKind, Result};
use crate::ipld::{CarEvent, CarReader, Step, Target, Traversal};

/// The body of an answer.
pub(super) type Body = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Where the blocks come from.
enum Blocks {
    Archive { body: Body, reader: CarReader, traversal: Traversal },
    Single(Ahead<RemoteError>),
}

/// A read under way.
struct Reading {
    blocks: Blocks,
    progress: Progress,
    has_begun: bool,
    is_told: bool,
}

/// Reads an archive as it comes.
pub(super) fn archive(body: Body, traversal: Traversal, progress: Progress) -> Events {
    Reading::events(Blocks::Archive { body, reader: CarReader::new(), traversal }, progress)
}

/// Reads blocks that are asked for one by one.
pub(super) fn single(blocks: Ahead<RemoteError>, progress: Progress) -> Events {
    Reading::events(Blocks::Single(blocks), progress)
}

impl Reading {
    fn events(blocks: Blocks, progress: Progress) -> Events {
        let reading = Self { blocks, progress, has_begun: false, is_told: false };
        try_unfold(reading, |mut reading| async move {
            let events = reading.next().await?;
            Ok::<_, RemoteError>(events.map(|events| (stream::iter(events.map(Ok)), reading)))
        })
        .try_flatten()
        .boxed()
    }

    /// Returns what the next block tells; none at the end.
    async fn next(&mut self) -> Result<Option<impl Iterator<Item = Event> + Send + use<>>> {
        let step = if mem::replace(&mut self.has_begun, true) {
            self.blocks.next(&mut self.progress).await?
        } else {
            // What is known without any block.
            Some(self.blocks.inlined().clone())
        };
        let Some(step) = step else { return Ok(None) };
        let target = self.blocks.target().filter(|_| !self.is_told).cloned();
        self.is_told |= target.is_some();
        let more = (!step.is_empty()).then_some(Event::More(step));
        Ok(Some(target.map(Event::Found).into_iter().chain(more)))
    }
}

impl Blocks {
    fn target(&self) -> Option<&Target> {
        match self {
            Self::Archive { traversal, .. } => traversal.target(),
            Self::Single(ahead) => ahead.target(),
        }
    }

    fn inlined(&self) -> &Step {
        match self {
            Self::Archive { traversal, .. } => traversal.inlined(),
            Self::Single(ahead) => ahead.inlined(),
        }
    }

    /// Returns what the next block adds; none at the end.
    async fn next(&mut self, progress: &mut Progress) -> Result<Option<Step>> {
        let (body, reader, traversal) = match self {
            Self::Archive { body, reader, traversal } => (body, reader, traversal),
            Self::Single(ahead) => {
                let Some((block, step)) = progress.wait(ahead.next()).await?? else {
                    return Ok(None);
                };
                progress.note_block(block.bytes.len());
                return Ok(Some(step));
            }
        };
        // What comes after the last wanted block is of no interest, nor waited for.
        while traversal.wanted().is_some() {
            match reader.next_event()? {
                Some(CarEvent::Block(block)) => return Ok(Some(traversal.supply(&block)?)),
                Some(CarEvent::Header { .. }) => {}
                None => {
                    let Some(piece) = progress.wait(body.next()).await? else {
                        let what = "the archive ended before all that is wanted had come";
                        return Err(RemoteError::new(RemoteErrorKind::Unreachable, what));
                    };
                    let piece = piece?;
                    progress.note(piece.len());
                    reader.push(piece);
                }
            }
        }
        Ok(None)
    }
}
