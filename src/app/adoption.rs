//! A data folder on its way from the folder of a stock registry: it belongs to the adoption until
//! that is done.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::{App, AppError, driver, index_url};
use crate::config::Settings;
use crate::index::{self, Index, IndexError};
use crate::oci::Visibility;

/// The file that names the folder being adopted while that is not done.
const MARK: &str = "adopting";

/// Where it is written before it is put in its place.
const DRAFT: &str = "adopting.new";

/// What an empty data folder may hold: what a fresh file system puts there, or a beginning that was
/// cut short.
const NOTHING: [&str; 3] = ["lock", "lost+found", DRAFT];

/// A registry that nobody but an adoption may open. It stays so until [`Adoption::finish`].
pub struct Adoption {
    /// The registry, and the lock on its data folder.
    pub app: App,
    mark: PathBuf,
}

impl Adoption {
    /// Takes an empty data folder, or goes on where an adoption of the same folder ended early.
    ///
    /// # Errors
    /// [`AppError::NotEmpty`]; [`AppError::HalfAdopted`] when it was another folder; those of
    /// [`App::open`].
    pub async fn begin(settings: &Settings, folder: &Path) -> Result<Self, AppError> {
        let data = &settings.server.data;
        let failed = |source| AppError::Folder { data: data.clone(), source };
        let folder = fs::canonicalize(folder)
            .map_err(|source| AppError::Folder { data: folder.to_owned(), source })?;
        let mark = data.join(MARK);
        let is_new = match begun(data)? {
            Some(from) if from == folder => false,
            Some(from) => return Err(AppError::HalfAdopted { data: data.clone(), from }),
            None => true,
        };
        // Before anything is made in it, the lock included.
        if is_new {
            expect_nothing(data)?;
        }
        let lock = super::lock::DataLock::take(data)?;
        // A tree that is elsewhere does not tell how far an earlier beginning has come.
        let is_elsewhere = !driver(settings)?.is_in_data_folder;
        if is_new && is_elsewhere && !is_free(&index_url(settings)).await? {
            return Err(AppError::IndexTaken);
        }
        if is_new {
            expect_nothing(data)?;
            let name = folder.as_os_str().as_encoded_bytes();
            // At once: a mark cut short would name another folder.
            let draft = data.join(DRAFT);
            File::create(&draft)
                .and_then(|mut file| file.write_all(name).and_then(|()| file.sync_all()))
                .and_then(|()| fs::rename(&draft, &mark))
                .and_then(|()| sync(data))
                .map_err(failed)?;
        }
        // The tree is made below, so until it is there nobody has come further than this.
        if !is_elsewhere
            && !holds_tree(data).map_err(failed)?
            && !is_free(&index_url(settings)).await?
        {
            fs::remove_file(&mark).map_err(failed)?;
            return Err(AppError::IndexTaken);
        }
        let app = App::open_locked(settings, lock).await?;
        app.registry.recover().await?;
        app.registry.purge_uploads(settings.uploads.expire_after, true).await?;
        Ok(Self { app, mark })
    }

    /// Makes it a registry like any other.
    ///
    /// # Errors
    /// [`AppError::Folder`]
    pub fn finish(self) -> Result<(), AppError> {
        let data = self.mark.parent().unwrap_or(Path::new("."));
        fs::remove_file(&self.mark)
            .and_then(|()| sync(data))
            .map_err(|source| AppError::Folder { data: data.to_owned(), source })
    }
}

/// Refuses a folder that an adoption has not done with.
pub(super) fn expect_done(data: &Path) -> Result<(), AppError> {
    match begun(data)? {
        Some(from) => Err(AppError::HalfAdopted { data: data.to_owned(), from }),
        None => Ok(()),
    }
}

/// Returns the folder whose adoption is not done.
fn begun(data: &Path) -> Result<Option<PathBuf>, AppError> {
    match fs::read(data.join(MARK)) {
        Ok(name) => Ok(Some(OsString::from_vec(name).into())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(source) => Err(AppError::Folder { data: data.to_owned(), source }),
    }
}

/// Makes the index of that URL, which may be a database elsewhere, and tells whether it is nobody's.
async fn is_free(url: &str) -> Result<bool, IndexError> {
    // Opening one takes it away from who has it. Where there is none yet, it cannot be looked at;
    // what else is wrong with it, opening it tells.
    if let Ok(index) = index::open_read_only(url).await
        && !is_unused(index.as_ref()).await?
    {
        return Ok(false);
    }
    is_unused(index::open(url).await?.as_ref()).await
}

/// Tells whether nothing was ever pushed to the registry of an index, nor is being pushed.
async fn is_unused(index: &dyn Index) -> Result<bool, IndexError> {
    let folding = index.folding(Visibility::Public).await?;
    Ok(folding.root.is_none()
        && folding.edits.is_empty()
        && index.open_entry_count().await? == 0
        && index.upload_count().await? == 0
        && index.stored_content(None, 1).await?.is_empty())
}

fn holds_tree(data: &Path) -> io::Result<bool> {
    data.join(Visibility::Public.as_str()).try_exists()
}

fn expect_nothing(data: &Path) -> Result<(), AppError> {
    let entries = match fs::read_dir(data) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries,
    };
    let names: io::Result<Vec<_>> =
        entries.and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let names = names.map_err(|source| AppError::Folder { data: data.to_owned(), source })?;
    let is_empty = names.iter().all(|name| NOTHING.iter().any(|nothing| name == *nothing));
    if is_empty { Ok(()) } else { Err(AppError::NotEmpty(data.to_owned())) }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
