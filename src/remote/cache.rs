//! Somebody else's content, kept: each by its sha256, as a whole and verified, those used longest ago going
//! first.
//!
//! ```text
//! sha256/<ab>/<hex>   content
//! links/<ab>/<hex>    that a name was seen to lead to content; the hash of the name
//! tmp/                on its way
//! ```

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use tokio::task::spawn_blocking;

use super::fetch::{Fetch, Fetching};
use super::{File as RemoteFile, RemoteError, RemoteErrorKind, Result};
use crate::oci::CanonicalDigest;

/// The content of other people that this process keeps.
pub struct Cache {
    folder: PathBuf,
    /// How many bytes are kept at the most.
    budget: u64,
    kept: AtomicU64,
    temporary: AtomicU64,
    /// Content on its way.
    fetches: Mutex<HashMap<CanonicalDigest, Weak<Fetch>>>,
}

/// Content that is kept.
pub struct Kept {
    /// Its file, which stays readable when it is evicted.
    pub file: Arc<File>,
    /// In bytes.
    pub size: u64,
}

impl Cache {
    /// Opens the cache in a folder, which is made if need be; what a crash left on its way is removed.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn open(folder: &Path, budget: u64) -> io::Result<Arc<Self>> {
        let tmp = folder.join("tmp");
        if tmp.exists() {
            fs::remove_dir_all(&tmp)?;
        }
        for name in ["tmp", "sha256", "links"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let cache = Self {
            folder: folder.to_owned(),
            budget,
            kept: AtomicU64::new(0),
            temporary: AtomicU64::new(0),
            fetches: Mutex::default(),
        };
        let size = cache.files()?.iter().map(|(_, size, _)| size).sum();
        cache.kept.store(size, Ordering::Relaxed);
        Ok(Arc::new(cache))
    }

    fn place(&self, kind: &str, hash: &CanonicalDigest) -> PathBuf {
        let hex = hash.hex();
        self.folder.join(kind).join(&hex[..2]).join(hex)
    }

    /// Finds content that is kept, and notes that it was asked for.
    pub fn find(&self, digest: &CanonicalDigest) -> Option<Kept> {
        let file = File::open(self.place("sha256", digest)).ok()?;
        let size = file.metadata().ok()?.len();
        // Where the time cannot be set, what is used goes as if it were not.
        let _ = file.set_modified(SystemTime::now());
        Some(Kept { file: Arc::new(file), size })
    }

    /// Tells whether a name was seen to lead to that content, while that was kept.
    pub fn knows(&self, name: &str, digest: &CanonicalDigest) -> bool {
        self.place("links", &link(name, digest)).exists()
    }

    /// Notes that a name leads to that content.
    pub fn note(&self, name: &str, digest: &CanonicalDigest) -> io::Result<()> {
        let place = self.place("links", &link(name, digest));
        fs::create_dir_all(place.parent().expect("it stands below the folder"))?;
        File::create(place).map(drop)
    }

    /// Begins to fetch content, or joins whoever does already. It goes on when nobody waits for it any more.
    ///
    /// # Errors
    /// Those of opening it.
    pub async fn fetch(
        self: &Arc<Self>,
        digest: CanonicalDigest,
        open: impl Future<Output = Result<RemoteFile>>,
    ) -> Result<Arc<Fetch>> {
        if let Some(fetch) = self.under_way(&digest) {
            return Ok(fetch);
        }
        let source = open.await?;
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join("tmp").join(number.to_string());
        let options = File::options().read(true).write(true).create_new(true).open(&path);
        let file = Arc::new(options.map_err(failed)?);
        let (fetch, fetching) = Fetching::begin(digest, source, file);
        {
            let mut fetches = self.fetches();
            // Somebody else may have begun it meanwhile.
            if let Some(fetch) = fetches.get(&digest).and_then(Weak::upgrade) {
                drop(fs::remove_file(path));
                return Ok(fetch);
            }
            fetches.insert(digest, Arc::downgrade(&fetch));
        }
        let (cache, held) = (Arc::clone(self), Arc::clone(&fetch));
        tokio::spawn(async move {
            let size = held.size;
            fetching
                .run(async || {
                    let (cache, path) = (Arc::clone(&cache), path.clone());
                    let kept = spawn_blocking(move || cache.keep(&path, &digest, size)).await;
                    kept.map_err(io::Error::other)?
                })
                .await;
            drop(fs::remove_file(&path));
            cache.fetches().retain(|_, fetch| fetch.strong_count() > 0);
            cache.fetches().remove(&digest);
        });
        Ok(fetch)
    }

    fn under_way(&self, digest: &CanonicalDigest) -> Option<Arc<Fetch>> {
        self.fetches().get(digest).and_then(Weak::upgrade)
    }

    /// Keeps a file that was verified, and makes room for it.
    fn keep(&self, path: &Path, digest: &CanonicalDigest, size: u64) -> io::Result<()> {
        if size > self.budget {
            return Ok(());
        }
        let place = self.place("sha256", digest);
        fs::create_dir_all(place.parent().expect("it stands below the folder"))?;
        let is_new = !place.exists();
        fs::rename(path, &place)?;
        if is_new && self.kept.fetch_add(size, Ordering::Relaxed) + size > self.budget {
            self.evict()?;
        }
        Ok(())
    }

    /// Removes what was asked for longest ago, until a tenth of the room is free.
    fn evict(&self) -> io::Result<()> {
        let mut files = self.files()?;
        files.sort_unstable_by_key(|(_, _, used)| *used);
        let mut kept: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (path, size, _) in files {
            if kept <= self.budget - self.budget / 10 {
                break;
            }
            fs::remove_file(path)?;
            kept -= size;
        }
        self.kept.store(kept, Ordering::Relaxed);
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

    fn fetches(&self) -> std::sync::MutexGuard<'_, HashMap<CanonicalDigest, Weak<Fetch>>> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name under which it is noted that a name leads to content.
fn link(name: &str, digest: &CanonicalDigest) -> CanonicalDigest {
    CanonicalDigest::of(format!("{name}\0{digest}").as_bytes())
}

/// What the file system did not do.
pub(super) fn failed(error: io::Error) -> RemoteError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => RemoteErrorKind::Full,
        _ => RemoteErrorKind::Failed,
    };
    RemoteError::wrap(kind, "keeping other people's content", error)
}
