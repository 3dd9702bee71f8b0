//! The keys of an issuer in a file, read again when it changes.

use std::path::Path;

use super::super::watched_file::{FileKind, WatchedFile};
use super::key_set::{KeySet, LONGEST};

static KIND: FileKind<KeySet> =
    FileKind { name: "the keys of an issuer", limit: LONGEST as u64, parse: KeySet::parse };

/// A file with a set of keys.
pub(super) type KeyFile = WatchedFile<KeySet>;

/// Opens a file of keys; it has to be good now.
pub(super) fn open(path: &Path) -> Result<KeyFile, String> {
    WatchedFile::open(path, &KIND)
}
