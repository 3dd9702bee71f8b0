//! Uploads under way, for an operator who lists or clears them: also where there is no room for the index to be
//! opened.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use super::{App, AppError, driver};
use crate::config::Settings;
use crate::index::IndexErrorKind;
use crate::registry::{Registry, RegistryError, UploadSummary};

/// What ends the names of files that belong to an upload of the embedded store.
const LEAVES: &str = ".leaves";

/// The uploads of a registry.
pub struct Uploads(Access);

enum Access {
    /// This process has the data folder.
    Own(Box<App>),
    /// A running server has it; whether its bytes may be removed.
    Beside(Registry, bool),
    /// The index cannot be opened for want of room: the files in this folder are all there is to see.
    Files(PathBuf),
}

impl Uploads {
    /// Opens them.
    ///
    /// # Errors
    /// Whatever keeps the registry from being opened, want of room aside.
    pub async fn open(settings: &Settings) -> Result<Self, AppError> {
        let is_embedded = driver(settings)?.is_in_data_folder;
        let access = match App::open_unrecovered(settings).await {
            Ok(app) => Access::Own(Box::new(app)),
            Err(AppError::Locked { .. }) => {
                Access::Beside(App::at_once(settings).await?.registry, is_embedded)
            }
            Err(error) if is_embedded && is_full(&error) => {
                Access::Files(settings.server.data.join("tmp/uploads"))
            }
            Err(error) => return Err(error),
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
            Access::Beside(registry, _) => Ok(registry.uploads().await?),
            Access::Files(folder) => files(folder).map_err(|error| unreadable(folder, error)),
        }
    }

    /// Removes an upload with its bytes. Beside a running server, which forgets it when its client comes back, it
    /// removes the bytes.
    ///
    /// # Errors
    /// [`AppError::UploadsInUse`]; those of the index and the storage.
    pub async fn clear(&self, id: &str) -> Result<(), AppError> {
        match &self.0 {
            Access::Own(app) => Ok(app.registry.clear_upload(id).await?),
            Access::Beside(registry, true) => Ok(registry.clear_bytes(id).await?),
            Access::Beside(_, false) => Err(AppError::UploadsInUse),
            Access::Files(folder) => [id.to_owned(), format!("{id}{LEAVES}")]
                .into_iter()
                .try_for_each(|name| match fs::remove_file(folder.join(name)) {
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                    removed => removed,
                })
                .map_err(|error| unreadable(folder, error)),
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

fn unreadable(folder: &std::path::Path, source: io::Error) -> AppError {
    AppError::Folder { data: folder.to_owned(), source }
}

fn files(folder: &std::path::Path) -> io::Result<Vec<UploadSummary>> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let Ok(id) = file.file_name().into_string() else { continue };
        if id.ends_with(LEAVES) {
            continue;
        }
        let about = file.metadata()?;
        let touched = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let touched = i64::try_from(touched.as_millis()).unwrap_or(i64::MAX);
        found.push(UploadSummary {
            id,
            repository: None,
            bytes: about.len(),
            saved: 0,
            touched,
            is_active: false,
        });
    }
    found.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(found)
}
