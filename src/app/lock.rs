//! The lock on a data folder: one process owns it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::umask;

use super::AppError;

/// The lock, held until it is dropped or the process ends. Where it is dropped, its file names no process.
pub(super) struct DataLock {
    file: File,
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // If that fails the file keeps the number; the lock is released with the file in any case.
        let _ = self.file.set_len(0);
    }
}

impl DataLock {
    /// Takes the lock, making the folder where it is missing.
    pub(super) fn take(data: &Path) -> Result<Self, AppError> {
        hide_from_others();
        make_folder(data)?;
        let failed = |source| AppError::Folder { data: data.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(data.join("lock"))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let read = file.read_to_string(&mut owner).is_ok();
                let owner = Some(owner.trim().to_owned()).filter(|owner| read && !owner.is_empty());
                return Err(AppError::Locked { data: data.to_owned(), owner });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        match file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
            // The number only tells another process which one has the lock, which holds without it.
            Err(error) if error.kind() == ErrorKind::StorageFull => {}
            written => written.map_err(failed)?,
        }
        warn_if_open(data);
        Ok(Self { file })
    }
}

/// Has files that this process creates from now on hidden from other users: the index has keys, and images may
/// be private.
fn hide_from_others() {
    // There is no way to read the mask without setting it.
    let before = umask(Mode::RWXO);
    umask(before | Mode::RWXO);
}

/// Warns where other users can read the folder, as they can one that an earlier version or the operator made.
fn warn_if_open(data: &Path) {
    let mode = fs::metadata(data).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o007 != 0 {
        let data = data.display();
        tracing::warn!(%data, "other users of this machine can read the data folder: run `chmod 700 {data}`");
    }
}

/// Makes a folder, which is private, with what is above it.
fn make_folder(data: &Path) -> Result<(), AppError> {
    let make = || {
        if let Some(above) = data.parent() {
            fs::create_dir_all(above)?;
        }
        match DirBuilder::new().mode(0o700).create(data) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::create_dir_all(data),
            made => made,
        }
    };
    make().map_err(|source| AppError::Folder { data: data.to_owned(), source })
}
