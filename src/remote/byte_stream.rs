//! Bytes of a foreign root as they come.

use std::pin::Pin;

use bytes::Bytes;
use cid::Cid;
use futures_util::{Stream, TryStreamExt};

use super::Result;

/// Bytes as they come; an error ends them, and what came before it is not the whole.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A file under a root.
pub struct File {
    /// Its root.
    pub cid: Cid,
    /// How long it is as a whole.
    pub size: u64,
    /// The requested part.
    pub bytes: ByteStream,
}

/// Reads all bytes, which the caller knows to be few.
///
/// # Errors
/// Those of the bytes.
pub async fn collect(bytes: ByteStream) -> Result<Bytes> {
    let all = bytes.try_fold(Vec::new(), async |mut all, piece| {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    Ok(all.await?.into())
}
