//! The trees as folders: applying edits, reading and listing.

use std::fs::{self, DirEntry, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytes::Bytes;

use super::super::edit::linked;
use super::super::{
    Content, Edit, Finished, Kind, Result, StorageError, TreeEdit, TreePath, files,
};
use super::content::sync_parent;
use super::layout::Layout;
use super::progress;
use crate::oci::{CanonicalDigest, TreeId};

/// Applies one edit; a reader meets what stood there before or what stands there after.
pub(super) fn apply(layout: &Layout, TreeEdit { tree, edit }: &TreeEdit) -> Result<()> {
    let root = layout.tree(*tree);
    let at = |path: &TreePath| root.join(path.as_str());
    let (path, applied) = match edit {
        Edit::Link { path, digest, cid, size } => {
            let content = linked(digest, cid, *size)?;
            (path, link(layout, &layout.content(&content.canonical), &at(path)))
        }
        Edit::Put { path, text } => (path, put(layout, &at(path), text.as_bytes())),
        Edit::Remove { path } => (path, remove(layout, &root, &at(path))),
    };
    applied.map_err(|error| {
        StorageError::io(format!("editing {path} in the {} tree", tree.as_str()), error)
    })
}

/// Makes `target` a hard link to `source`, unless it is one.
fn link(layout: &Layout, source: &Path, target: &Path) -> io::Result<()> {
    make_parents(target)?;
    match fs::hard_link(source, target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        done => return done,
    }
    if is_same_file(source, target)? {
        return Ok(());
    }
    replace(layout, source, target)
}

/// Makes `target`, which is another file, a hard link to `source`.
fn replace(layout: &Layout, source: &Path, target: &Path) -> io::Result<()> {
    let temporary = layout.temporary();
    fs::hard_link(source, &temporary)?;
    fs::rename(&temporary, target)
}

fn is_same_file(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::metadata(one)?, fs::metadata(other)?);
    Ok(one.ino() == other.ino() && one.dev() == other.dev())
}

/// Puts a file with those bytes at `target`, unless it is there.
fn put(layout: &Layout, target: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::read(target) {
        Ok(found) if found == bytes => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_parents(target)?,
        _ => {}
    }
    let temporary = layout.temporary();
    let placed = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, target));
    if placed.is_err() {
        // What matters is why it could not be placed; the rest goes at the next start.
        let _ = fs::remove_file(&temporary);
    }
    placed
}

fn make_parents(target: &Path) -> io::Result<()> {
    target.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Removes what stands at `target`, then each directory above it that this left empty.
fn remove(layout: &Layout, root: &Path, target: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_dir() => {
            // No reader may meet half of a directory.
            let temporary = layout.temporary();
            fs::rename(target, &temporary).and_then(|()| fs::remove_dir_all(&temporary))
        }
        Ok(_) => fs::remove_file(target),
        Err(error) => Err(error),
    };
    match removed {
        Err(error)
            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Err(error);
        }
        _ => {}
    }
    let mut folder = target.parent();
    while let Some(path) = folder.filter(|path| path.starts_with(root) && *path != root) {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => break,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => folder = path.parent(),
        }
    }
    Ok(())
}

pub(super) fn read(
    layout: &Layout,
    tree: TreeId,
    path: &TreePath,
    limit: u64,
) -> Result<Option<Bytes>> {
    files::read(&layout.tree(tree).join(path.as_str()), path, limit)
}

pub(super) fn list(
    layout: &Layout,
    tree: TreeId,
    path: &TreePath,
) -> Result<Option<Vec<(String, Kind)>>> {
    files::list(&layout.tree(tree).join(path.as_str()), path, DirEntry::metadata)
}

pub(super) fn identify(layout: &Layout, tree: TreeId, path: &TreePath) -> Result<Finished> {
    let file = layout.tree(tree).join(path.as_str());
    let failed = |error| StorageError::io(format!("reading {path}"), error);
    progress::identify(&File::open(&file).map_err(failed)?, layout)
}

pub(super) fn adopt(
    layout: &Layout,
    tree: TreeId,
    path: &TreePath,
    content: &Content,
) -> Result<()> {
    let file = layout.tree(tree).join(path.as_str());
    let target = layout.content(&content.canonical);
    let adopted = File::open(&file)
        .and_then(|file| file.sync_all())
        .and_then(|()| link(layout, &file, &target))
        .and_then(|()| sync_parent(&target));
    adopted.map_err(|error| StorageError::io(format!("storing {}", content.canonical), error))
}

pub(super) fn is_linked(
    layout: &Layout,
    tree: TreeId,
    path: &TreePath,
    content: &Content,
) -> Result<bool> {
    let file = layout.tree(tree).join(path.as_str());
    match is_same_file(&layout.content(&content.canonical), &file) {
        Err(error) if files::is_absent(&error) => Ok(false),
        same => same.map_err(|error| StorageError::io(format!("looking at {path}"), error)),
    }
}

pub(super) fn verify(layout: &Layout, canonical: &CanonicalDigest) -> Result<Content> {
    let file = File::open(layout.content(canonical))
        .map_err(|error| StorageError::io(format!("opening {canonical}"), error))?;
    Ok(progress::identify(&file, layout)?.content)
}
