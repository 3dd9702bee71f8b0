//! One read from several sources: the first that proves what there is wins, and one that breaks down is
//! replaced where it stopped.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use futures_util::stream::{FuturesUnordered, try_unfold};
use futures_util::{StreamExt, TryStreamExt};

use super::{Event, Events, File, RemoteError, RemoteErrorKind, Result, Source, Wanted};
use crate::ipld::{ByteRange, Scope, Target};

/// How long a better known source is ahead of the next one.
const HEAD_START: Duration = Duration::from_millis(300);

/// How many sources a read may wear out.
const REPLACEMENTS: usize = 4;

/// A read under way.
pub(super) struct Race {
    sources: Arc<[Arc<dyn Source>]>,
    root: Cid,
    path: Vec<String>,
    /// Which sources are out of it.
    broken: Vec<usize>,
}

/// What a source told first.
struct Begun {
    source: usize,
    target: Target,
    events: Events,
}

impl Race {
    pub(super) fn new(sources: Arc<[Arc<dyn Source>]>, root: Cid, path: Vec<String>) -> Self {
        Self { sources, root, path, broken: Vec::new() }
    }

    /// Finds what stands at the end of the path, and begins to read it.
    pub(super) async fn begin(mut self, scope: Scope) -> Result<(Target, Events)> {
        let begun = self.run(scope).await?;
        Ok((begun.target, begun.events))
    }

    /// Opens the file at the end of the path.
    pub(super) async fn open(mut self, part: Option<Range<u64>>) -> Result<Option<File>> {
        let begun = self.run(Scope::Entity(part.as_ref().map(range).transpose()?)).await?;
        let Target::File { cid, size } = begun.target else { return Ok(None) };
        let left = part.map_or(0..size, |part| part.start.min(size)..part.end.min(size));
        let transfer =
            Transfer { race: self, cid, left, begun, pieces: VecDeque::new(), replaced: 0 };
        let bytes = try_unfold(transfer, |mut transfer| async move {
            let piece = transfer.next().await?;
            Ok(piece.map(|piece| (piece, transfer)))
        });
        Ok(Some(File { cid, size, bytes: bytes.boxed() }))
    }

    /// Asks the sources that are not broken, each a while after the one before it, or as soon as that has
    /// failed; those that lose are dropped.
    async fn run(&mut self, scope: Scope) -> Result<Begun> {
        let wanted = Wanted { root: self.root, path: self.path.clone(), scope };
        let mut waiting: VecDeque<usize> =
            (0..self.sources.len()).filter(|source| !self.broken.contains(source)).collect();
        let mut running = FuturesUnordered::new();
        let mut worst = RemoteError::new(RemoteErrorKind::NoSource, "nobody is known who has it");
        loop {
            if let Some(source) = waiting.pop_front() {
                let (sources, wanted) = (self.sources.clone(), wanted.clone());
                running.push(async move { (source, first(&*sources[source], &wanted).await) });
            }
            let next = async {
                match waiting.is_empty() {
                    true => running.next().await,
                    false => match tokio::time::timeout(HEAD_START, running.next()).await {
                        Ok(next) => next,
                        Err(_) => None,
                    },
                }
            };
            match next.await {
                Some((source, Ok((target, events)))) => {
                    return Ok(Begun { source, target, events });
                }
                Some((source, Err(error))) => {
                    tracing::debug!(source = self.sources[source].name(), %error, "a source failed");
                    self.broken.push(source);
                    if error.kind >= worst.kind {
                        worst = error;
                    }
                }
                None if waiting.is_empty() && running.is_empty() => return Err(worst),
                None => {}
            }
            if waiting.is_empty() && running.is_empty() {
                return Err(worst);
            }
        }
    }
}

/// Waits until a source has proved what there is.
async fn first(source: &dyn Source, wanted: &Wanted) -> Result<(Target, Events)> {
    let mut events = source.open(wanted).await?;
    match events.try_next().await? {
        Some(Event::Found(target)) => Ok((target, events)),
        _ => Err(RemoteError::new(RemoteErrorKind::Invalid, "nothing was told")),
    }
}

fn range(part: &Range<u64>) -> Result<ByteRange> {
    let number = |number: u64| i64::try_from(number).ok();
    let range = number(part.start).zip(number(part.end.saturating_sub(1)));
    let range = range.and_then(|(from, to)| ByteRange::new(from, Some(to)).ok());
    let what = || format!("there are no bytes {}-{}", part.start, part.end);
    range.ok_or_else(|| RemoteError::new(RemoteErrorKind::Invalid, what()))
}

/// A file on its way.
struct Transfer {
    race: Race,
    cid: Cid,
    /// What has not come.
    left: Range<u64>,
    begun: Begun,
    pieces: VecDeque<Bytes>,
    replaced: usize,
}

impl Transfer {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                self.left.start += piece.len() as u64;
                return Ok(Some(piece));
            }
            if self.left.is_empty() {
                return Ok(None);
            }
            match self.begun.events.try_next().await {
                Ok(Some(Event::More(step))) => self.pieces.extend(step.content),
                Ok(Some(Event::Found(_))) => {}
                Ok(None) => {
                    let what = format!("{} bytes are missing", self.left.end - self.left.start);
                    return Err(RemoteError::new(RemoteErrorKind::Invalid, what));
                }
                Err(error) => self.replace(error).await?,
            }
        }
    }

    /// Goes on with another source, where the last one stopped.
    async fn replace(&mut self, error: RemoteError) -> Result<()> {
        let name = self.race.sources[self.begun.source].name();
        tracing::info!(source = name, %error, at = self.left.start, "a source broke off");
        self.race.broken.push(self.begun.source);
        self.replaced += 1;
        if self.replaced > REPLACEMENTS {
            return Err(error);
        }
        let scope = Scope::Entity(Some(range(&self.left)?));
        let begun = match self.race.run(scope).await {
            Ok(begun) => begun,
            Err(another) if another.kind > error.kind => return Err(another),
            Err(_) => return Err(error),
        };
        // The root proves both, so it is the same file.
        if !matches!(begun.target, Target::File { cid, .. } if cid == self.cid) {
            return Err(error);
        }
        self.begun = begun;
        Ok(())
    }
}
