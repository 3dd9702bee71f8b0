//! A folder of the machine in the layout of a tree that is not the storage's own: it is read, and
//! nothing in it is ever changed.

use std::fs::{self, DirEntry, File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;

use super::blocking::blocking;
use super::files::Listing;
use super::{Result, StorageError, StorageErrorKind, TreePath, files};

/// A tree of files to import. Links to files in it are followed; links to directories are only where they stand
/// for one of the directories that it was found by, since others may lead out of it or in a circle.
#[derive(Debug, Clone)]
pub struct SourceFolder {
    folder: PathBuf,
    /// The path in the tree that `folder` stands for.
    tree_path: TreePath,
    /// How many components the path of a directory has that it was found by.
    depth: usize,
}

impl SourceFolder {
    /// Takes a folder for a tree that has any of the directories `marks` at `tree_path`; or, where it
    /// has not, for that path of one. None if it has none of them itself.
    ///
    /// # Errors
    /// When that cannot be looked at.
    pub fn find(folder: &Path, tree_path: &TreePath, marks: &[&str]) -> Result<Option<Self>> {
        let depth = tree_path.components().count() + 1;
        for (base, stands_for) in [
            (folder.join(tree_path.as_str()), TreePath::root()),
            (folder.to_owned(), tree_path.clone()),
        ] {
            for mark in marks {
                match fs::metadata(base.join(mark)) {
                    Ok(metadata) if metadata.is_dir() => {
                        let folder = folder.to_owned();
                        return Ok(Some(Self { folder, tree_path: stands_for, depth }));
                    }
                    Err(error) if !files::is_absent(&error) => {
                        let what = format!("looking for {mark} in {}", base.display());
                        return Err(StorageError::io(what, error));
                    }
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    /// Where the file or directory of that path is; nowhere if it is not in the folder.
    ///
    /// # Errors
    /// [`StorageErrorKind::Damaged`] when a directory on the way is a link that is not followed.
    pub(super) fn locate(&self, path: &TreePath) -> Result<Option<PathBuf>> {
        let Ok(rest) = Path::new(path.as_str()).strip_prefix(self.tree_path.as_str()) else {
            return Ok(None);
        };
        let found = self.folder.join(rest);
        let count = path.components().count();
        let below: Vec<&Path> = found.ancestors().take(count.saturating_sub(self.depth)).collect();
        for ancestor in below.into_iter().rev() {
            // What it is that cannot be looked at, its reader says.
            let Ok(metadata) = fs::symlink_metadata(ancestor) else { break };
            if metadata.is_symlink() && ancestor.is_dir() {
                let what = format!("{}: {}", ancestor.display(), not_followed());
                return Err(StorageError::new(StorageErrorKind::Damaged, what));
            }
        }
        Ok(Some(found))
    }

    /// Opens a file, to be read piece by piece.
    ///
    /// # Errors
    /// [`StorageErrorKind::NotFound`] when there is none, [`StorageErrorKind::Damaged`] when it cannot be
    /// read.
    pub(super) async fn open(&self, path: &TreePath) -> Result<SourceFile> {
        let (source, path) = (self.clone(), path.clone());
        blocking(move || {
            let missing = || StorageError::new(StorageErrorKind::NotFound, path.to_string());
            let found = source.locate(&path)?.ok_or_else(missing)?;
            match files::open(&found) {
                Ok(file) => Ok(SourceFile { file: Arc::new(file), position: 0, path }),
                Err(error) if files::is_absent(&error) => Err(missing()),
                Err(error) => Err(unreadable(&path, error)),
            }
        })
        .await
    }

    /// As [`super::TreeStore::read`].
    ///
    /// # Errors
    /// As there; [`StorageErrorKind::Damaged`] also for what lies behind a link to a directory.
    pub async fn read(&self, path: &TreePath, limit: u64) -> Result<Option<Bytes>> {
        let (source, path) = (self.clone(), path.clone());
        blocking(move || match source.locate(&path)? {
            Some(file) => files::read(&file, &path, limit),
            None => Ok(None),
        })
        .await
    }

    /// Lists a directory; none if there is no directory. What goes while it is listed may be in the
    /// list or not.
    ///
    /// # Errors
    /// When the directory cannot be read, or lies behind a link to one.
    pub async fn list(&self, path: &TreePath) -> Result<Option<Listing>> {
        let (source, path) = (self.clone(), path.clone());
        blocking(move || match source.locate(&path)? {
            Some(folder) => files::list_each(&folder, &path, look),
            None => Ok(None),
        })
        .await
    }
}

/// A file of a folder, and how far it was read.
pub(super) struct SourceFile {
    file: Arc<File>,
    position: u64,
    path: TreePath,
}

impl SourceFile {
    /// Reads the next bytes, at most so many; none at the end.
    pub(super) async fn next(&mut self, size: usize) -> Result<Option<Bytes>> {
        let (file, position, path) = (Arc::clone(&self.file), self.position, self.path.clone());
        let bytes = blocking(move || {
            let mut bytes = vec![0; size];
            let read =
                file.read_at(&mut bytes, position).map_err(|error| unreadable(&path, error))?;
            bytes.truncate(read);
            Ok(Bytes::from(bytes))
        })
        .await?;
        self.position += bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some(bytes))
    }
}

/// Says that a file of the folder cannot be read, unless the fault is that of this process.
pub(super) fn unreadable(path: &TreePath, error: io::Error) -> StorageError {
    if is_ours(&error) {
        return StorageError::io(format!("opening {path}"), error);
    }
    StorageError::wrap(StorageErrorKind::Damaged, format!("{path}: {error}"), error)
}

/// Returns whether there was no descriptor for another open file, or no memory.
pub(super) fn is_ours(error: &io::Error) -> bool {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| ours.contains(&code))
}

fn look(entry: &DirEntry) -> io::Result<Metadata> {
    let metadata = fs::metadata(entry.path())?;
    if metadata.is_dir() && entry.file_type()?.is_symlink() {
        return Err(not_followed());
    }
    Ok(metadata)
}

fn not_followed() -> io::Error {
    io::Error::other("a link to a directory, which is not followed")
}
