//! A finished file becomes content: it is linked under its digest, durably.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, linkat};
use rustix::io::Errno;

use super::super::{Result, StorageError};
use super::layout::Layout;
use crate::oci::CanonicalDigest;

/// How many bytes of two files are compared at a time.
const PIECE: usize = 256 * 1024;

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

pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
