//! Reading and listing folders of the machine as places of a tree.

use std::ffi::OsString;
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;

use super::{Kind, Result, StorageError, StorageErrorKind, TreePath};

/// Reads the small file of that place; none if there is no file.
pub(super) fn read(file: &Path, place: &TreePath, limit: u64) -> Result<Option<Bytes>> {
    let read = File::open(file).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match read {
        Ok(bytes) if bytes.len() as u64 > limit => Err(StorageError::new(
            StorageErrorKind::Damaged,
            format!("{place} has more than {limit} bytes"),
        )),
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if is_absent(&error) || error.kind() == io::ErrorKind::IsADirectory => Ok(None),
        Err(error) => Err(StorageError::io(format!("reading {place}"), error)),
    }
}

/// Lists the directory of that place, sorted bytewise; none if there is no directory. `look` says
/// what an entry is.
pub(super) fn list(
    folder: &Path,
    place: &TreePath,
    look: fn(&DirEntry) -> io::Result<Metadata>,
) -> Result<Option<Vec<(String, Kind)>>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(None),
        entries => entries,
    };
    let listed: io::Result<Vec<(String, Kind)>> = entries.and_then(|entries| {
        let mut listed = Vec::new();
        for entry in entries {
            let entry = entry?;
            let metadata = match look(&entry) {
                // Removed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            let kind = if metadata.is_dir() { Kind::Directory } else { Kind::File(metadata.len()) };
            listed.push((name_of(entry.file_name())?, kind));
        }
        Ok(listed)
    });
    let mut listed = listed.map_err(|error| StorageError::io(format!("listing {place}"), error))?;
    listed.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    Ok(Some(listed))
}

pub(super) fn name_of(name: OsString) -> io::Result<String> {
    name.into_string().map_err(|name| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} is not UTF-8", name.display()))
    })
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
