//! How another process has a running server purge something: by a file in the data folder, which the server answers
//! by another file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AppError, requests};
use crate::oci::{Digest, RepositoryName};
use crate::registry::{Publisher, Purged, Registry, Trigger};

/// What the names of requests begin with; a token follows, which names the answer.
const REQUEST: &str = "purge-";

/// What the names of answers begin with.
const ANSWER: &str = "purged-";

/// A request: what is to be purged.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    repository: RepositoryName,
    digest: Digest,
}

/// What a server answered: what it purged, or why not.
pub type PurgeAnswer = Result<Purged, String>;

/// A request that a server was sent.
pub struct PurgeRequest {
    /// The request; the server takes it away when it begins.
    pub request: PathBuf,
    /// Where the answer is going to be.
    pub answer: PathBuf,
}

/// Sends the server that runs on a data folder a request to purge a manifest or a blob of a repository.
///
/// # Errors
/// [`AppError::Folder`] when the folder cannot be written to.
pub fn request_purge(
    data: &Path,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<PurgeRequest, AppError> {
    let request = Request { repository: repository.clone(), digest: *digest };
    let (request, token) = requests::send_json(data, REQUEST, &request)?;
    Ok(PurgeRequest { request, answer: data.join(format!("{ANSWER}{token}")) })
}

/// Reads the answer to a request once it is there.
///
/// # Errors
/// When it cannot be read.
pub fn purge_answer(request: &PurgeRequest) -> io::Result<Option<PurgeAnswer>> {
    let text = match std::fs::read(&request.answer) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    std::fs::remove_file(&request.answer)?;
    serde_json::from_slice(&text).map(Some).map_err(io::Error::other)
}

/// Purges at the request of other processes. Never returns.
pub(super) async fn keep_purging(
    registry: Registry,
    publisher: Option<Arc<Publisher>>,
    data: PathBuf,
) {
    requests::forget_answers(&data, ANSWER).await;
    loop {
        tokio::time::sleep(requests::TICK).await;
        if let Err(error) = take_requests(&registry, publisher.as_deref(), &data).await {
            tracing::warn!(%error, "failed to read a request to purge");
        }
    }
}

async fn take_requests(
    registry: &Registry,
    publisher: Option<&Publisher>,
    data: &Path,
) -> io::Result<()> {
    while let Some((token, text)) = requests::take(data, REQUEST).await? {
        let Ok(Request { repository, digest }) = serde_json::from_slice(&text) else {
            tracing::warn!(token, "removed an unreadable request to purge");
            continue;
        };
        let purged = registry.purge(&repository, &digest).await;
        match &purged {
            Ok(_) => tracing::info!(%repository, %digest, "purged"),
            Err(error) => tracing::warn!(%repository, %digest, %error, "failed to purge"),
        }
        if let (Ok(_), Some(publisher)) = (&purged, publisher) {
            publisher.request(Trigger::Now, Uuid::new_v4().to_string());
        }
        let answer: PurgeAnswer = purged.map_err(|error| error.to_string());
        requests::answer(data, ANSWER, token, &answer).await?;
    }
    Ok(())
}
