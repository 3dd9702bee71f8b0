//! The trees as folders: applying edits, reading and listing.

use std::fs::{self, DirEntry, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{AtFlags, CWD, linkat};
use rustix::io::Errno;

use super::super::edit::linked;
use super::super::{Content, Edit, Finished, Kind, Result, StorageError, TreePath, files};
use super::{Layout, progress};
use crate::oci::{CanonicalDigest, TreeId};

/// How many bytes of two files are compared at a time.
const PIECE: usize = 256 * 1024;

/// Applies one edit; a reader meets what stood there before or what stands there after.
pub(super) fn apply(layout: &Layout, tree: TreeId, edit: &Edit) -> Result<()> {
    let root = layout.tree(tree);
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

/// Keeps a finished file, which is open and stands at `path`, as content: linked under its digest,
/// durably, before its own name goes. What is linked is the open file, whatever stands at the path by
/// then. Where the content is there already, the new file is dropped; but other bytes are not that content,
/// and give way. Returns whether they did.
pub(super) fn keep(
    layout: &Layout,
    file: &File,
    path: &Path,
    digest: &CanonicalDigest,
) -> Result<bool> {
    let target = layout.content(digest);
    let stored = match link_open(file, path, &target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => has_same_bytes(file, &target)
            .and_then(|same| {
                if same {
                    return Ok(false);
                }
                let temporary = layout.temporary();
                link_open(file, path, &temporary)?;
                fs::rename(&temporary, &target)?;
                tracing::warn!(%digest, "replaced damaged content");
                Ok(true)
            }),
        linked => linked.map(|()| false),
    };
    // Also where another upload came first: it may not have synced the directory yet.
    stored
        .and_then(|replaced| sync_parent(&target).map(|()| replaced))
        .and_then(|replaced| fs::remove_file(path).map(|()| replaced))
        .map_err(|error| StorageError::io(format!("storing {digest}"), error))
}

/// Makes `target` a hard link to an open file that stands at `path`.
fn link_open(file: &File, path: &Path, target: &Path) -> io::Result<()> {
    let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
    match linkat(CWD, &opened, CWD, target, AtFlags::SYMLINK_FOLLOW) {
        // Where there is no /proc, the path has to lead to the file.
        Err(Errno::NOENT) if !Path::new(&opened).exists() => {
            let (open, found) = (file.metadata()?, fs::symlink_metadata(path)?);
            if open.ino() != found.ino() || open.dev() != found.dev() {
                return Err(io::ErrorKind::NotFound.into());
            }
            fs::hard_link(path, target)
        }
        linked => Ok(linked?),
    }
}

/// Compares a file with what stands at a path. What cannot be read there is not the same.
fn has_same_bytes(file: &File, path: &Path) -> io::Result<bool> {
    let found = match File::open(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
        Err(_) => return Ok(false),
    };
    let (own, other) = (file.metadata()?, found.metadata()?);
    if own.ino() == other.ino() && own.dev() == other.dev() {
        return Ok(true);
    }
    if own.len() != other.len() {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (vec![0; PIECE], vec![0; PIECE]);
    let mut position = 0;
    while position < own.len() {
        let size = usize::try_from(own.len() - position).map_or(PIECE, |left| left.min(PIECE));
        file.read_exact_at(&mut ours[..size], position)?;
        if found.read_exact_at(&mut theirs[..size], position).is_err()
            || ours[..size] != theirs[..size]
        {
            return Ok(false);
        }
        position += size as u64;
    }
    Ok(true)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
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
pub(super) fn names(folder: &PathBuf) -> Result<Vec<String>> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| files::name_of(entry?.file_name())).collect())
        .map_err(|error| StorageError::io(format!("listing {}", folder.display()), error))
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
