//! Space that is reserved while there is some, so that a collection can empty a full disk: the index needs a little of it to
//! note what goes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use super::super::{Result, StorageError};

/// How much of it.
const BYTES: u64 = 4 * 1024 * 1024;

/// Below how many times as much free space none is reserved.
const PART: u64 = 4;

fn path(data: &Path) -> PathBuf {
    data.join("tmp/reserve")
}

/// Reserves space, unless that is done; where it is scarce or cannot be reserved, there is none.
pub(super) fn take(data: &Path) {
    let reserved = || {
        if fs::metadata(path(data)).is_ok_and(|found| found.len() == BYTES) {
            return Ok(());
        }
        let disk = rustix::fs::statvfs(data)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < BYTES * PART {
            return Ok(());
        }
        let file = File::create(path(data))?;
        Ok::<(), io::Error>(fallocate(&file, FallocateFlags::empty(), 0, BYTES)?)
    };
    if let Err(error) = reserved() {
        tracing::debug!(%error, "failed to reserve space");
        // Half of it serves nothing.
        let _ = fs::remove_file(path(data));
    }
}

/// Gives it back; returns whether there was any.
pub(super) fn release(data: &Path) -> Result<bool> {
    match fs::remove_file(path(data)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StorageError::io("giving back reserved space".to_owned(), error)),
    }
}
