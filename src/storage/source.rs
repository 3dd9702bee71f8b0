//! A folder of the machine in the layout of a tree that is not the storage's own: it is read, and
//! nothing in it is ever changed.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{Kind, Result, StorageError, TreePath, files};

/// Somebody's tree.
#[derive(Debug, Clone)]
pub struct SourceFolder {
    folder: PathBuf,
    /// The place of the tree that `folder` stands for.
    place: TreePath,
}

impl SourceFolder {
    /// Takes a folder for a tree; or, where there is nothing at `place` in it, for that place of one.
    #[must_use]
    pub fn new(folder: &Path, place: TreePath) -> Self {
        if folder.join(place.as_str()).is_dir() {
            return Self { folder: folder.to_owned(), place: TreePath::root() };
        }
        Self { folder: folder.to_owned(), place }
    }

    /// Where the file or directory of that path is; nowhere if it is not in the folder.
    pub(super) fn find(&self, path: &TreePath) -> Option<PathBuf> {
        Some(self.folder.join(Path::new(path.as_str()).strip_prefix(self.place.as_str()).ok()?))
    }

    /// As [`super::Storage::read`].
    ///
    /// # Errors
    /// As there.
    pub async fn read(&self, path: &TreePath, limit: u64) -> Result<Option<Bytes>> {
        let Some(file) = self.find(path) else { return Ok(None) };
        let path = path.clone();
        blocking(move || files::read(&file, &path, limit)).await
    }

    /// As [`super::Storage::list`]; symbolic links are followed.
    ///
    /// # Errors
    /// As there.
    pub async fn list(&self, path: &TreePath) -> Result<Option<Vec<(String, Kind)>>> {
        let Some(folder) = self.find(path) else { return Ok(None) };
        let path = path.clone();
        blocking(move || files::list(&folder, &path, |entry| fs::metadata(entry.path()))).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(StorageError::io("a task of the storage ended early", std::io::Error::other(error)))
    })
}
