//! The folder of what is kept, within its budget.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::kept::{Kept, KeptFile, digest_of};
use crate::oci::CanonicalDigest;

/// Content and who leads to it, by its digest.
pub(super) struct Shelf {
    folder: PathBuf,
    /// How many bytes are kept at the most.
    budget: u64,
    books: Mutex<Books>,
    /// Held by whoever reads a file to prove it.
    pub(super) turn: tokio::sync::Mutex<()>,
}

struct Books {
    /// How many bytes are kept.
    kept: u64,
    /// The files that this process has seen to be sound, as they were then.
    proved: HashMap<CanonicalDigest, Look>,
}

/// By which it is told that nobody has written to a file since.
type Look = (SystemTime, u64);

impl Books {
    /// Notes that a file that was proved is used now.
    fn note_use(&mut self, digest: &CanonicalDigest, file: &File) -> io::Result<()> {
        // Where the time cannot be set, what is used goes as if it were not.
        let _ = file.set_modified(SystemTime::now());
        self.proved.insert(*digest, look(&file.metadata()?)?);
        Ok(())
    }
}

impl Shelf {
    /// Opens the folder, removes what a crash left on its way, and makes what is there fit the budget.
    pub(super) fn open(folder: &Path, budget: u64) -> io::Result<Self> {
        let tmp = folder.join("tmp");
        if tmp.exists() {
            fs::remove_dir_all(&tmp)?;
        }
        for name in ["tmp", "sha256", "links"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let books = Mutex::new(Books { kept: 0, proved: HashMap::new() });
        let turn = tokio::sync::Mutex::default();
        let shelf = Self { folder: folder.to_owned(), budget, books, turn };
        let mut books = shelf.books();
        books.kept = shelf.files()?.iter().map(|(_, size, _)| size).sum();
        if books.kept > budget {
            shelf.evict(&mut books, None)?;
        }
        drop(books);
        shelf.forget_the_rest()?;
        Ok(shelf)
    }

    fn place(&self, kind: &str, digest: &CanonicalDigest) -> PathBuf {
        let hex = digest.hex();
        self.folder.join(kind).join(&hex[..2]).join(hex)
    }

    pub(super) fn temporary(&self, number: u64) -> PathBuf {
        self.folder.join("tmp").join(number.to_string())
    }

    /// Finds content, and notes that it was asked for.
    pub(super) fn find(self: &Arc<Self>, digest: &CanonicalDigest) -> Option<Kept> {
        let file = File::open(self.place("sha256", digest)).ok()?;
        let size = file.metadata().ok()?.len();
        let is_sound = AtomicBool::new(self.touch(digest, &file).ok()?);
        let file = Arc::new(file);
        let file = KeptFile { file, digest: *digest, shelf: Arc::clone(self), is_sound };
        Some(Kept { file: Arc::new(file), size })
    }

    /// Notes that a file is used now, and tells whether it is one that was proved.
    fn touch(&self, digest: &CanonicalDigest, file: &File) -> io::Result<bool> {
        let mut books = self.books();
        let is_proved = books.proved.get(digest) == Some(&look(&file.metadata()?)?);
        // Whoever proves the others has to tell whether somebody wrote to them meanwhile.
        if is_proved {
            books.note_use(digest, file)?;
        }
        Ok(is_proved)
    }

    /// Reads a file, and tells whether it is what its digest says; one that is not is removed.
    pub(super) fn prove(&self, digest: &CanonicalDigest, file: &File) -> io::Result<bool> {
        let before = look(&file.metadata()?)?;
        if self.books().proved.get(digest) == Some(&before) {
            return Ok(true);
        }
        if digest_of(file)? == *digest {
            let mut books = self.books();
            if look(&file.metadata()?)? == before {
                books.note_use(digest, file)?;
            }
            return Ok(true);
        }
        tracing::warn!(%digest, "what was kept is damaged: it is fetched again");
        let mut books = self.books();
        let place = self.place("sha256", digest);
        // Sound content may stand there meanwhile.
        let is_same = File::open(&place).and_then(|found| is_same_file(&found, file));
        if is_same.unwrap_or(false) {
            fs::remove_file(place)?;
            books.kept = books.kept.saturating_sub(before.1);
            books.proved.remove(digest);
        }
        Ok(false)
    }

    /// Tells whether a name was seen to lead to that content.
    pub(super) fn knows(&self, name: &str, digest: &CanonicalDigest) -> bool {
        self.link(name, digest).exists()
    }

    /// Notes that a name leads to that content.
    pub(super) fn note(&self, name: &str, digest: &CanonicalDigest) -> io::Result<()> {
        let link = self.link(name, digest);
        fs::create_dir_all(link.parent().expect("it stands below the folder"))?;
        File::create(link).map(drop)
    }

    fn link(&self, name: &str, digest: &CanonicalDigest) -> PathBuf {
        self.place("links", digest).join(CanonicalDigest::of(name.as_bytes()).hex())
    }

    /// Tells whether that content is kept.
    pub(super) fn has(&self, digest: &CanonicalDigest) -> bool {
        self.place("sha256", digest).exists()
    }

    /// Forgets who leads to content.
    pub(super) fn forget(&self, digest: &CanonicalDigest) {
        // What is left leads to nothing.
        let _ = fs::remove_dir_all(self.place("links", digest));
    }

    /// Keeps a file that was verified, and makes room for it.
    pub(super) fn keep(&self, path: &Path, digest: &CanonicalDigest) -> io::Result<()> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let place = self.place("sha256", digest);
        fs::create_dir_all(place.parent().expect("it stands below the folder"))?;
        let mut books = self.books();
        let replaced = fs::metadata(&place).map_or(0, |about| about.len());
        fs::rename(path, &place)?;
        books.note_use(digest, &file)?;
        books.kept = books.kept.saturating_sub(replaced) + size;
        if books.kept > self.budget {
            self.evict(&mut books, Some(digest))?;
        }
        Ok(())
    }

    /// Removes what was asked for longest ago, until a tenth of the room is free or but the newest is left.
    fn evict(&self, books: &mut Books, newest: Option<&CanonicalDigest>) -> io::Result<()> {
        let mut files = self.files()?;
        files.sort_unstable_by_key(|(_, _, used)| *used);
        books.kept = files.iter().map(|(_, size, _)| size).sum();
        for (path, size, _) in files {
            if books.kept <= self.budget - self.budget / 10 {
                break;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let digest = format!("sha256:{name}").parse::<CanonicalDigest>().ok();
            if digest.is_some() && digest.as_ref() == newest {
                continue;
            }
            fs::remove_file(path)?;
            books.kept -= size;
            if let Some(digest) = digest {
                books.proved.remove(&digest);
                self.forget(&digest);
            }
        }
        Ok(())
    }

    fn files(&self) -> io::Result<Vec<(PathBuf, u64, SystemTime)>> {
        let mut files = Vec::new();
        for shard in fs::read_dir(self.folder.join("sha256"))? {
            for file in fs::read_dir(shard?.path())? {
                let file = file?;
                let about = file.metadata()?;
                files.push((file.path(), about.len(), about.modified()?));
            }
        }
        Ok(files)
    }

    /// Forgets who leads to content that is not kept.
    fn forget_the_rest(&self) -> io::Result<()> {
        for shard in fs::read_dir(self.folder.join("links"))? {
            let shard = shard?;
            let contents = self.folder.join("sha256").join(shard.file_name());
            for links in fs::read_dir(shard.path())? {
                let links = links?;
                if !contents.join(links.file_name()).exists() {
                    fs::remove_dir_all(links.path())?;
                }
            }
        }
        Ok(())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look(about: &Metadata) -> io::Result<Look> {
    Ok((about.modified()?, about.len()))
}

fn is_same_file(one: &File, other: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_for_a_file_does_not_keep_it_from_being_proved() {
        let folder = tempfile::TempDir::new().unwrap();
        let digest = CanonicalDigest::of(b"content");
        let shelf = || Arc::new(Shelf::open(folder.path(), 100).unwrap());
        let path = folder.path().join("new");
        fs::write(&path, "content").unwrap();
        shelf().keep(&path, &digest).unwrap();

        let shelf = shelf();
        let place = shelf.place("sha256", &digest);
        let before = look(&fs::metadata(&place).unwrap()).unwrap();
        let is_proved = || shelf.touch(&digest, &File::open(&place).unwrap()).unwrap();
        assert!(!is_proved() && !is_proved());
        assert_eq!(look(&fs::metadata(&place).unwrap()).unwrap(), before);
        assert!(shelf.prove(&digest, &File::open(&place).unwrap()).unwrap());
        assert!(is_proved() && is_proved());
        assert!(look(&fs::metadata(&place).unwrap()).unwrap() > before, "its use is not noted");
    }
}
