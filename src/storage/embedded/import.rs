//! Importing a file of a source folder: a hard link where that is possible, else a copy.
//!
//! What is read and compared is the link or the copy, at a path that no other process knows, so the bytes
//! that are stored are the bytes that were looked at.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;

use super::super::source::{is_ours, unreadable};
use super::super::{Result, SourceFolder, StorageError, StorageErrorKind, Taken, TreePath, files};
use super::layout::Layout;
use super::{content, progress};
use crate::oci::CanonicalDigest;

/// How much is copied at a time.
const PIECE: usize = 256 * 1024;

/// The permissions of a file that let others than its owner change it.
const OTHERS_WRITE: u32 = 0o022;

/// Takes a file in as content, durably.
pub(super) fn import(
    layout: &Layout,
    source: &SourceFolder,
    path: &TreePath,
    expected: &CanonicalDigest,
) -> Result<Taken> {
    let missing = || StorageError::new(StorageErrorKind::NotFound, path.to_string());
    let file = source.locate(path)?.ok_or_else(missing)?;
    // A pipe, say, is not to be linked.
    let from = files::open(&file).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => missing(),
        _ => unreadable(path, error),
    })?;
    let temporary = layout.temporary();
    let taken = take_by(layout, &file, from, path, &temporary, expected);
    files::remove_file(&temporary)?;
    taken
}

fn take_by(
    layout: &Layout,
    file: &Path,
    from: File,
    path: &TreePath,
    temporary: &Path,
    expected: &CanonicalDigest,
) -> Result<Taken> {
    let failed = |error| StorageError::io(format!("importing {path}"), error);
    let is_linked = link(file, temporary).map_err(failed)?;
    if !is_linked {
        copy(from, path, temporary)?;
    }
    let own = File::open(temporary);
    let finished = match own {
        Ok(own) => progress::identify(&own, layout).map(|finished| (own, finished)),
        Err(error) => Err(failed(error)),
    };
    let (own, mut finished) =
        finished.map_err(|error| if is_linked { blame(path, error) } else { error })?;
    let found = finished.content.canonical;
    if found != *expected {
        return Err(StorageError::new(StorageErrorKind::DigestMismatch, found.to_string()));
    }
    own.sync_all().map_err(|error| StorageError::io("syncing a copy", error))?;
    finished.is_replaced = content::keep(layout, &own, temporary, expected)?;
    Ok(Taken { finished, is_linked })
}

/// Links a file, if that can be done and no other user may change it; returns whether it is linked. What
/// counts is what the link is, since the file may be another one by then.
fn link(file: &Path, temporary: &Path) -> io::Result<bool> {
    if fs::hard_link(file, temporary).is_err() {
        return Ok(false);
    }
    let metadata = fs::symlink_metadata(temporary)?;
    let is_own = metadata.is_file() && metadata.uid() == geteuid().as_raw();
    if is_own && metadata.mode() & OTHERS_WRITE == 0 {
        return Ok(true);
    }
    fs::remove_file(temporary)?;
    Ok(false)
}

fn copy(mut from: File, path: &TreePath, temporary: &Path) -> Result<()> {
    let failed = |error| StorageError::io(format!("copying {path}"), error);
    let mut to = File::create_new(temporary).map_err(failed)?;
    let mut buffer = vec![0; PIECE];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(size) => to.write_all(&buffer[..size]).map_err(failed)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(path, error)),
        }
    }
}

/// As [`unreadable`], of what reading a link to the file came to.
fn blame(path: &TreePath, error: StorageError) -> StorageError {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    if error.is_retryable() || cause.is_none_or(is_ours) {
        return error;
    }
    StorageError::new(StorageErrorKind::Damaged, format!("{path}: {error}"))
}
