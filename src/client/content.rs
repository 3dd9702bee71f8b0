//! What is pushed: bytes in memory, a file, or a blob of another repository. Any part of it can be sent again.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt, future};
use tokio::task::spawn_blocking;

use crate::oci::{Algorithm, Digest, Hasher};
use crate::reader;

/// How much is given to the connection at a time.
const PIECE: usize = 128 * 1024;

/// Content to be pushed. It is not changed while it is pushed.
#[derive(Debug, Clone)]
pub struct Content {
    source: Source,
    size: u64,
    observer: Option<Observer>,
}

#[derive(Debug, Clone)]
enum Source {
    Bytes(Bytes),
    /// A file from that byte on.
    File(Arc<File>, u64),
    Opener(Opener),
}

/// Begins to read a range of content.
type Open = dyn Fn(Range<u64>) -> BoxStream<'static, io::Result<Bytes>> + Send + Sync;

#[derive(Clone)]
struct Opener(Arc<Open>);

/// What is called with each piece that is read, and where it begins.
type Observe = dyn Fn(u64, &Bytes) + Send + Sync;

#[derive(Clone)]
struct Observer(Arc<Observe>);

impl fmt::Debug for Opener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Opener")
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Observer")
    }
}

impl Content {
    /// Opens a file. What is appended to it later is not sent.
    ///
    /// ```
    /// use roadstead::client::Content;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let content = Content::open("Cargo.toml").await?;
    /// assert!(content.size() > 0);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the file system; [`io::ErrorKind::IsADirectory`] for a folder.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        let opening = spawn_blocking(move || {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let source = Source::File(Arc::new(file), 0);
            Ok(Self { source, size: metadata.len(), observer: None })
        });
        opening.await.map_err(io::Error::other).flatten()
    }

    /// Takes a range of an open file, such as an entry of an archive. The range lies within the file.
    pub(crate) fn of_file(file: Arc<File>, range: Range<u64>) -> Self {
        let (source, size) = (Source::File(file, range.start), range.end - range.start);
        Self { source, size, observer: None }
    }

    /// Takes what is read anew from where a transfer goes on: `open` is called with the range that is needed.
    pub(crate) fn opened_by(
        size: u64,
        open: impl Fn(Range<u64>) -> BoxStream<'static, io::Result<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self { source: Source::Opener(Opener(Arc::new(open))), size, observer: None }
    }

    /// Has a function called with each piece that is read, and the offset at which it begins. What is sent again is
    /// read again.
    pub(crate) fn observed(self, observe: impl Fn(u64, &Bytes) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Observer(Arc::new(observe))), ..self }
    }

    /// Reads it from that byte on.
    pub(crate) fn read_from(&self, offset: u64) -> BoxStream<'static, io::Result<Bytes>> {
        self.part(offset.min(self.size)..self.size).pieces()
    }

    /// Returns the size in bytes.
    ///
    /// ```
    /// use roadstead::client::Content;
    ///
    /// assert_eq!(Content::from("hello").size(), 5);
    /// ```
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads all of it, and returns its digest.
    ///
    /// ```
    /// use roadstead::client::Content;
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let digest = Content::from("hello").digest(Algorithm::Sha256).await?;
    /// assert_eq!(digest, Digest::of(Algorithm::Sha256, b"hello"));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the file.
    pub async fn digest(&self, algorithm: Algorithm) -> io::Result<Digest> {
        let mut hasher = Hasher::new(algorithm);
        let mut pieces = self.part(0..self.size).pieces();
        while let Some(piece) = pieces.try_next().await? {
            hasher = spawn_blocking(move || {
                hasher.update(&piece);
                hasher
            })
            .await
            .map_err(io::Error::other)?;
        }
        Ok(hasher.finish())
    }

    /// Returns a part, which lies within the content.
    pub(super) fn part(&self, range: Range<u64>) -> Part {
        Part { source: self.source.clone(), range, observer: self.observer.clone() }
    }
}

impl<T: Into<Bytes>> From<T> for Content {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Self { size: bytes.len() as u64, source: Source::Bytes(bytes), observer: None }
    }
}

/// A part of content.
#[derive(Debug, Clone)]
pub(super) struct Part {
    source: Source,
    range: Range<u64>,
    observer: Option<Observer>,
}

impl Part {
    pub(super) fn length(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Returns it as the body of a request, which notes how far it has come.
    pub(super) fn body(&self, progress: &Arc<Progress>) -> reqwest::Body {
        Streamed(self.pieces()).body(progress)
    }

    fn pieces(&self) -> BoxStream<'static, io::Result<Bytes>> {
        let pieces = self.unobserved();
        let Some(Observer(observe)) = self.observer.clone() else { return pieces };
        let mut offset = self.range.start;
        let observed = pieces.inspect_ok(move |piece| {
            observe(offset, piece);
            offset += piece.len() as u64;
        });
        observed.boxed()
    }

    fn unobserved(&self) -> BoxStream<'static, io::Result<Bytes>> {
        let bytes = match &self.source {
            Source::File(file, start) => {
                let range = start + self.range.start..start + self.range.end;
                return reader::stream(Arc::clone(file), range).boxed();
            }
            Source::Opener(Opener(open)) => {
                return exactly(self.length(), open(self.range.clone()));
            }
            Source::Bytes(bytes) => bytes.clone(),
        };
        let position = |offset| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let mut rest = bytes.slice(position(self.range.start)..position(self.range.end));
        let pieces = std::iter::from_fn(move || {
            let piece = rest.split_to(rest.len().min(PIECE));
            (!piece.is_empty()).then_some(Ok(piece))
        });
        stream::iter(pieces).boxed()
    }
}

/// Ends a stream after so many bytes, and fails it if it has fewer.
fn exactly(
    length: u64,
    pieces: BoxStream<'static, io::Result<Bytes>>,
) -> BoxStream<'static, io::Result<Bytes>> {
    let mut left = length;
    let end = stream::once(future::ready(Ok(Bytes::new())));
    let counted = pieces.chain(end).try_filter_map(move |mut piece| {
        if piece.is_empty() && left > 0 {
            return future::ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= piece.len() as u64;
        future::ready(Ok(Some(piece).filter(|piece| !piece.is_empty())))
    });
    counted.boxed()
}

/// A stream, which can be sent once.
pub(super) struct Streamed(pub(super) BoxStream<'static, io::Result<Bytes>>);

impl Streamed {
    pub(super) fn body(self, progress: &Arc<Progress>) -> reqwest::Body {
        let progress = Arc::clone(progress);
        reqwest::Body::wrap_stream(self.0.map(move |piece| progress.note(piece)))
    }
}

/// When the connection last took a piece of a body, and why there is no next one.
pub(super) struct Progress(Mutex<(Instant, Option<io::Error>)>);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Mutex::new((Instant::now(), None)))
    }

    /// Notes that a piece was taken. Of a failure the connection gets the text alone.
    fn note(&self, piece: io::Result<Bytes>) -> io::Result<Bytes> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = Instant::now();
        piece.map_err(|error| {
            let text = io::Error::new(error.kind(), error.to_string());
            state.1 = Some(error);
            text
        })
    }

    pub(super) fn last(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.take()
    }
}
