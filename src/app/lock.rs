//! The lock on a data folder: one process owns it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use super::{AppError, make_folder};

/// The lock, held until it is dropped or the process ends.
pub(super) struct DataLock {
    _file: File,
}

impl DataLock {
    /// Takes the lock, making the folder where it is missing.
    pub(super) fn take(data: &Path) -> Result<Self, AppError> {
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
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}
