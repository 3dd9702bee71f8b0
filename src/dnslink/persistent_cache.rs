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

/// The longest note that is written: no useful name needs more.
const MAX_NOTE: usize = 16 * 1024;

/// A folder of notes, one for each name.
#[derive(Clone)]
pub struct PersistentCache {
    folder: Arc<PathBuf>,
    /// How many notes there are, about.
    count: Arc<Mutex<usize>>,
}

#[derive(Serialize, Deserialize)]
struct Note {
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
    /// # Errors
    /// When it cannot be read or made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let count = fs::read_dir(folder)?.count();
        Ok(Self { folder: Arc::new(folder.to_owned()), count: Arc::new(Mutex::new(count)) })
    }

    /// Returns the last known result of a name, and when it became due.
    pub(super) async fn recall(&self, name: &Target) -> Option<(Resolved, Timestamp)> {
        let (path, name) = (self.path_of(name), name.to_string());
        spawn_blocking(move || read(&path, &name)).await.ok().flatten()
    }

    /// Notes the result of a name. A failure to write is only logged: the name is resolved again.
    pub(super) async fn note(&self, name: &Target, resolved: &Resolved, due: Timestamp) {
        let note = Note {
            name: name.to_string(),
            root: resolved.root.to_string(),
            path: resolved.path.clone(),
            hints: resolved.hints.iter().map(Hint::multiaddr).collect(),
            due,
            gone: false,
        };
        let Ok(text) = serde_json::to_vec(&note) else { return };
        if text.len() > MAX_NOTE {
            return;
        }
        let (persistent, path) = (self.clone(), self.path_of(name));
        let written = spawn_blocking(move || persistent.write(&path, &text)).await;
        if let Err(error) = written.map_err(io::Error::other).flatten() {
            tracing::warn!(%error, "failed to store the root of a name in the cache");
        }
    }

    /// Removes the result of a name that leads nowhere any more, but remembers that it had one.
    pub(super) async fn forget(&self, name: &Target) {
        let (persistent, path, name) = (self.clone(), self.path_of(name), name.to_string());
        let forgetting = spawn_blocking(move || {
            let Some(note) = parse(&path, &name).filter(|note| !note.gone) else { return Ok(()) };
            let note =
                Note { gone: true, root: String::new(), path: vec![], hints: vec![], ..note };
            persistent.write(&path, &serde_json::to_vec(&note)?)
        });
        if let Err(error) = forgetting.await.map_err(io::Error::other).flatten() {
            tracing::warn!(%error, "failed to remove the root of a name from the cache");
        }
    }

    /// Returns whether a name was ever seen to lead anywhere.
    pub(super) async fn knows(&self, name: &Target) -> bool {
        let (path, name) = (self.path_of(name), name.to_string());
        spawn_blocking(move || parse(&path, &name).is_some()).await.unwrap_or(false)
    }

    fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if !path.exists() {
            *count += 1;
        }
        // Half a note, after a loss of power, is none; while it is written, the one before is read.
        let new = path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(new, path)?;
        if *count > MOST {
            *count = self.thin_out()?;
        }
        Ok(())
    }

    /// Removes the older half, and returns how many are left.
    fn thin_out(&self) -> io::Result<usize> {
        let mut notes: Vec<(SystemTime, PathBuf)> = Vec::new();
        for note in fs::read_dir(&*self.folder)? {
            let note = note?;
            notes.push((note.metadata()?.modified()?, note.path()));
        }
        notes.sort_unstable();
        let excess = notes.len().saturating_sub(MOST / 2);
        for (_, path) in &notes[..excess] {
            fs::remove_file(path)?;
        }
        Ok(notes.len() - excess)
    }

    fn path_of(&self, name: &Target) -> PathBuf {
        self.folder.join(CanonicalDigest::of(name.to_string().as_bytes()).hex())
    }
}

fn parse(path: &Path, name: &str) -> Option<Note> {
    let note: Note = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (note.name == name).then_some(note)
}

fn read(path: &Path, name: &str) -> Option<(Resolved, Timestamp)> {
    let note = parse(path, name).filter(|note| !note.gone)?;
    let hints = note.hints.iter().filter_map(|hint| hint.parse().ok()).collect();
    let (root, path) = (note.root.parse().ok()?, note.path);
    Some((Resolved { root, path, hints, ttl: std::time::Duration::ZERO }, note.due))
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
    async fn a_note_outlasts_the_process_and_is_forgotten_with_its_name() {
        let folder = tempfile::TempDir::new().unwrap();
        let due = Timestamp::from_second(1_700_000_000).unwrap();
        let persistent = PersistentCache::open(folder.path()).unwrap();
        persistent.note(&name(1), &found(), due).await;
        let again = PersistentCache::open(folder.path()).unwrap();
        assert_eq!(again.recall(&name(1)).await, Some((found(), due)));
        assert_eq!(again.recall(&name(2)).await, None);
        again.forget(&name(1)).await;
        again.forget(&name(2)).await;
        assert_eq!(again.recall(&name(1)).await, None);
        let later = PersistentCache::open(folder.path()).unwrap();
        assert!(later.knows(&name(1)).await, "it did lead somewhere");
        assert!(!later.knows(&name(2)).await);
        later.note(&name(1), &found(), due).await;
        assert_eq!(later.recall(&name(1)).await, Some((found(), due)), "it does again");
    }

    #[tokio::test]
    async fn half_a_note_is_none() {
        let folder = tempfile::TempDir::new().unwrap();
        let persistent = PersistentCache::open(folder.path()).unwrap();
        persistent.note(&name(1), &found(), Timestamp::now()).await;
        let path = persistent.path_of(&name(1));
        fs::write(&path, &fs::read(&path).unwrap()[..60]).unwrap();
        assert_eq!(persistent.recall(&name(1)).await, None);
    }

    #[tokio::test]
    async fn the_number_of_stored_names_is_bounded() {
        let folder = tempfile::TempDir::new().unwrap();
        let persistent = PersistentCache::open(folder.path()).unwrap();
        for number in 0..MOST + 10 {
            persistent.note(&name(number), &found(), Timestamp::now()).await;
        }
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert!((MOST / 2..=MOST).contains(&left), "{left}");
        assert!(persistent.recall(&name(MOST + 9)).await.is_some(), "the newest went");
    }
}
