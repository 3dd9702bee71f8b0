//! Uploads under way, for an operator who lists or clears them: also where there is no space for the index to be
//! opened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use super::commands::request_clearing;
use super::{App, AppError, driver};
use crate::config::Settings;
use crate::index::IndexErrorKind;
use crate::registry::{Registry, RegistryError, UploadSummary};
use crate::storage::{UploadFile, UploadFiles};

/// The uploads of a registry.
pub struct Uploads(Access);

enum Access {
    /// This process has the data folder.
    Own(Box<App>),
    /// A running server has it, which clears uploads; or another command, which does not.
    Beside(OtherProcess),
    /// The index cannot be opened for want of space: the files in the data folder are all there is to see.
    Files(UploadFiles, PathBuf),
}

/// Access beside the process that has the data folder.
struct OtherProcess {
    registry: Registry,
    data: PathBuf,
    /// Whether the bytes of uploads are in the data folder, and may be removed there.
    is_embedded: bool,
    /// Whether a request had no answer: the process that has the data folder may be another command.
    is_unanswered: AtomicBool,
}

impl Uploads {
    /// Opens them.
    ///
    /// # Errors
    /// Whatever keeps the registry from being opened, want of space aside.
    pub async fn open(settings: &Settings) -> Result<Self, AppError> {
        let driver = driver(settings)?;
        let data = settings.server.data.clone();
        let access = match App::open_unrecovered(settings).await {
            Ok(app) => Access::Own(Box::new(app)),
            Err(AppError::Locked { .. }) => {
                let registry = App::at_once(settings).await?.registry;
                let (is_embedded, is_unanswered) =
                    (driver.is_in_data_folder, AtomicBool::default());
                Access::Beside(OtherProcess { registry, data, is_embedded, is_unanswered })
            }
            Err(error) => match driver.upload_files {
                Some(files) if is_full(&error) => Access::Files(files, data),
                _ => return Err(error),
            },
        };
        Ok(Self(access))
    }

    /// Lists them.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn list(&self) -> Result<Vec<UploadSummary>, AppError> {
        match &self.0 {
            Access::Own(app) => Ok(app.registry.uploads().await?),
            Access::Beside(beside) => Ok(beside.registry.uploads().await?),
            Access::Files(files, data) => {
                let found = (files.list)(data).map_err(|error| unreadable(data, error))?;
                Ok(found.into_iter().map(summary).collect())
            }
        }
    }

    /// Removes an upload with its bytes. A running server does that itself; where it does not answer, the bytes are
    /// removed, and it forgets the upload when its client comes back.
    ///
    /// # Errors
    /// [`AppError::UploadsInUse`]; those of the index and the storage.
    pub async fn clear(&self, id: &str) -> Result<(), AppError> {
        match &self.0 {
            Access::Own(app) => Ok(app.registry.clear_upload(id).await?),
            Access::Beside(beside) => beside.clear(id).await,
            Access::Files(files, data) => {
                (files.remove)(data, id).map_err(|error| unreadable(data, error))
            }
        }
    }
}

impl OtherProcess {
    async fn clear(&self, id: &str) -> Result<(), AppError> {
        if self.is_cleared_by_server(id).await? {
            Ok(())
        } else if self.is_embedded {
            Ok(self.registry.clear_bytes(id).await?)
        } else {
            Err(AppError::UploadsInUse)
        }
    }

    /// Has the server clear an upload; returns false where there is none.
    async fn is_cleared_by_server(&self, id: &str) -> Result<bool, AppError> {
        if self.is_unanswered.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match request_clearing(&self.data, id).await {
            Err(AppError::NoServer) => {
                self.is_unanswered.store(true, Ordering::Relaxed);
                Ok(false)
            }
            cleared => cleared.map(|()| true),
        }
    }
}

fn is_full(error: &AppError) -> bool {
    match error {
        AppError::Index(error) => error.kind == IndexErrorKind::Full,
        AppError::Storage(error) => error.is_full(),
        AppError::Registry(error) => RegistryError::is_full(error),
        _ => false,
    }
}

fn unreadable(data: &Path, source: io::Error) -> AppError {
    AppError::Folder { data: data.to_owned(), source }
}

fn summary(file: UploadFile) -> UploadSummary {
    let UploadFile { id, bytes, touched } = file;
    let touched = touched.duration_since(UNIX_EPOCH).unwrap_or_default();
    let touched = i64::try_from(touched.as_millis()).unwrap_or(i64::MAX);
    UploadSummary { id, repository: None, bytes, saved: 0, touched, is_active: false }
}
