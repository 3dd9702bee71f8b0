//! One read from several sources: the first that proves its answer wins, and one that fails is
//! replaced where it stopped.

use std::collections::VecDeque;
use std::error::Error;
use std::mem;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use futures_util::stream::{FuturesUnordered, try_unfold};
use futures_util::{StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::bounds::{Permit, Purpose, RootBounds};
use super::error::NO_SOURCE;
use super::{
    Event, Events, File, ReadRequest, Remote, RemoteError, RemoteErrorKind, Result, Source,
};
use crate::ipld::{ByteRange, Entry, MAX_BLOCK_SIZE, Scope, Target};

/// The longest block of a directory or a link: other blocks hold content.
const MAX_SMALL_BLOCK: usize = 1 << 20;

/// The longest name that a directory may have, as on a disk, and how long each may be on average where a directory
/// has as many as it may: 16 MiB for 100,000.
const NAME: usize = 255;
const NAMES: usize = 168;

/// How many sources of a read may fail.
const REPLACEMENTS: usize = 4;

/// After how many bytes a transfer may have as many replacements again.
const MUCH: u64 = 16 * 1024 * 1024;

/// How often, and for how long, a read retries sources whose connections break before a block has come, and
/// how long the first pause is; each is twice as long as the one before it.
const RETRIES: u32 = 4;
const RETRY_TIME: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// A read under way.
pub(super) struct Race {
    remote: Remote,
    root: Cid,
    path: Vec<String>,
    purpose: Purpose,
    /// Which sources have failed.
    broken: Vec<usize>,
    /// How often sources were retried.
    tries: u32,
    /// Its permit among all reads.
    permit: Option<Permit>,
}

/// The first answer of a source.
struct Begun {
    source: usize,
    target: Target,
    events: Events,
}

impl Race {
    pub(super) fn new(remote: &Remote, root: Cid, path: Vec<String>, purpose: Purpose) -> Self {
        let (remote, broken) = (remote.clone(), Vec::new());
        Self { remote, root, path, purpose, broken, tries: 0, permit: None }
    }

    /// Finds the target of the path.
    pub(super) async fn begin(mut self, scope: Scope) -> Result<Target> {
        Ok(self.run(scope).await?.target)
    }

    /// Opens the file at the end of the path.
    pub(super) async fn open(mut self, part: Option<Range<u64>>) -> Result<Option<File>> {
        let scope = match &part {
            None => Scope::Entity(None),
            Some(part) if part.is_empty() => Scope::Block,
            Some(part) => Scope::Entity(Some(range(part)?)),
        };
        let begun = self.run(scope).await?;
        let Target::File { cid, size } = begun.target else { return Ok(None) };
        let left = part.map_or(0..size, |part| part.start.min(size)..part.end.min(size));
        let (pieces, came, since) = (VecDeque::new(), [0; 2], Instant::now());
        let transfer = Transfer { race: self, cid, left, begun, pieces, came, since, replaced: 0 };
        let bytes = try_unfold(transfer, |mut transfer| async move {
            let piece = transfer.next().await?;
            Ok(piece.map(|piece| (piece, transfer)))
        });
        Ok(Some(File { cid, size, bytes: bytes.boxed() }))
    }

    /// Lists the directory at the end of the path, in no order. A source that fails is replaced from
    /// the beginning: another one cannot continue a part of a directory.
    pub(super) async fn list(mut self, limit: usize) -> Result<Option<Vec<Entry>>> {
        let mut worst: Option<RemoteError> = None;
        let since = Instant::now();
        loop {
            let begun = match (self.run(Scope::Entity(None)).await, worst) {
                (Ok(begun), before) => {
                    worst = before;
                    begun
                }
                (Err(error), Some(before)) if before.kind > error.kind => return Err(before),
                (Err(error), _) => return Err(error),
            };
            let Target::Directory { cid } = begun.target else { return Ok(None) };
            match entries(begun.events, limit, &self.remote.bounds).await {
                Ok(Some(entries)) => return Ok(Some(entries)),
                Ok(None) => {
                    let what = format!("directory {cid} has more than {limit} entries");
                    return Err(RemoteError::new(RemoteErrorKind::Invalid, what));
                }
                Err(error) => {
                    if let Some(pause) = self.pause(&error, since) {
                        tokio::time::sleep(pause).await;
                        continue;
                    }
                    self.give_up(begun.source, &error);
                    if worst.as_ref().is_none_or(|worst| error.kind >= worst.kind) {
                        worst = Some(error);
                    }
                }
            }
        }
    }

    /// Excludes a source from this read.
    fn give_up(&mut self, source: usize, error: &RemoteError) {
        let cause = error.source();
        let source_name = self.remote.sources[source].name();
        tracing::debug!(source = source_name, %error, cause, "a source ended its answer early");
        self.broken.push(source);
    }

    /// Returns the pause before a source that failed in that way is retried, if it is.
    fn pause(&mut self, error: &RemoteError, since: Instant) -> Option<Duration> {
        let is_retried = error.broke_off() && self.tries < RETRIES && since.elapsed() < RETRY_TIME;
        is_retried.then(|| {
            self.tries += 1;
            PAUSE * 2_u32.pow(self.tries - 1)
        })
    }

    /// Returns the sources that are not broken, in the order in which they are tried.
    fn order(&self) -> VecDeque<usize> {
        let mut order = self.remote.sources_in_order();
        order.retain(|source| !self.broken.contains(source));
        order
    }

    /// Tries the sources that are not broken, each a while after the one before it, or as soon as that has
    /// failed; those that lose are dropped. One whose connection breaks is retried a few times.
    async fn run(&mut self, scope: Scope) -> Result<Begun> {
        if self.permit.is_none() {
            self.permit = Some(self.remote.bounds.begin(self.purpose).await?);
        }
        let block = match self.purpose {
            Purpose::Transfer | Purpose::Block => MAX_BLOCK_SIZE,
            Purpose::Small | Purpose::List => MAX_SMALL_BLOCK,
        };
        let bounds = self.remote.bounds.clone();
        let request =
            ReadRequest { root: self.root, path: self.path.clone(), scope, block, bounds };
        let sources = self.remote.sources.clone();
        let try_source = |source: usize, pause: Duration| {
            let (sources, request) = (sources.clone(), request.clone());
            async move {
                tokio::time::sleep(pause).await;
                (source, first(&*sources[source], &request).await)
            }
        };
        let since = Instant::now();
        let mut waiting = self.order();
        let mut running = FuturesUnordered::new();
        let mut worst = RemoteError::new(RemoteErrorKind::NoSource, NO_SOURCE);
        loop {
            if let Some(source) = waiting.pop_front() {
                running.push(try_source(source, Duration::ZERO));
            }
            // Requests that run go on when the head start of the last one is over.
            let next = if waiting.is_empty() {
                running.next().await
            } else {
                let head_start = self.remote.head_start;
                tokio::time::timeout(head_start, running.next()).await.unwrap_or_default()
            };
            match next {
                Some((source, Ok((target, events)))) => {
                    self.remote.note_answer(source);
                    return Ok(Begun { source, target, events });
                }
                Some((source, Err(error))) => {
                    if let Some(pause) = self.pause(&error, since) {
                        running.push(try_source(source, pause));
                        continue;
                    }
                    self.give_up(source, &error);
                    if error.kind >= worst.kind {
                        worst = error;
                    }
                }
                // The head start is over, or no source is left.
                None => {}
            }
            if waiting.is_empty() && running.is_empty() {
                return Err(worst);
            }
        }
    }
}

/// Waits until a source has proved the target.
async fn first(source: &dyn Source, request: &ReadRequest) -> Result<(Target, Events)> {
    let mut events = source.open(request).await?;
    match events.try_next().await? {
        Some(Event::Found(target)) => Ok((target, events)),
        _ => Err(RemoteError::new(
            RemoteErrorKind::Invalid,
            "the source's answer does not begin with the target",
        )),
    }
}

/// Converts a part that is not empty into the scope of a request.
pub(super) fn range(part: &Range<u64>) -> Result<ByteRange> {
    let number = |number: u64| i64::try_from(number).ok();
    let range = number(part.start).zip(number(part.end.saturating_sub(1)));
    let range = range.and_then(|(from, to)| ByteRange::new(from, Some(to)).ok());
    let what = || format!("no bytes {}-{}", part.start, part.end);
    range.ok_or_else(|| RemoteError::new(RemoteErrorKind::Invalid, what()))
}

/// Collects the entries of a directory, but those whose names are longer than any; none if there are more than that.
async fn entries(
    mut events: Events,
    limit: usize,
    bounds: &RootBounds,
) -> Result<Option<Vec<Entry>>> {
    let (mut entries, mut length) = (Vec::new(), 0);
    // The memory of what has come is taken as it comes: a source that sends nothing takes none.
    let (mut memory, mut needed) = (bounds.list(), 0);
    while let Some(event) = events.try_next().await? {
        let Event::More(step) = event else { continue };
        length += step.entries.iter().map(|entry| entry.name.len()).sum::<usize>();
        let most = limit.saturating_mul(NAMES);
        if length > most {
            let what = format!("the names of a directory have more than {most} bytes");
            return Err(RemoteError::new(RemoteErrorKind::Invalid, what));
        }
        let added = step.entries.into_iter().filter(|entry| entry.name.len() <= NAME);
        let before = entries.len();
        entries.extend(added);
        let added = entries[before..].iter().map(|entry| entry.name.len() + size_of::<Entry>());
        needed += added.sum::<usize>();
        memory.grow(needed).await?;
        if entries.len() > limit {
            return Ok(None);
        }
    }
    Ok(Some(entries))
}

/// A file in transit.
struct Transfer {
    race: Race,
    cid: Cid,
    /// The bytes that have not come.
    left: Range<u64>,
    begun: Begun,
    pieces: VecDeque<Bytes>,
    /// How many bytes came since the request to the current source, and since replacements were counted anew.
    came: [u64; 2],
    /// Since when it is retried because nothing comes.
    since: Instant,
    replaced: usize,
}

impl Transfer {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                if piece.len() as u64 > self.left.end - self.left.start {
                    let what = format!("{} has more bytes than it should have", self.cid);
                    return Err(RemoteError::new(RemoteErrorKind::Invalid, what));
                }
                self.left.start += piece.len() as u64;
                return Ok(Some(piece));
            }
            if self.left.is_empty() {
                return Ok(None);
            }
            match self.begun.events.try_next().await {
                Ok(Some(Event::More(step))) => {
                    let length = step.content.iter().map(|piece| piece.len() as u64).sum::<u64>();
                    self.came = self.came.map(|came| came + length);
                    self.pieces.extend(step.content);
                }
                Ok(Some(Event::Found(_))) => {}
                Ok(None) => {
                    let what = format!("{} bytes are missing", self.left.end - self.left.start);
                    self.replace(RemoteError::new(RemoteErrorKind::Invalid, what)).await?;
                }
                Err(error) => self.replace(error).await?,
            }
        }
    }

    /// Continues where the last source stopped: with another one, or, if there is none, with the same one if only
    /// its connection broke.
    async fn replace(&mut self, error: RemoteError) -> Result<()> {
        let source = self.begun.source;
        self.race.give_up(source, &error);
        if self.came[1] >= MUCH {
            (self.replaced, self.race.tries, self.came[1]) = (0, 0, 0);
        }
        self.replaced += 1;
        if self.replaced > REPLACEMENTS {
            return Err(error);
        }
        let scope = Scope::Entity(Some(range(&self.left)?));
        let pause = if mem::take(&mut self.came[0]) > 0 {
            self.since = Instant::now();
            (error.kind == RemoteErrorKind::Unreachable).then_some(Duration::ZERO)
        } else {
            self.race.pause(&error, self.since)
        };
        let mut found = self.race.run(scope).await;
        if let (Err(_), Some(pause)) = (&found, pause) {
            tokio::time::sleep(pause).await;
            self.race.broken.retain(|broken| *broken != source);
            found = self.race.run(scope).await;
        }
        let begun = match found {
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

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::ipld::{Step, no_root};

    async fn listed(names: impl Iterator<Item = usize>) -> Result<Option<usize>> {
        let entry = |length| Entry { name: "n".repeat(length), cid: no_root(), size: 1 };
        let steps: Vec<_> = names
            .map(|length| {
                let entries = (0..100).map(|_| entry(length)).collect();
                Ok(Event::More(Step { content: Vec::new(), entries }))
            })
            .collect();
        let bounds = RootBounds::default();
        let found = entries(stream::iter(steps).boxed(), 100_000, &bounds).await?;
        Ok(found.map(|entries| entries.len()))
    }

    #[tokio::test]
    async fn a_listing_has_names_as_a_disk_has_and_is_not_endless() {
        let lengths = |length| std::iter::repeat_n(length, 1000);
        assert_eq!(listed(lengths(100)).await.unwrap(), Some(100_000));
        assert_eq!(listed(lengths(100).chain([1])).await.unwrap(), None);
        assert_eq!(listed([255].into_iter()).await.unwrap(), Some(100));
        assert_eq!(listed([256, 10].into_iter()).await.unwrap(), Some(100));
        for lengths in [200, 20_000] {
            let long = listed(std::iter::repeat_n(lengths, 1000)).await;
            assert_eq!(long.unwrap_err().kind, RemoteErrorKind::Invalid);
        }
    }
}
