//! The keys of an issuer in a file, read again when it changes.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::Stamp;
use super::key_set::{KeySet, LONGEST};

/// How often the file is looked at, at most.
const INTERVAL: Duration = Duration::from_millis(500);

/// A file with a set of keys.
pub(super) struct KeyFile {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    keys: Arc<KeySet>,
    stamp: Option<Stamp>,
    looked: Instant,
    complaint: Option<String>,
}

impl KeyFile {
    /// Reads the file; it has to be good now.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let (stamp, keys) = look(path, None)?.ok_or("it has no keys")?;
        let state = State {
            keys: Arc::new(keys),
            stamp: Some(stamp),
            looked: Instant::now(),
            complaint: None,
        };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    /// Returns the keys that the file has, or had when it was good.
    pub(super) async fn current(&self) -> Arc<KeySet> {
        let stamp = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.looked.elapsed() < INTERVAL {
                return Arc::clone(&state.keys);
            }
            state.looked = Instant::now();
            state.stamp
        };
        let path = self.path.clone();
        let looked = tokio::task::spawn_blocking(move || look(&path, stamp)).await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match looked {
            Ok(Ok(None)) | Err(_) => {}
            Ok(Ok(Some((stamp, keys)))) => {
                tracing::info!(file = %self.path.display(), "reloaded the keys of an issuer");
                (state.keys, state.stamp, state.complaint) = (Arc::new(keys), Some(stamp), None);
            }
            Ok(Err(reason)) => {
                if state.complaint.as_ref() != Some(&reason) {
                    let file = self.path.display();
                    tracing::error!(%file, %reason, "failed to reload the keys of an issuer; the previous ones are \
                        still in use");
                    state.complaint = Some(reason);
                }
            }
        }
        Arc::clone(&state.keys)
    }
}

/// Reads the file unless it is the version that was seen before.
fn look(path: &Path, seen: Option<Stamp>) -> Result<Option<(Stamp, KeySet)>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a file".to_owned());
    }
    // What is written after the look at its stamp is read again at the next one.
    let stamp = Stamp::of(&metadata);
    if seen == Some(stamp) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let limit = LONGEST as u64 + 1;
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > LONGEST {
        return Err(format!("it has more than {LONGEST} bytes"));
    }
    Ok(Some((stamp, KeySet::parse(&bytes)?)))
}
