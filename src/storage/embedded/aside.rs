//! Forgotten content on its way out: it is set aside by a rename, which takes no time, and removed later, which may.

use std::fs;
use std::io;
use std::path::Path;

use super::super::{Result, StorageError, files};

/// Where it is until it is removed.
pub(super) const FOLDER: &str = "tmp/forgotten";

/// Takes a file away from where it is; one that is absent is no error.
pub(super) fn take(data: &Path, file: &Path) -> Result<()> {
    let name = uuid::Uuid::new_v4().simple().to_string();
    match fs::rename(file, data.join(FOLDER).join(name)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !file.exists() => Ok(()),
        // On a full disk there may be no space for another name.
        Err(_) => files::remove_file(file),
    }
}

/// Removes all that was taken away.
pub(super) fn remove(data: &Path) -> Result<()> {
    let folder = data.join(FOLDER);
    let names = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names,
    };
    let failed = |error| StorageError::io(format!("removing files of {}", folder.display()), error);
    for entry in names.map_err(failed)? {
        files::remove_file(&entry.map_err(failed)?.path())?;
    }
    Ok(())
}
