//! The password file.

use std::path::Path;
use std::sync::Arc;

use super::super::super::passwords::Verified;
use super::super::super::watched_file::{FileKind, WatchedFile};
use super::users::Users;

/// How many bytes it may have: a million users.
const LONGEST: u64 = 128 * 1024 * 1024;

/// What one version of the file says, and which users have proven to be in it: none in a new version.
pub(super) struct Edition {
    /// The users.
    pub(super) users: Users,
    /// Whose password was right.
    pub(super) verified: Arc<Verified>,
}

static KIND: FileKind<Edition> =
    FileKind { name: "the password file", limit: LONGEST, parse: Edition::parse };

impl Edition {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(bytes).map_err(|error| error.to_string())?;
        Ok(Self { users: Users::parse(text)?, verified: Arc::default() })
    }
}

/// Opens a password file; it has to be good now.
pub(super) fn open(path: &Path) -> Result<WatchedFile<Edition>, String> {
    let file = WatchedFile::open(path, &KIND)?;
    if file.opened().users.len() == 0 {
        tracing::warn!(file = %path.display(), "the password file has no users");
    }
    Ok(file)
}
