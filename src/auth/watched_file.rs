//! A file that the operator edits while the registry runs, looked at again now and then: what it says now, or said last when
//! it was good.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Stamp;

/// How often a file is looked at, at most.
const INTERVAL: Duration = Duration::from_millis(500);

/// What kind of file it is.
pub(super) struct FileKind<T> {
    /// What it has, for the log: `the password file`.
    pub(super) name: &'static str,
    /// How many bytes it may have.
    pub(super) limit: u64,
    /// Makes its content of its bytes, or says what is wrong with them.
    pub(super) parse: fn(&[u8]) -> Result<T, String>,
}

/// A file, and its content as of its last good version.
pub(super) struct WatchedFile<T: 'static> {
    path: PathBuf,
    kind: &'static FileKind<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    content: Arc<T>,
    stamp: Option<Stamp>,
    looked: Instant,
    complaint: Option<String>,
}

enum Look<T> {
    Unchanged,
    Changed(Stamp, T),
    Bad(Option<Stamp>, String),
}

impl<T: Send + Sync> WatchedFile<T> {
    /// Reads the file; it has to be good now.
    pub(super) fn open(path: &Path, kind: &'static FileKind<T>) -> Result<Self, String> {
        let (stamp, content) = match look(path, kind, None) {
            Look::Changed(stamp, content) => (stamp, content),
            Look::Bad(_, reason) => return Err(reason),
            Look::Unchanged => return Err("it has no state".to_owned()),
        };
        let state = State {
            content: Arc::new(content),
            stamp: Some(stamp),
            looked: Instant::now(),
            complaint: None,
        };
        Ok(Self { path: path.to_owned(), kind, state: Mutex::new(state) })
    }

    /// Returns its content as it was read last.
    pub(super) fn opened(&self) -> Arc<T> {
        Arc::clone(&self.state.lock().unwrap_or_else(PoisonError::into_inner).content)
    }

    /// Returns what the file says, or said last when it was good.
    pub(super) async fn current(&self) -> Arc<T> {
        let stamp = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.looked.elapsed() < INTERVAL {
                return Arc::clone(&state.content);
            }
            state.looked = Instant::now();
            state.stamp
        };
        let (path, kind) = (self.path.clone(), self.kind);
        let looked = tokio::task::spawn_blocking(move || look(&path, kind, stamp)).await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, name) = (self.path.display(), self.kind.name);
        match looked {
            Ok(Look::Unchanged) | Err(_) => {}
            Ok(Look::Changed(stamp, content)) => {
                tracing::info!(%file, "reloaded {name}");
                state.content = Arc::new(content);
                (state.stamp, state.complaint) = (Some(stamp), None);
            }
            Ok(Look::Bad(stamp, reason)) => {
                state.stamp = stamp;
                if state.complaint.as_ref() != Some(&reason) {
                    tracing::error!(%file, %reason, "failed to reload {name}; the previous version is still in use");
                    state.complaint = Some(reason);
                }
            }
        }
        Arc::clone(&state.content)
    }
}

/// Reads a file unless it is the version that was seen before.
fn look<T>(path: &Path, kind: &FileKind<T>, seen: Option<Stamp>) -> Look<T> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Look::Bad(None, "not a file".to_owned()),
        Err(error) => return Look::Bad(None, error.to_string()),
    };
    // What is written after the look at its stamp is read again at the next one.
    let stamp = Stamp::of(&metadata);
    if seen == Some(stamp) {
        return Look::Unchanged;
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(kind.limit + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Look::Bad(None, error.to_string());
    }
    if bytes.len() as u64 > kind.limit {
        return Look::Bad(Some(stamp), format!("it has more than {} bytes", kind.limit));
    }
    match (kind.parse)(&bytes) {
        Ok(content) => Look::Changed(stamp, content),
        Err(reason) => Look::Bad(Some(stamp), reason),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    static NUMBER: FileKind<u32> = FileKind {
        name: "the number",
        limit: 10,
        parse: |bytes| {
            let text = str::from_utf8(bytes).map_err(|error| error.to_string())?;
            text.trim().parse().map_err(|_| "it is no number".to_owned())
        },
    };

    /// Returns what a file says once it was looked at again.
    async fn reread(file: &WatchedFile<u32>) -> u32 {
        let before = Instant::now().checked_sub(2 * INTERVAL).expect("the machine runs for longer");
        file.state.lock().unwrap().looked = before;
        *file.current().await
    }

    #[tokio::test]
    async fn the_last_good_version_is_in_use() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("number");
        assert!(WatchedFile::open(&path, &NUMBER).is_err(), "there is none");
        assert!(WatchedFile::open(folder.path(), &NUMBER).is_err(), "a folder");
        fs::write(&path, "x").unwrap();
        assert!(WatchedFile::open(&path, &NUMBER).is_err());
        fs::write(&path, "1\n").unwrap();
        let file = WatchedFile::open(&path, &NUMBER).unwrap();
        assert_eq!(*file.current().await, 1);
        for (text, expected) in
            [("22", 22), ("", 22), ("333", 333), ("12345678901", 333), ("x", 333), ("4444", 4444)]
        {
            fs::write(&path, text).unwrap();
            assert_eq!(reread(&file).await, expected, "{text}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(reread(&file).await, 4444);
        fs::write(&path, "55555").unwrap();
        assert_eq!(*file.current().await, 4444, "it was looked at a moment ago");
        assert_eq!(reread(&file).await, 55555);
    }
}
