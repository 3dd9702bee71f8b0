//! Writing a blob into a file, hashed on the way.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use futures_util::TryStreamExt;
use tokio::task::spawn_blocking;

use super::error::{ImageError, Result};
use crate::client::{ClientError, Content};
use crate::oci::{Descriptor, Digest, Hasher};

/// Where a blob is written, and what is there already.
pub(super) struct Begun {
    pub(super) file: Arc<File>,
    /// Where in the file the blob begins.
    pub(super) base: u64,
    /// How many of its bytes are there, and their hash.
    pub(super) offset: u64,
    pub(super) hasher: Hasher,
}

/// Writes what is missing of a blob. If the whole does not have its digest, and some of it was there before, it is
/// written anew from its beginning.
///
/// # Errors
/// [`ImageError::WrongBytes`] if it does not have its digest; those of the content and the file.
pub(super) async fn fill(begun: Begun, blob: &Descriptor, content: &Content) -> Result<()> {
    let Begun { file, base, offset, hasher } = begun;
    if write_from(&file, base, offset, hasher, blob, content).await? == blob.digest {
        return Ok(());
    }
    let hasher = Hasher::new(blob.digest.algorithm());
    if offset > 0 && write_from(&file, base, 0, hasher, blob, content).await? == blob.digest {
        return Ok(());
    }
    Err(ImageError::WrongBytes(blob.digest))
}

async fn write_from(
    file: &Arc<File>,
    base: u64,
    mut offset: u64,
    mut hasher: Hasher,
    blob: &Descriptor,
    content: &Content,
) -> Result<Digest> {
    let mut pieces = content.read_from(offset);
    loop {
        let piece = pieces.try_next().await.map_err(|error| unread(error, blob))?;
        let Some(piece) = piece else { return Ok(hasher.finish()) };
        let (file, at) = (Arc::clone(file), base + offset);
        offset += piece.len() as u64;
        let written = spawn_blocking(move || {
            hasher.update(&piece);
            file.write_all_at(&piece, at).map(|()| hasher)
        });
        let failed = ImageError::file(format!("cannot write {}", blob.digest));
        hasher = written.await.map_err(io::Error::other).flatten().map_err(failed)?;
    }
}

/// Returns why content cannot be read: what the registry said, or the file system.
fn unread(error: io::Error, blob: &Descriptor) -> ImageError {
    match error.downcast::<ClientError>() {
        Ok(error) => ImageError::Registry(error),
        Err(error) => ImageError::file(format!("cannot read {}", blob.digest))(error),
    }
}
