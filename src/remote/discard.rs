//! Removal of folders: they are renamed at once, and removed in the background.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The prefix of the names of folders that are being removed.
const PREFIX: &str = "discarded-";

/// Removes a folder, which need not exist; its content is removed in the background.
pub(super) fn discard(folder: &Path) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{PREFIX}{}-{number}", since.as_nanos());
    let gone = folder.with_file_name(name);
    match fs::rename(folder, &gone) {
        Ok(()) => remove_in_background(vec![gone]),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Removes what a process that ended early has left in a folder.
pub(super) fn remove_leftovers(folder: &Path) -> io::Result<()> {
    let mut leftovers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            leftovers.push(entry.path());
        }
    }
    if !leftovers.is_empty() {
        remove_in_background(leftovers);
    }
    Ok(())
}

fn remove_in_background(folders: Vec<std::path::PathBuf>) {
    let remove = move || {
        for folder in folders {
            if let Err(error) = fs::remove_dir_all(&folder) {
                tracing::warn!(%error, folder = %folder.display(), "failed to remove a folder");
            }
        }
    };
    // The rest is removed at the next start.
    if let Err(error) = std::thread::Builder::new().name("discard".to_owned()).spawn(remove) {
        tracing::warn!(%error, "failed to remove a folder");
    }
}
