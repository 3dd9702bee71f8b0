//! Folders of the machine: read and listed as paths of a tree, and what is removed outside of the trees.

use std::ffi::OsString;
use std::fs::{self, DirEntry, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bytes::Bytes;
use rustix::fs::OFlags;

use super::{Kind, Result, StorageError, StorageErrorKind, TreePath};

/// What a directory of a folder holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// What can be read, sorted bytewise.
    pub entries: Vec<(String, Kind)>,
    /// What cannot: its path, as far as it has one, and why.
    pub unreadable: Vec<(TreePath, StorageError)>,
}

/// Opens a file to read it. What is no file is an error of kind
/// [`InvalidInput`](io::ErrorKind::InvalidInput), also a pipe, whose opening would wait for a writer.
pub(super) fn open(file: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(file)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    Ok(file)
}

/// Reads the small file of that path; none if there is no file.
pub(super) fn read(file: &Path, tree_path: &TreePath, limit: u64) -> Result<Option<Bytes>> {
    let read = open(file).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match read {
        Ok(bytes) if bytes.len() as u64 > limit => Err(StorageError::new(
            StorageErrorKind::Damaged,
            format!("{tree_path} has more than {limit} bytes"),
        )),
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if is_absent(&error) || error.kind() == io::ErrorKind::IsADirectory => Ok(None),
        Err(error) => Err(StorageError::io(format!("reading {tree_path}"), error)),
    }
}

/// Lists the directory of that path, sorted bytewise; none if there is no directory. `look` says
/// what an entry is. An entry that cannot be read is an error of the whole.
pub(super) fn list(
    folder: &Path,
    tree_path: &TreePath,
    look: fn(&DirEntry) -> io::Result<Metadata>,
) -> Result<Option<Vec<(String, Kind)>>> {
    let Some(mut listing) = list_each(folder, tree_path, look)? else { return Ok(None) };
    match listing.unreadable.pop() {
        Some((_, error)) => Err(error),
        None => Ok(Some(listing.entries)),
    }
}

/// As [`list`], but an entry that cannot be read stands apart.
pub(super) fn list_each(
    folder: &Path,
    tree_path: &TreePath,
    look: fn(&DirEntry) -> io::Result<Metadata>,
) -> Result<Option<Listing>> {
    let failed = |error| StorageError::io(format!("listing {tree_path}"), error);
    let entries = match fs::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(None),
        entries => entries.map_err(failed)?,
    };
    let mut listing = Listing::default();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let kind = match look(&entry) {
            Ok(metadata) if metadata.is_dir() => Ok(Kind::Directory),
            Ok(metadata) => Ok(Kind::File(metadata.len())),
            // Removed since the directory was read; a link that leads nowhere is still there.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && entry.path().symlink_metadata().is_err() =>
            {
                continue;
            }
            Err(error) => Err(error),
        };
        match kind.and_then(|kind| Ok((name_of(entry.file_name())?, kind))) {
            Ok(entry) => listing.entries.push(entry),
            Err(error) => {
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = tree_path.child(&name).unwrap_or_else(|| tree_path.clone());
                let error = StorageError::io(format!("looking at {path}"), error);
                listing.unreadable.push((path, error));
            }
        }
    }
    listing.entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    listing.unreadable.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    Ok(Some(listing))
}

fn name_of(name: OsString) -> io::Result<String> {
    name.into_string().map_err(|name| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} is not UTF-8", name.display()))
    })
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Removes a file outside of the trees; one that is not there is removed.
pub(super) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::io(format!("removing {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

/// Removes whatever stands at a path outside of the trees.
pub(super) fn remove_all(path: &Path) -> Result<()> {
    if path.is_dir() {
        let removed = fs::remove_dir_all(path);
        return removed
            .map_err(|error| StorageError::io(format!("removing {}", path.display()), error));
    }
    remove_file(path)
}

/// Lists the names in a folder outside of the trees.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| name_of(entry?.file_name())).collect())
        .map_err(|error| StorageError::io(format!("listing {}", folder.display()), error))
}
