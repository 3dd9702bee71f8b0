//! Files that are not finished: what they have is gone on with, by one process at a time.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::error::{ImageError, Result};
use crate::oci::{Digest, Hasher};

/// How much is hashed at a time.
const PIECE: usize = 256 * 1024;

/// How often, and for how long at the least, a folder is made that goes again: another process that removes it may be the
/// faster one many times in a row.
const TRIES: usize = 1000;
const TRYING: Duration = Duration::from_secs(1);

/// A file that is not finished. Only this process writes to it.
pub(super) struct PartFile {
    path: PathBuf,
    file: Arc<File>,
}

impl PartFile {
    /// Opens a file for writing, made if it is not there. Waits for another process that writes to it. Blocks.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::open_after(path, || Ok(()))
    }

    /// The same in a folder that another process may remove when it is empty, made if it is not there. Blocks.
    pub(super) fn open_with_folder(path: &Path) -> Result<Self> {
        let (begun, mut tries) = (Instant::now(), 0);
        loop {
            tries += 1;
            let folder = || path.parent().map_or(Ok(()), fs::create_dir_all);
            match Self::open_after(path, folder) {
                // It went between the two.
                Err(ImageError::File { source, .. })
                    if matches!(
                        source.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists
                    ) && (tries < TRIES || begun.elapsed() < TRYING) => {}
                opened => return opened,
            }
        }
    }

    fn open_after(path: &Path, prepare: impl Fn() -> io::Result<()>) -> Result<Self> {
        let opened = || -> io::Result<File> {
            loop {
                prepare()?;
                let mut options = File::options();
                options.read(true).write(true).create(true).truncate(false);
                // A link could lead anywhere.
                let flags = OFlags::NOFOLLOW.bits().cast_signed();
                let file = options.custom_flags(flags).open(path)?;
                file.lock()?;
                // The other process may have renamed or removed it meanwhile.
                let (own, named) = (file.metadata()?, fs::metadata(path));
                if named.is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino())) {
                    return Ok(file);
                }
            }
        };
        let file = opened().map_err(ImageError::writing(path))?;
        Ok(Self { path: path.to_owned(), file: Arc::new(file) })
    }

    /// Returns the open file.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Gives the file its name, once its bytes are on the disk. Blocks.
    pub(super) fn finish(self, name: &Path) -> Result<()> {
        let finished = (|| {
            self.file.sync_all()?;
            fs::rename(&self.path, name)
        })();
        finished.map_err(ImageError::writing(name))
    }

    /// Removes it. Blocks.
    pub(super) fn remove(self) {
        // What is left over is gone on with, or replaced.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes a file that has no name: it is gone when it is closed, however the process ends. Blocks.
pub(super) fn unnamed() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("roadstead-{}", uuid::Uuid::new_v4()));
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Hashes so many bytes of a file from there on. Blocks.
pub(super) fn hash(file: &mut impl Read, mut hasher: Hasher, length: u64) -> io::Result<Hasher> {
    let mut buffer = vec![0; PIECE];
    let mut file = file.take(length);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    if file.limit() > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(hasher)
}

/// Tells whether a file is a whole blob. Blocks.
pub(super) fn is_whole(path: &Path, digest: &Digest, size: u64) -> io::Result<bool> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        metadata => metadata?,
    };
    if !metadata.is_file() || metadata.len() != size {
        return Ok(false);
    }
    let hasher = hash(&mut File::open(path)?, Hasher::new(digest.algorithm()), size)?;
    Ok(hasher.finish() == *digest)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tempfile::TempDir;

    use super::*;

    /// As another transfer into the same layout does it, when it is finished.
    #[test]
    fn a_folder_that_is_removed_meanwhile_is_made_again() {
        let folder = TempDir::new().unwrap();
        let parts = folder.path().join(".parts");
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = fs::remove_dir(&parts);
                }
            });
            let open = |_| PartFile::open_with_folder(&parts.join("part")).map(PartFile::remove);
            let failure = (0..2000).map(open).find_map(Result::err);
            is_over.store(true, Ordering::Relaxed);
            assert!(failure.is_none(), "{failure:?}");
        });
        assert!(PartFile::open(&folder.path().join("no/part")).is_err());
    }
}
