//! How values stand in columns: digests, names and tags as text, CIDs as bytes, sizes as signed
//! numbers. What does not read back is damage.

use std::error::Error;
use std::str::FromStr;

use cid::Cid;

use super::{IndexError, IndexErrorKind, Result};

/// Reads a value that stands as text.
pub(super) fn parsed<T>(text: &str) -> Result<T>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    text.parse().map_err(|error| damaged("reading a stored name", error))
}

/// Reads a CID.
pub(super) fn cid(bytes: &[u8]) -> Result<Cid> {
    Cid::try_from(bytes).map_err(|error| damaged("reading a stored CID", error))
}

/// Reads a size or an offset.
pub(super) fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|error| damaged("reading a stored size", error))
}

/// Converts a size or an offset to the type of a column.
pub(super) fn signed(number: u64) -> Result<i64> {
    i64::try_from(number)
        .map_err(|error| IndexError::new(IndexErrorKind::Failed, "storing a size", error))
}

/// The error of a row that does not read back.
pub(super) fn damaged(
    doing: &'static str,
    cause: impl Into<Box<dyn Error + Send + Sync>>,
) -> IndexError {
    IndexError::new(IndexErrorKind::Damaged, doing, cause)
}
