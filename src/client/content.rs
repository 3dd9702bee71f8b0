//! What is pushed: bytes in memory or a file, of which any part can be sent again.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
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
}

#[derive(Debug, Clone)]
enum Source {
    Bytes(Bytes),
    File(Arc<File>),
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
            Ok(Self { source: Source::File(Arc::new(file)), size: metadata.len() })
        });
        opening.await.map_err(io::Error::other).flatten()
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
        Part { source: self.source.clone(), range }
    }
}

impl<T: Into<Bytes>> From<T> for Content {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Self { size: bytes.len() as u64, source: Source::Bytes(bytes) }
    }
}

/// A part of content.
#[derive(Debug, Clone)]
pub(super) struct Part {
    source: Source,
    range: Range<u64>,
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
        let bytes = match &self.source {
            Source::File(file) => {
                return reader::stream(Arc::clone(file), self.range.clone()).boxed();
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

/// A stream, which can be sent once.
pub(super) struct Streamed(pub(super) BoxStream<'static, io::Result<Bytes>>);

impl Streamed {
    pub(super) fn body(self, progress: &Arc<Progress>) -> reqwest::Body {
        let progress = Arc::clone(progress);
        reqwest::Body::wrap_stream(self.0.map(move |piece| {
            progress.note(&piece);
            piece
        }))
    }
}

/// When the connection last took a piece of a body, and why there is no next one.
pub(super) struct Progress(Mutex<(Instant, Option<io::Error>)>);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Mutex::new((Instant::now(), None)))
    }

    fn note(&self, piece: &io::Result<Bytes>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = Instant::now();
        if let Err(error) = piece {
            state.1 = Some(io::Error::new(error.kind(), error.to_string()));
        }
    }

    pub(super) fn last(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.take()
    }
}
