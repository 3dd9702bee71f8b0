//! How another process has a running server purge something: by a file in the data folder, which the server answers
//! by another file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::fs;
use uuid::Uuid;

use super::AppError;
use crate::oci::{Digest, RepositoryName};
use crate::registry::{Publisher, Purged, Registry, Wish};

/// What the names of requests begin with; a token follows, by which the answer is found.
const REQUEST: &str = "purge-";

/// What the names of answers begin with.
const ANSWER: &str = "purged-";

/// How often a server looks for requests.
const TICK: Duration = Duration::from_millis(250);

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
    let token = Uuid::new_v4().to_string();
    let request = data.join(format!("{REQUEST}{token}"));
    let draft = data.join(format!(".{token}"));
    let text = serde_json::to_vec(&Request { repository: repository.clone(), digest: *digest });
    text.map_err(io::Error::other)
        .and_then(|text| std::fs::write(&draft, text))
        .and_then(|()| std::fs::rename(&draft, &request))
        .map_err(|source| AppError::Folder { data: data.to_owned(), source })?;
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
    if let Err(error) = forget_answers(&data).await {
        tracing::warn!(%error, "could not remove answers that were not read");
    }
    loop {
        tokio::time::sleep(TICK).await;
        if let Err(error) = take_requests(&registry, publisher.as_deref(), &data).await {
            tracing::warn!(%error, "could not read a request to purge");
        }
    }
}

/// Removes what was answered to a process that ended before it read it.
async fn forget_answers(data: &Path) -> io::Result<()> {
    for name in names(data, ANSWER).await? {
        fs::remove_file(data.join(name)).await?;
    }
    Ok(())
}

async fn names(data: &Path, prefix: &str) -> io::Result<Vec<String>> {
    let (mut found, mut entries) = (Vec::new(), fs::read_dir(data).await?);
    while let Some(entry) = entries.next_entry().await? {
        found.extend(
            entry.file_name().to_str().filter(|name| name.starts_with(prefix)).map(str::to_owned),
        );
    }
    Ok(found)
}

async fn take_requests(
    registry: &Registry,
    publisher: Option<&Publisher>,
    data: &Path,
) -> io::Result<()> {
    for name in names(data, REQUEST).await? {
        let path = data.join(&name);
        let text = fs::read(&path).await?;
        fs::remove_file(&path).await?;
        let Ok(Request { repository, digest }) = serde_json::from_slice(&text) else {
            tracing::warn!(name, "removed a request to purge that cannot be read");
            continue;
        };
        let purged = registry.purge(&repository, &digest).await;
        match &purged {
            Ok(_) => tracing::info!(%repository, %digest, "purged"),
            Err(error) => tracing::warn!(%repository, %digest, %error, "could not purge"),
        }
        if let (Ok(_), Some(publisher)) = (&purged, publisher) {
            publisher.ask(Wish::Now, Uuid::new_v4().to_string());
        }
        let answer: PurgeAnswer = purged.map_err(|error| error.to_string());
        let token = name.strip_prefix(REQUEST).unwrap_or_default();
        let draft = data.join(format!(".{token}"));
        fs::write(&draft, serde_json::to_vec(&answer)?).await?;
        fs::rename(&draft, data.join(format!("{ANSWER}{token}"))).await?;
    }
    Ok(())
}
