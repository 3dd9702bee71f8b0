//! How another process has a running server clear an upload: by a file in the data folder, as with
//! [purges](super::purge).

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::requests;
use crate::registry::Registry;

/// What the names of requests begin with; a token follows, by which the answer is found.
const REQUEST: &str = "clear-";

/// What the names of answers begin with.
const ANSWER: &str = "cleared-";

/// How long a running server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(50);

/// A request: the upload.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    id: String,
}

/// What a server answered: that it is done, or why not.
type Answer = Result<(), String>;

/// Has the server that runs on a data folder clear an upload. Returns false where none does so in time, or where there
/// is no room for the request.
///
/// # Errors
/// Why the server could not; those of the data folder.
pub(super) async fn request(data: &Path, id: &str) -> io::Result<bool> {
    let text = serde_json::to_vec(&Request { id: id.to_owned() })?;
    let Ok((request, token)) = requests::send(data, REQUEST, &text) else { return Ok(false) };
    let (answer, begun) = (data.join(format!("{ANSWER}{token}")), Instant::now());
    while begun.elapsed() < PATIENCE {
        match tokio::fs::read(&answer).await {
            Ok(text) => {
                tokio::fs::remove_file(&answer).await?;
                let cleared: Answer = serde_json::from_slice(&text)?;
                return cleared.map(|()| true).map_err(io::Error::other);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
    match tokio::fs::remove_file(&request).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(false),
    }
}

/// Clears uploads at the request of other processes. Never returns.
pub(super) async fn keep_clearing(registry: Registry, data: PathBuf) {
    if let Err(error) = forget_answers(&data).await {
        tracing::warn!(%error, "could not remove answers that were not read");
    }
    loop {
        tokio::time::sleep(requests::TICK).await;
        if let Err(error) = take_requests(&registry, &data).await {
            tracing::warn!(%error, "could not read a request to clear an upload");
        }
    }
}

/// Removes what was answered to a process that ended before it read it.
async fn forget_answers(data: &Path) -> io::Result<()> {
    while requests::take(data, ANSWER).await?.is_some() {}
    Ok(())
}

async fn take_requests(registry: &Registry, data: &Path) -> io::Result<()> {
    while let Some((token, text)) = requests::take(data, REQUEST).await? {
        let Ok(Request { id }) = serde_json::from_slice(&text) else {
            tracing::warn!(token, "removed a request to clear an upload that cannot be read");
            continue;
        };
        let cleared = registry.clear_upload(&id).await;
        match &cleared {
            Ok(()) => tracing::info!(upload = id, "cleared an upload"),
            Err(error) => tracing::warn!(upload = id, %error, "could not clear an upload"),
        }
        let answer: Answer = cleared.map_err(|error| error.to_string());
        let (data, answer) = (data.to_owned(), serde_json::to_vec(&answer)?);
        spawn_blocking(move || requests::write(&data, ANSWER, &token, &answer)).await??;
    }
    Ok(())
}
