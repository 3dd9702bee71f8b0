//! The password file, looked at again now and then: what it says now, or said last when it was good.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::super::Stamp;
use super::super::super::passwords::Verified;
use super::users::Users;

/// How often the file is looked at, at most.
const INTERVAL: Duration = Duration::from_millis(500);

/// A password file.
pub(super) struct PasswordFile {
    path: PathBuf,
    state: Mutex<State>,
}

/// What one version of the file says, and which users have proven to be in it: none in a new version.
pub(super) struct Edition {
    /// The users.
    pub(super) users: Users,
    /// Whose password was right.
    pub(super) verified: Arc<Verified>,
}

struct State {
    edition: Arc<Edition>,
    stamp: Option<Stamp>,
    looked: Instant,
    complaint: Option<String>,
}

enum Look {
    Unchanged,
    Changed(Stamp, Users),
    Bad(Option<Stamp>, String),
}

impl PasswordFile {
    /// Reads the file; it has to be good now.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let (stamp, users) = match look(path, None) {
            Look::Changed(stamp, users) => (stamp, users),
            Look::Bad(_, reason) => return Err(reason),
            Look::Unchanged => return Err("it has no state".to_owned()),
        };
        if users.len() == 0 {
            tracing::warn!(file = %path.display(), "the password file has no users");
        }
        let state = State {
            edition: Arc::new(Edition { users, verified: Arc::default() }),
            stamp: Some(stamp),
            looked: Instant::now(),
            complaint: None,
        };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    /// Returns what the file says, or said last when it was good.
    pub(super) async fn current(&self) -> Arc<Edition> {
        let stamp = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.looked.elapsed() < INTERVAL {
                return Arc::clone(&state.edition);
            }
            state.looked = Instant::now();
            state.stamp
        };
        let path = self.path.clone();
        let looked = tokio::task::spawn_blocking(move || look(&path, stamp)).await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match looked {
            Ok(Look::Unchanged) | Err(_) => {}
            Ok(Look::Changed(stamp, users)) => {
                let file = self.path.display();
                tracing::info!(%file, users = users.len(), "reloaded the password file");
                state.edition = Arc::new(Edition { users, verified: Arc::default() });
                state.stamp = Some(stamp);
                state.complaint = None;
            }
            Ok(Look::Bad(stamp, reason)) => {
                state.stamp = stamp;
                if state.complaint.as_ref() != Some(&reason) {
                    let file = self.path.display();
                    tracing::error!(%file, %reason, "failed to reload the password file; the previous one is \
                        still in use");
                    state.complaint = Some(reason);
                }
            }
        }
        Arc::clone(&state.edition)
    }
}

/// Reads the file unless it is the version that was seen before.
fn look(path: &Path, seen: Option<Stamp>) -> Look {
    let metadata = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Look::Bad(None, "not a file".to_owned()),
        Err(error) => return Look::Bad(None, error.to_string()),
    };
    let stamp = Stamp::of(&metadata);
    if seen == Some(stamp) {
        return Look::Unchanged;
    }
    // What is written after the look at its stamp is read again at the next one.
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Look::Bad(None, error.to_string()),
    };
    match Users::parse(&text) {
        Ok(users) => Look::Changed(stamp, users),
        Err(reason) => Look::Bad(Some(stamp), reason),
    }
}
