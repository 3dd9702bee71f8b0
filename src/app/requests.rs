//! Requests of another process to the server that runs on a data folder: a file for each, which the server takes away.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::fs;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::AppError;

/// How often a server looks for requests.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// Writes a request, whose file's name begins with its kind. Returns the file, and the token that follows in its name.
pub(super) fn send(data: &Path, kind: &str, bytes: &[u8]) -> Result<(PathBuf, String), AppError> {
    let token = Uuid::new_v4().to_string();
    let path = write(data, kind, &token, bytes)
        .map_err(|source| AppError::Folder { data: data.to_owned(), source })?;
    Ok((path, token))
}

/// Writes a request as JSON; as [`send`] does.
pub(super) fn send_json(
    data: &Path,
    kind: &str,
    request: &impl Serialize,
) -> Result<(PathBuf, String), AppError> {
    let text = serde_json::to_vec(request)
        .map_err(|error| AppError::Folder { data: data.to_owned(), source: error.into() })?;
    send(data, kind, &text)
}

/// Writes the answer to the request with that token, as JSON.
pub(super) async fn answer(
    data: &Path,
    kind: &'static str,
    token: String,
    answer: &impl Serialize,
) -> io::Result<()> {
    let (data, text) = (data.to_owned(), serde_json::to_vec(answer)?);
    spawn_blocking(move || write(&data, kind, &token, &text)).await?.map(drop)
}

/// Removes the answers to processes that ended before they read them.
pub(super) async fn forget_answers(data: &Path, kind: &str) {
    loop {
        match take(data, kind).await {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "failed to remove unread answers to commands");
                return;
            }
        }
    }
}

/// Writes a file of that kind, whole or not at all.
fn write(data: &Path, kind: &str, token: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let (path, draft) = (data.join(format!("{kind}{token}")), data.join(format!(".{token}")));
    let written = std::fs::write(&draft, bytes).and_then(|()| std::fs::rename(&draft, &path));
    if let Err(error) = written {
        // What there was no space for is not left either.
        let _ = std::fs::remove_file(&draft);
        return Err(error);
    }
    Ok(path)
}

/// Takes a request of that kind away: its token, and what it says; none where there is none.
pub(super) async fn take(data: &Path, kind: &str) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut entries = fs::read_dir(data).await?;
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name();
        if let Some(token) = name.to_str().and_then(|name| name.strip_prefix(kind)) {
            let bytes = fs::read(entry.path()).await?;
            fs::remove_file(entry.path()).await?;
            return Ok(Some((token.to_owned(), bytes)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn of_a_file_that_cannot_be_written_nothing_is_left() {
        let data = TempDir::new().unwrap();
        std::fs::create_dir(data.path().join("kind-token")).unwrap();
        write(data.path(), "kind-", "token", b"text").unwrap_err();
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 1);
    }
}
