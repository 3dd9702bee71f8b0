//! How another process has a running server clear an upload: by a file in the data folder, as with
//! [purges](super::purge).

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::{AppError, requests};
use crate::registry::Registry;

/// What the names of requests begin with; a token follows, which names the answer.
const REQUEST: &str = "clear-";

/// What the names of answers begin with.
const ANSWER: &str = "cleared-";

/// How long a running server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(50);

/// A request: the upload, and when it was sent.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    id: String,
    sent: SystemTime,
}

/// A request that was sent.
pub(super) struct Sent {
    data: PathBuf,
    request: PathBuf,
    token: String,
}

/// What a server answered: that it is done, or why not.
type Answer = Result<(), String>;

/// Asks the server that runs on a data folder to clear an upload.
///
/// # Errors
/// Those of the data folder, which may have no space.
pub(super) fn send(data: &Path, id: &str) -> Result<Sent, AppError> {
    let request = Request { id: id.to_owned(), sent: SystemTime::now() };
    let (request, token) = requests::send_json(data, REQUEST, &request)?;
    Ok(Sent { data: data.to_owned(), request, token })
}

impl Sent {
    /// Waits until the upload is cleared. Returns false where no server does so in time.
    ///
    /// # Errors
    /// Why the server could not; those of the data folder.
    pub(super) async fn wait(self) -> io::Result<bool> {
        let Self { data, request, token } = self;
        let (answer, begun) = (data.join(format!("{ANSWER}{token}")), Instant::now());
        while begun.elapsed() < TIMEOUT {
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
}

impl Request {
    /// Returns whether the process that sent it waits no longer: it may have ended before it took the request away, and
    /// the upload's client may have gone on since.
    fn is_over(&self) -> bool {
        self.sent.elapsed().is_ok_and(|age| age > TIMEOUT)
    }
}

/// Clears uploads at the request of other processes. Never returns.
pub(super) async fn keep_clearing(registry: Registry, data: PathBuf) {
    requests::forget_answers(&data, ANSWER).await;
    loop {
        tokio::time::sleep(requests::TICK).await;
        if let Err(error) = take_requests(&registry, &data).await {
            tracing::warn!(%error, "failed to read a request to clear an upload");
        }
    }
}

async fn take_requests(registry: &Registry, data: &Path) -> io::Result<()> {
    while let Some((token, text)) = requests::take(data, REQUEST).await? {
        let Ok(request) = serde_json::from_slice::<Request>(&text) else {
            tracing::warn!(token, "removed an unreadable request to clear an upload");
            continue;
        };
        if request.is_over() {
            tracing::warn!(token, "removed an outdated request to clear an upload");
            continue;
        }
        let id = request.id;
        let cleared = registry.clear_upload(&id).await;
        match &cleared {
            Ok(()) => tracing::info!(upload = id, "cleared an upload"),
            Err(error) => tracing::warn!(upload = id, %error, "failed to clear an upload"),
        }
        let answer: Answer = cleared.map_err(|error| error.to_string());
        requests::answer(data, ANSWER, token, &answer).await?;
    }
    Ok(())
}
