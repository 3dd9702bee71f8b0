//! Resolved names, stored beyond the life of the process: while the DNS is down, they serve after a restart as
//! they do before.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use std::{fs, io};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{Hint, Resolved, Target};
use crate::oci::CanonicalDigest;

/// How many names are stored; when there are more, the half that was noted longest ago is removed.
const MOST: usize = 4096;

/// The longest entry that is written: no useful name needs more.
const MAX_ENTRY: usize = 16 * 1024;

/// A folder of entries, one for each name.
#[derive(Clone)]
pub struct PersistentCache {
    folder: Arc<PathBuf>,
    /// How many entries there are, about.
    count: Arc<Mutex<usize>>,
}

#[derive(Serialize, Deserialize)]
struct StoredName {
    name: String,
    root: String,
    path: Vec<String>,
    hints: Vec<String>,
    /// When it was due to be resolved again.
    due: Timestamp,
    /// Whether its owner has removed the record since.
    #[serde(default)]
    gone: bool,
}

impl PersistentCache {
    /// Opens the folder, which is made if need be.
    ///
    /// ```
    /// use roadstead::dnslink::PersistentCache;
    ///
    /// let data = tempfile::TempDir::new()?;
    /// let folder = data.path().join("cache/roots");
    /// PersistentCache::open(&folder)?;
    /// assert!(folder.is_dir());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When it cannot be read or made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let count = fs::read_dir(folder)?.count();
        Ok(Self { folder: Arc::new(folder.to_owned()), count: Arc::new(Mutex::new(count)) })
    }

    /// Returns the last known result of a name, and when it became due.
    pub(super) async fn get(&self, name: &Target) -> Option<(Resolved, Timestamp)> {
        let (path, name) = (self.path_of(name), name.to_string());
        spawn_blocking(move || read(&path, &name)).await.ok().flatten()
    }

    /// Notes the result of a name. A failure to write is only logged: the name is resolved again.
    pub(super) async fn store(&self, name: &Target, resolved: &Resolved, due: Timestamp) {
        let entry = StoredName {
            name: name.to_string(),
            root: resolved.root.to_string(),
            path: resolved.path.clone(),
            hints: resolved.hints.iter().map(Hint::multiaddr).collect(),
            due,
            gone: false,
        };
        let Ok(text) = serde_json::to_vec(&entry) else { return };
        if text.len() > MAX_ENTRY {
            return;
        }
        let (persistent, path) = (self.clone(), self.path_of(name));
        let written = spawn_blocking(move || persistent.write(&path, &text)).await;
        if let Err(error) = written.map_err(io::Error::other).flatten() {
            tracing::warn!(%error, "failed to store the root of a name in the cache");
        }
    }

    /// Removes the result of a name that leads nowhere any more, but remembers that it had one.
    pub(super) async fn mark_gone(&self, name: &Target) {
        let (persistent, path, name) = (self.clone(), self.path_of(name), name.to_string());
        let written = spawn_blocking(move || {
            let Some(entry) = parse(&path, &name).filter(|entry| !entry.gone) else {
                return Ok(());
            };
            let entry = StoredName {
                gone: true,
                root: String::new(),
                path: vec![],
                hints: vec![],
                ..entry
            };
            persistent.write(&path, &serde_json::to_vec(&entry)?)
        });
        if let Err(error) = written.await.map_err(io::Error::other).flatten() {
            tracing::warn!(%error, "failed to remove the root of a name from the cache");
        }
    }

    /// Returns whether a name was ever seen to lead anywhere.
    pub(super) async fn contains(&self, name: &Target) -> bool {
        let (path, name) = (self.path_of(name), name.to_string());
        spawn_blocking(move || parse(&path, &name).is_some()).await.unwrap_or(false)
    }

    fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if !path.exists() {
            *count += 1;
        }
        // Half an entry, after a loss of power, is none; while it is written, the one before is read.
        let new = path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(new, path)?;
        if *count > MOST {
            *count = self.evict()?;
        }
        Ok(())
    }

    /// Removes the older half, and returns how many are left.
    fn evict(&self) -> io::Result<usize> {
        let mut entries: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&*self.folder)? {
            let entry = entry?;
            entries.push((entry.metadata()?.modified()?, entry.path()));
        }
        entries.sort_unstable();
        let excess = entries.len().saturating_sub(MOST / 2);
        for (_, path) in &entries[..excess] {
            fs::remove_file(path)?;
        }
        Ok(entries.len() - excess)
    }

    fn path_of(&self, name: &Target) -> PathBuf {
        self.folder.join(CanonicalDigest::of(name.to_string().as_bytes()).hex())
    }
}

fn parse(path: &Path, name: &str) -> Option<StoredName> {
    let entry: StoredName = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (entry.name == name).then_some(entry)
}

fn read(path: &Path, name: &str) -> Option<(Resolved, Timestamp)> {
    let entry = parse(path, name).filter(|entry| !entry.gone)?;
    let hints = entry.hints.iter().filter_map(|hint| hint.parse().ok()).collect();
    let (root, path) = (entry.root.parse().ok()?, entry.path);
    Some((Resolved { root, path, hints, ttl: std::time::Duration::ZERO }, entry.due))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str =
        "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF";

    fn name(number: usize) -> Target {
        Target::Domain(format!("n{number}.example").parse().unwrap())
    }

    fn found() -> Resolved {
        let hints = ["/dns4/a.example/tcp/443/tls/http", "/ip6/2001:db8::1/tcp/80/http", PEER];
        Resolved {
            root: "bafkqaaa".parse().unwrap(),
            path: vec!["a".to_owned()],
            hints: hints.map(|hint| hint.parse().unwrap()).to_vec(),
            ttl: std::time::Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn a_stored_name_outlasts_the_process_and_is_forgotten_with_its_name() {
        let folder = tempfile::TempDir::new().unwrap();
        let due = Timestamp::from_second(1_700_000_000).unwrap();
        let persistent = PersistentCache::open(folder.path()).unwrap();
        persistent.store(&name(1), &found(), due).await;
        let again = PersistentCache::open(folder.path()).unwrap();
        assert_eq!(again.get(&name(1)).await, Some((found(), due)));
        assert_eq!(again.get(&name(2)).await, None);
        again.mark_gone(&name(1)).await;
        again.mark_gone(&name(2)).await;
        assert_eq!(again.get(&name(1)).await, None);
        let later = PersistentCache::open(folder.path()).unwrap();
        assert!(later.contains(&name(1)).await, "it did lead somewhere");
        assert!(!later.contains(&name(2)).await);
        later.store(&name(1), &found(), due).await;
        assert_eq!(later.get(&name(1)).await, Some((found(), due)), "it does again");
    }

    #[tokio::test]
    async fn half_an_entry_is_none() {
        let folder = tempfile::TempDir::new().unwrap();
        let persistent = PersistentCache::open(folder.path()).unwrap();
        persistent.store(&name(1), &found(), Timestamp::now()).await;
        let path = persistent.path_of(&name(1));
        fs::write(&path, &fs::read(&path).unwrap()[..60]).unwrap();
        assert_eq!(persistent.get(&name(1)).await, None);
    }

    #[tokio::test]
    async fn the_number_of_stored_names_is_bounded() {
        let folder = tempfile::TempDir::new().unwrap();
        let persistent = PersistentCache::open(folder.path()).unwrap();
        for number in 0..MOST + 10 {
            persistent.store(&name(number), &found(), Timestamp::now()).await;
        }
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert!((MOST / 2..=MOST).contains(&left), "{left}");
        assert!(persistent.get(&name(MOST + 9)).await.is_some(), "the newest went");
    }
}
