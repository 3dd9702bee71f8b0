//! Content in transit into the cache: written as it comes, read by the callers that wait for it, and whole only
//! when its digest is right.

use std::error::Error;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use futures_util::stream::try_unfold;
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::cached_file::failed;
use super::in_flight_quota::Share;
use super::{ByteStream, File as RemoteFile, RemoteError, RemoteErrorKind, Result};
use crate::oci::{Algorithm, CanonicalDigest, Hasher};
use crate::reader::Reader;

/// How many bytes at the end are withheld until the whole is verified.
const UNVERIFIED_TAIL: u64 = 64 * 1024;

/// How many bytes are collected before they are written: the first piece at once, so that readers get the first
/// byte early, and then more and more, since each write costs a thread.
const BATCH: usize = 1024 * 1024;
const SECOND_BATCH: usize = 64 * 1024;

/// How much all transfers of the process collect, and how many there are.
const MEMORY: usize = 16 * 1024 * 1024;
static TRANSFERS: AtomicUsize = AtomicUsize::new(0);

/// How long a transfer goes on after its last client has gone: one whose connection was cut comes back, podman after
/// a pause of 1.1 seconds.
const GRACE: Duration = Duration::from_secs(3);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// How many bytes may be missing of a transfer that goes on without clients: `SMALL` in any case, or a tenth of the
/// whole, up to `MUCH`.
const SMALL: u64 = 2 * 1024 * 1024;
const MUCH: u64 = 16 * 1024 * 1024;

/// Content in transit.
pub struct Fetch {
    /// How long it is as a whole.
    pub size: u64,
    /// The root of its file.
    pub cid: Cid,
    file: Arc<File>,
    state: watch::Receiver<State>,
}

#[derive(Clone)]
enum State {
    /// So many bytes are there.
    Came(u64),
    /// All are there, and match the digest.
    Whole,
    /// They will not come.
    Failed(RemoteErrorKind, String),
}

/// The task that receives it.
pub(super) struct Fetching {
    digest: CanonicalDigest,
    source: RemoteFile,
    file: Arc<File>,
    share: Share,
    state: watch::Sender<State>,
}

/// How it ended.
pub(super) struct Ended {
    /// Released once the temporary file is stored or removed.
    _share: Share,
    state: watch::Sender<State>,
    end: State,
}

impl Fetching {
    pub(super) fn begin(
        digest: CanonicalDigest,
        source: RemoteFile,
        file: Arc<File>,
        share: Share,
    ) -> (Arc<Fetch>, Self) {
        let (sender, state) = watch::channel(State::Came(0));
        let fetch = Fetch { size: source.size, cid: source.cid, file: Arc::clone(&file), state };
        (Arc::new(fetch), Self { digest, source, file, share, state: sender })
    }

    /// Receives and verifies it; its outcome is reported at the [`end`](Ended::end). The caller and the readers own
    /// `fetch`.
    pub(super) async fn receive(mut self, fetch: &Arc<Fetch>) -> Ended {
        let (digest, size, state) = (self.digest, self.source.size, self.state.clone());
        let ended = self.share.ended();
        TRANSFERS.fetch_add(1, Ordering::Relaxed);
        let brought = tokio::select! {
            brought = self.take() => brought,
            error = ended => Err(error),
            () = abandoned(fetch, &state, size) => {
                let what = format!("every client that waited for {digest} disconnected");
                Err(RemoteError::new(RemoteErrorKind::Abandoned, what))
            }
        };
        TRANSFERS.fetch_sub(1, Ordering::Relaxed);
        if let Err(error) = &brought {
            let cause = error.source();
            tracing::warn!(%error, cause, digest = %self.digest, "failed to fetch content");
        }
        let end = match brought {
            Ok(()) => State::Whole,
            Err(error) => State::Failed(error.kind, error.to_string()),
        };
        Ended { _share: self.share, state: self.state, end }
    }

    async fn take(&mut self) -> Result<()> {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let (mut written, mut enough) = (0, 1);
        let mut batch = collect(&mut self.source.bytes, enough).await?;
        while !batch.is_empty() {
            let length: u64 = batch.iter().map(|piece| piece.len() as u64).sum();
            self.share.note(written + length)?;
            let file = Arc::clone(&self.file);
            let writing = spawn_blocking(move || {
                let mut at = written;
                for piece in batch {
                    hasher.update(&piece);
                    file.write_all_at(&piece, at)?;
                    at += piece.len() as u64;
                }
                Ok((hasher, at))
            });
            let share = MEMORY / TRANSFERS.load(Ordering::Relaxed).max(1);
            enough = (enough * 2).clamp(SECOND_BATCH, BATCH.min(share).max(SECOND_BATCH));
            // What comes next comes while this is written.
            let state = &self.state;
            let written_down = async {
                let done = writing.await.map_err(std::io::Error::other).flatten();
                let (hasher, written) = done.map_err(failed)?;
                state.send_replace(State::Came(written));
                Ok((hasher, written))
            };
            let next = collect(&mut self.source.bytes, enough);
            ((hasher, written), batch) = tokio::try_join!(written_down, next)?;
        }
        if written != self.source.size || hasher.finish() != self.digest.into() {
            let what = format!("the content at {} has another digest", self.digest);
            return Err(RemoteError::new(RemoteErrorKind::Invalid, what));
        }
        Ok(())
    }
}

/// Returns whether a client waits for it: a reader subscribes too.
fn is_awaited(fetch: &Arc<Fetch>, state: &watch::Sender<State>) -> bool {
    Arc::strong_count(fetch) > 1 || state.receiver_count() > 1
}

/// Ends when no client has waited for a while, and much of it is still to come.
async fn abandoned(fetch: &Arc<Fetch>, state: &watch::Sender<State>, size: u64) {
    let mut waited = Instant::now();
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let left = match *state.borrow() {
            State::Came(came) => size.saturating_sub(came),
            State::Whole | State::Failed(..) => 0,
        };
        let is_nearly_whole = left <= SMALL.max(MUCH.min(size / 10));
        if is_awaited(fetch, state) || is_nearly_whole {
            waited = Instant::now();
        } else if waited.elapsed() >= GRACE {
            return;
        }
    }
}

/// Collects so many bytes, or what is left; nothing at the end.
async fn collect(bytes: &mut ByteStream, enough: usize) -> Result<Vec<Bytes>> {
    let (mut batch, mut length) = (Vec::new(), 0);
    while length < enough {
        let Some(piece) = bytes.try_next().await? else { break };
        length += piece.len();
        batch.push(piece);
    }
    Ok(batch)
}

impl Ended {
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.end, State::Whole)
    }

    /// Reports the outcome to all readers.
    pub(super) fn end(self) {
        self.state.send_replace(self.end);
    }
}

impl Fetch {
    /// Returns whether it failed.
    pub(super) fn has_failed(&self) -> bool {
        matches!(*self.state.borrow(), State::Failed(..))
    }

    /// Returns how many bytes can be read now.
    pub(super) fn came(&self) -> u64 {
        match &*self.state.borrow() {
            State::Came(came) => (*came).min(self.size.saturating_sub(UNVERIFIED_TAIL)),
            State::Whole => self.size,
            State::Failed(..) => 0,
        }
    }

    /// Returns whether nothing of it can be read before it is whole.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        self.size <= UNVERIFIED_TAIL
    }

    /// Waits until it is whole.
    ///
    /// # Errors
    /// Why it will not be; [`RemoteErrorKind::TimedOut`]
    pub async fn whole(&self, limit: Duration) -> Result<()> {
        let mut state = self.state.clone();
        let whole = state.wait_for(|state| !matches!(state, State::Came(_)));
        let late =
            || RemoteError::new(RemoteErrorKind::TimedOut, "the content did not arrive in time");
        let ended = tokio::time::timeout(limit, whole).await.map_err(|_| late())?;
        match ended.map(|state| state.clone()) {
            Ok(State::Failed(kind, what)) => Err(RemoteError::new(kind, what)),
            Ok(_) => Ok(()),
            Err(_) => Err(gave_up()),
        }
    }

    /// Reads a range as it comes. The last bytes of the content are returned only when it is whole.
    #[must_use]
    pub fn read(&self, range: Range<u64>) -> ByteStream {
        let (reader, size) = (Reader::new(Arc::clone(&self.file)), self.size);
        let reading = (reader, self.state.clone(), range);
        try_unfold(reading, move |(reader, mut state, left)| async move {
            if left.is_empty() {
                return Ok(None);
            }
            let ready = state.wait_for(|state| match state {
                State::Came(came) => came.min(&size.saturating_sub(UNVERIFIED_TAIL)) > &left.start,
                State::Whole | State::Failed(..) => true,
            });
            let end = match ready.await.map(|state| state.clone()) {
                Ok(State::Came(came)) => came.min(size.saturating_sub(UNVERIFIED_TAIL)),
                Ok(State::Whole) => size,
                Ok(State::Failed(kind, what)) => return Err(RemoteError::new(kind, what)),
                Err(_) => return Err(gave_up()),
            };
            let piece = reader.read(left.start..end.min(left.end)).await.map_err(failed)?;
            let left = left.start + piece.len() as u64..left.end;
            Ok(Some((piece, (reader, state, left))))
        })
        .boxed()
    }
}

fn gave_up() -> RemoteError {
    RemoteError::new(RemoteErrorKind::Failed, "the fetch was given up")
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::super::in_flight_quota::InFlightQuota;
    use super::*;
    use crate::ipld::no_root;

    #[tokio::test]
    async fn a_full_disk_is_reported_as_such() {
        let bytes = Bytes::from_static(b"content");
        let digest = CanonicalDigest::of(&bytes);
        let size = bytes.len() as u64;
        let bytes = stream::iter([Ok(bytes)]).boxed();
        let source = RemoteFile { cid: no_root(), size, bytes };
        let file = File::options().read(true).write(true).open("/dev/full").unwrap();
        let share = InFlightQuota::new(size).share(no_root(), size).unwrap();
        let (fetch, fetching) = Fetching::begin(digest, source, Arc::new(file), share);
        let ended = fetching.receive(&fetch).await;
        assert!(!ended.is_whole(), "it would be kept");
        ended.end();
        assert!(fetch.has_failed());
        let reported = fetch.whole(Duration::from_mins(1)).await.unwrap_err();
        assert_eq!(reported.kind, RemoteErrorKind::Full);
        let read = fetch.read(0..size).try_next().await.unwrap_err();
        assert_eq!(read.kind, RemoteErrorKind::Full);
    }

    #[tokio::test]
    async fn the_first_piece_is_readable_before_the_second_one_has_come() {
        let piece = |length| Ok(Bytes::from(vec![7; length]));
        let (first, size) = (1000, 2 * UNVERIFIED_TAIL);
        let bytes = stream::iter([piece(first)]).chain(stream::pending()).boxed();
        let source = RemoteFile { cid: no_root(), size, bytes };
        let (fetch, fetching) = Fetching::begin(
            CanonicalDigest::of(b""),
            source,
            Arc::new(tempfile::tempfile().unwrap()),
            InFlightQuota::new(size).share(no_root(), size).unwrap(),
        );
        let claim = Arc::clone(&fetch);
        let receiving = tokio::spawn(async move { fetching.receive(&claim).await });
        let reported = fetch.read(0..size).try_next().await.unwrap().unwrap();
        assert_eq!(reported.len(), first);
        receiving.abort();
    }
}
