//! Taking in a file of somebody's folder: a hard link where that is possible, else a copy.
//!
//! What is read and compared is the link or the copy, in a place that nobody else knows, so the bytes
//! that are kept are the bytes that were looked at.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;

use super::super::{Result, SourceFolder, StorageError, StorageErrorKind, Taken, TreePath};
use super::{Layout, folder, progress};
use crate::oci::CanonicalDigest;

/// How much is copied at a time.
const PIECE: usize = 256 * 1024;

/// Takes a file in as content, durably.
pub(super) fn take(
    layout: &Layout,
    source: &SourceFolder,
    path: &TreePath,
    expected: &CanonicalDigest,
) -> Result<Taken> {
    let missing = || StorageError::new(StorageErrorKind::NotFound, path.to_string());
    let file = source.find(path).ok_or_else(missing)?;
    let metadata = fs::metadata(&file).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => missing(),
        _ => unreadable(path, &error),
    })?;
    // Opening a pipe would wait for somebody to write to it.
    if !metadata.is_file() {
        return Err(unreadable(path, &io::Error::other("it is no file")));
    }
    let temporary = layout.temporary();
    let taken = take_by(layout, &file, path, &temporary, expected);
    folder::remove_file(&temporary)?;
    taken
}

fn take_by(
    layout: &Layout,
    file: &Path,
    path: &TreePath,
    temporary: &Path,
    expected: &CanonicalDigest,
) -> Result<Taken> {
    let is_linked = link(file, temporary);
    if !is_linked {
        copy(file, path, temporary)?;
    }
    let own = File::open(temporary).map_err(|error| unreadable(path, &error))?;
    let finished = progress::identify(&own, layout).map_err(|error| {
        if error.is_retryable() {
            return error;
        }
        StorageError::new(StorageErrorKind::Damaged, format!("{path}: {error}"))
    })?;
    let found = finished.content.canonical;
    if found != *expected {
        return Err(StorageError::new(StorageErrorKind::DigestMismatch, found.to_string()));
    }
    own.sync_all().map_err(|error| StorageError::io("syncing a copy", error))?;
    folder::keep(layout, temporary, expected)?;
    Ok(Taken { finished, is_linked })
}

/// Links a file, if that can be done and it belongs to this user: what belongs to somebody else could
/// be changed by them, and the system may refuse further links to it.
fn link(file: &Path, temporary: &Path) -> bool {
    let is_own = fs::symlink_metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.uid() == geteuid().as_raw());
    is_own && fs::hard_link(file, temporary).is_ok()
}

fn copy(file: &Path, path: &TreePath, temporary: &Path) -> Result<()> {
    let failed = |error| StorageError::io(format!("copying {path}"), error);
    let mut from = File::open(file).map_err(|error| unreadable(path, &error))?;
    let mut to = File::create_new(temporary).map_err(failed)?;
    let mut buffer = vec![0; PIECE];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(size) => to.write_all(&buffer[..size]).map_err(failed)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(path, &error)),
        }
    }
}

fn unreadable(path: &TreePath, error: &io::Error) -> StorageError {
    StorageError::new(StorageErrorKind::Damaged, format!("{path}: {error}"))
}
