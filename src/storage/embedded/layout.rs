//! Where everything stands in the data folder, and whether it can be written to.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::super::{Result, StorageError, StorageErrorKind, files};
use super::uploads;
use super::writers::Writers;
use crate::oci::{CanonicalDigest, TreeId};

/// Where everything stands in the data folder.
pub(super) struct Layout {
    pub(super) data: PathBuf,
    pub(super) writers: Writers,
}

impl Layout {
    pub(super) fn new(data: &Path) -> Self {
        Self { data: data.to_owned(), writers: Writers::default() }
    }

    pub(super) fn content(&self, digest: &CanonicalDigest) -> PathBuf {
        let hex = digest.hex();
        self.data.join("content/sha256").join(&hex[..2]).join(hex)
    }

    pub(super) fn upload(&self, id: &str) -> PathBuf {
        self.data.join(uploads::FOLDER).join(id)
    }

    /// The digests of the leaves that a checkpoint has left behind, 32 bytes each.
    pub(super) fn leaves(&self, id: &str) -> PathBuf {
        self.data.join(uploads::FOLDER).join(format!("{id}{}", uploads::LEAVES))
    }

    /// A file name of one use.
    pub(super) fn temporary(&self) -> PathBuf {
        self.data.join("tmp/files").join(uuid::Uuid::new_v4().simple().to_string())
    }

    pub(super) fn tree(&self, tree: TreeId) -> PathBuf {
        self.data.join(tree.as_str())
    }

    /// Writes a file and removes it again.
    pub(super) fn probe(&self) -> io::Result<()> {
        let path = self.temporary();
        let written = fs::write(&path, b"roadstead");
        let removed = fs::remove_file(&path);
        written.and(removed)
    }

    /// Links a file to wherever content is linked to. Mounts and some file systems forbid that
    /// although everything else works.
    pub(super) fn probe_links(&self) -> Result<()> {
        let source = self.temporary();
        let name = source.file_name().unwrap_or_default();
        let mut folders = vec![self.data.join("content/sha256/00")];
        folders.extend(TreeId::ALL.map(|tree| self.tree(tree)));
        let mut linked =
            fs::write(&source, b"roadstead").map_err(|error| unusable(&source, &error));
        for folder in &folders {
            let target = folder.join(name);
            linked = linked.and_then(|()| {
                fs::hard_link(&source, &target).and_then(|()| fs::remove_file(&target)).map_err(|error| {
                    let what = format!(
                        "cannot link files of {} to {} ({error}): both have to be on one file system with hard \
                         links",
                        self.data.display(),
                        folder.display()
                    );
                    StorageError::new(unusable_kind(&error), what)
                })
            });
        }
        files::remove_file(&source).and(linked)
    }
}

pub(super) fn unusable(path: &Path, error: &io::Error) -> StorageError {
    StorageError::new(unusable_kind(error), format!("{}: {error}", path.display()))
}

/// A lack of space passes; all else that prevents writing to a folder does not.
fn unusable_kind(error: &io::Error) -> StorageErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageErrorKind::Full,
        _ => StorageErrorKind::Unusable,
    }
}
