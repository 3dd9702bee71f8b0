//! What keeps an image from being transferred.

use std::io;
use std::path::Path;

use thiserror::Error;

use crate::client::ClientError;
use crate::oci::{Descriptor, Digest, ManifestError};

/// What every operation of this room returns.
pub(crate) type Result<T> = std::result::Result<T, ImageError>;

/// A failure.
#[derive(Debug, Error)]
pub(crate) enum ImageError {
    /// A registry's, or that of the way to it.
    #[error(transparent)]
    Registry(#[from] ClientError),
    /// A file cannot be read or written.
    #[error("{context}: {source}")]
    File {
        /// What failed: `cannot read /images/app/index.json`.
        context: String,
        /// Why.
        source: io::Error,
    },
    /// What was read is not what it says, or what is said of it.
    #[error("{0}")]
    Unsound(String),
    /// What was written of a blob does not have its digest.
    #[error("the bytes do not have the digest {0}")]
    WrongBytes(Digest),
    /// The docker daemon's, or that of the way to it.
    #[error("{0}")]
    Daemon(String),
    /// The source has several images, or not the one that was named.
    #[error("{0}")]
    Choice(String),
}

impl ImageError {
    /// Makes an error of a file that cannot be read.
    pub(super) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::file(format!("cannot read {}", path.display()))
    }

    /// Makes an error of a file that cannot be written.
    pub(super) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::file(format!("cannot write {}", path.display()))
    }

    pub(super) fn file(context: String) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { context, source }
    }

    /// Makes an error of bytes that do not have their digest.
    pub(super) fn corrupt(source: &str, descriptor: &Descriptor) -> Self {
        let Descriptor { digest, .. } = descriptor;
        Self::Unsound(format!("cannot read {digest} of {source}: the bytes do not have the digest"))
    }

    /// Makes an error of a manifest that cannot be read.
    pub(super) fn manifest(name: &str, error: &ManifestError) -> Self {
        Self::Unsound(format!("cannot read manifest {name}: {error}"))
    }
}

/// Runs what may block on a thread for that.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ImageError::file("cannot go on".to_owned())(io::Error::other(error)))?
}
