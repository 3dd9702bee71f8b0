//! The folder of the cached content.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use quick_cache::unsync::Cache as Lately;

use super::cleaner::Cleaner;
use super::discard::{discard, remove_leftovers};
use super::file_digest::{digest_of, digests_of};
use super::ledger::{CacheLimits, Ledger, RootId, disk_size};
use super::notes::Notes;
use super::proofs::Proofs;
use crate::oci::{CanonicalDigest, Digest};

/// How many proved files are remembered.
const PROVED: usize = 100_000;

/// How long opening the cache waits until a small cache is counted.
const COUNTING: Duration = Duration::from_millis(250);

/// How long adding a file waits for a few others to be evicted.
const EVICTING: Duration = Duration::from_millis(50);

/// Content and its notes, by digest. All methods do file I/O: do not call them on an async worker.
pub(super) struct CacheStore {
    pub(super) folder: PathBuf,
    pub(super) limits: CacheLimits,
    pub(super) notes: Notes,
    ledger: Mutex<Ledger>,
    /// The files that this process has verified, with their metadata at that time.
    proved: Mutex<Lately<CanonicalDigest, Look>>,
    pub(super) proofs: Proofs,
    pub(super) cleaner: Cleaner,
}

/// The metadata that show whether a file was written to since.
type Look = (SystemTime, u64);

impl CacheStore {
    /// Opens the folder, removes what a crash left in transit, and counts the files in the background.
    pub(super) fn open(folder: &Path, limits: CacheLimits) -> io::Result<Arc<Self>> {
        fs::create_dir_all(folder)?;
        remove_leftovers(folder)?;
        discard(&folder.join("tmp"))?;
        for name in ["tmp", "sha256"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let store = Arc::new(Self {
            folder: folder.to_owned(),
            limits,
            notes: Notes::open(folder)?,
            ledger: Mutex::default(),
            proved: Mutex::new(Lately::new(PROVED)),
            proofs: Proofs::default(),
            cleaner: Cleaner::default(),
        });
        store.count_in_background(COUNTING);
        Ok(store)
    }

    pub(super) fn path_of(&self, kind: &str, digest: &CanonicalDigest) -> PathBuf {
        let hex = digest.hex();
        self.folder.join(kind).join(&hex[..2]).join(hex)
    }

    pub(super) fn temporary(&self, number: u64) -> PathBuf {
        self.folder.join("tmp").join(number.to_string())
    }

    /// Notes that a file is used now, and returns whether it was proved.
    pub(super) fn touch(&self, digest: &CanonicalDigest, file: &File) -> io::Result<bool> {
        let mut proved = self.proved();
        let is_proved = proved.get(digest) == Some(&look(&file.metadata()?)?);
        // The times of a file that is not proved yet stay: a proof compares them to detect writes.
        if is_proved {
            note_use(&mut proved, digest, file)?;
        }
        Ok(is_proved)
    }

    /// Reads a file, and returns whether it matches its digest; one that does not is removed.
    pub(super) fn prove(&self, digest: &CanonicalDigest, file: &File) -> io::Result<bool> {
        let before = look(&file.metadata()?)?;
        if self.proved().get(digest) == Some(&before) {
            return Ok(true);
        }
        let is_sound = digest_of(file)? == *digest;
        self.judge(digest, file, before, is_sound)?;
        Ok(is_sound)
    }

    /// Returns the sha512 digest of a file, which is computed once; none if the file does not match its digest:
    /// then it is removed.
    pub(super) fn sha512(
        &self,
        digest: &CanonicalDigest,
        file: &File,
    ) -> io::Result<Option<Digest>> {
        if let Some(known) = self.notes.sha512(digest) {
            return Ok(Some(known));
        }
        let before = look(&file.metadata()?)?;
        let (sha256, sha512) = digests_of(file)?;
        self.judge(digest, file, before, sha256 == *digest)?;
        if sha256 != *digest {
            return Ok(None);
        }
        self.notes.note_sha512(digest, sha512)?;
        Ok(Some(sha512))
    }

    /// Notes that a file, which had these metadata before it was read, is sound, or removes it.
    fn judge(
        &self,
        digest: &CanonicalDigest,
        file: &File,
        before: Look,
        is_sound: bool,
    ) -> io::Result<()> {
        let mut proved = self.proved();
        if is_sound {
            if look(&file.metadata()?)? == before {
                note_use(&mut proved, digest, file)?;
            }
            return Ok(());
        }
        drop(proved);
        tracing::warn!(%digest, "a cache entry is damaged: fetching it again");
        let stored = self.path_of("sha256", digest);
        let mut ledger = self.ledger();
        // Sound content may have replaced it meanwhile.
        let is_same = File::open(&stored).and_then(|found| is_same_file(&found, file));
        if is_same.unwrap_or(false) {
            let (taken, root) = (disk_size(&file.metadata()?), RootId::read(&stored));
            fs::remove_file(stored)?;
            ledger.subtract(taken, root);
            self.proved().remove(digest);
        }
        Ok(())
    }

    /// Returns whether that content is stored.
    pub(super) fn has(&self, digest: &CanonicalDigest) -> bool {
        self.path_of("sha256", digest).exists()
    }

    /// Adds a verified file that was fetched below that root, and starts eviction if the cache is too large.
    pub(super) fn add(
        self: &Arc<Self>,
        path: &Path,
        digest: &CanonicalDigest,
        root: RootId,
    ) -> io::Result<()> {
        let file = File::open(path)?;
        root.write(&file);
        let stored = self.path_of("sha256", digest);
        fs::create_dir_all(stored.parent().expect("it stands below the folder"))?;
        let mut ledger = self.ledger();
        let replaced = fs::metadata(&stored).ok().map(|it| (disk_size(&it), RootId::read(&stored)));
        fs::rename(path, &stored)?;
        let CanonicalDigest([shard, ..]) = digest;
        if ledger.counted[usize::from(*shard)] {
            if let Some((taken, before)) = replaced {
                ledger.subtract(taken, before);
            }
            ledger.add(disk_size(&file.metadata()?), Some(root));
        }
        ledger.newest = Some(*digest);
        let is_over = ledger.is_over(&self.limits, root);
        drop(ledger);
        note_use(&mut self.proved(), digest, &file)?;
        if is_over {
            self.evict_in_background(EVICTING);
        }
        Ok(())
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn proved(&self) -> MutexGuard<'_, Lately<CanonicalDigest, Look>> {
        self.proved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes that a file that was proved is used now.
fn note_use(
    proved: &mut Lately<CanonicalDigest, Look>,
    digest: &CanonicalDigest,
    file: &File,
) -> io::Result<()> {
    // Where the time cannot be set, eviction ignores this use.
    let _ = file.set_modified(SystemTime::now());
    proved.insert(*digest, look(&file.metadata()?)?);
    Ok(())
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
        let store = || CacheStore::open(folder.path(), CacheLimits::bytes(1 << 20)).unwrap();
        let path = folder.path().join("new");
        fs::write(&path, "content").unwrap();
        store().add(&path, &digest, RootId::of("root")).unwrap();

        let store = store();
        let stored = store.path_of("sha256", &digest);
        let before = look(&fs::metadata(&stored).unwrap()).unwrap();
        let is_proved = || store.touch(&digest, &File::open(&stored).unwrap()).unwrap();
        assert!(!is_proved() && !is_proved());
        assert_eq!(look(&fs::metadata(&stored).unwrap()).unwrap(), before);
        assert!(store.prove(&digest, &File::open(&stored).unwrap()).unwrap());
        assert!(is_proved() && is_proved());
        assert!(look(&fs::metadata(&stored).unwrap()).unwrap() > before, "its use is not noted");
    }
}
