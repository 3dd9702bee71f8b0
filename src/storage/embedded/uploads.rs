//! The files of unfinished ingests in a data folder whose registry cannot be opened.

use std::path::Path;
use std::time::SystemTime;
use std::{fs, io};

/// Where they stand in the data folder.
pub(super) const FOLDER: &str = "tmp/uploads";

/// What ends the name of the file with the digests of an ingest's leaves.
pub(super) const LEAVES: &str = ".leaves";

/// The file of an unfinished ingest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadFile {
    /// The name of the ingest.
    pub id: String,
    /// How long it is.
    pub bytes: u64,
    /// When it was written to last.
    pub touched: SystemTime,
}

/// Lists the files of unfinished ingests in a data folder, in the order of their names.
///
/// # Errors
/// When the folder cannot be read.
pub(in super::super) fn list(data: &Path) -> io::Result<Vec<UploadFile>> {
    let mut found = Vec::new();
    for file in fs::read_dir(data.join(FOLDER))? {
        let file = file?;
        let Ok(id) = file.file_name().into_string() else { continue };
        if id.ends_with(LEAVES) {
            continue;
        }
        let about = match file.metadata() {
            // It has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            about => about?,
        };
        found.push(UploadFile { id, bytes: about.len(), touched: about.modified()? });
    }
    found.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(found)
}

/// Removes the files of an unfinished ingest. Repeating it succeeds.
///
/// # Errors
/// When they cannot be removed.
pub(in super::super) fn remove(data: &Path, id: &str) -> io::Result<()> {
    let folder = data.join(FOLDER);
    [format!("{id}{LEAVES}"), id.to_owned()].iter().try_for_each(|name| {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    })
}
