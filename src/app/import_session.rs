//! A data folder that is being filled, from the folder of a stock registry or with a publisher's root: it
//! belongs to the process that fills it until that is done.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cid::Cid;

use super::lock::DataLock;
use super::origin::{Origin, begun, sync};
use super::{App, AppError, driver, index_url};
use crate::config::Settings;
use crate::index::{self, Index, IndexError};
use crate::oci::TreeId;

/// What an empty data folder may hold: what a fresh file system puts there, or a beginning that was
/// cut short.
const NOTHING: [&str; 4] = ["lock", "lost+found", "adopting.new", "restoring.new"];

/// A registry that only the process that fills it may open. It stays so until [`ImportSession::finish`].
pub struct ImportSession {
    /// The registry, and the lock on its data folder.
    pub app: App,
    mark: PathBuf,
}

impl ImportSession {
    /// Takes an empty data folder to adopt a folder into, or goes on where an adoption of the same folder
    /// ended early.
    ///
    /// # Errors
    /// [`AppError::NotEmpty`]; [`AppError::HalfAdopted`] and [`AppError::HalfRestored`] when it was something
    /// else; those of [`App::open`].
    pub async fn adopt(settings: &Settings, folder: &Path) -> Result<Self, AppError> {
        let folder = fs::canonicalize(folder)
            .map_err(|source| AppError::Folder { data: folder.to_owned(), source })?;
        Self::begin(settings, Origin::Folder(folder)).await
    }

    /// Takes an empty data folder to restore a root into, or goes on where that ended early; of another root
    /// only content is left then.
    ///
    /// # Errors
    /// As [`ImportSession::adopt`].
    pub async fn restore(settings: &Settings, root: Cid) -> Result<Self, AppError> {
        Self::begin(settings, Origin::Root(root)).await
    }

    async fn begin(settings: &Settings, origin: Origin) -> Result<Self, AppError> {
        let data = &settings.server.data;
        let failed = |source| AppError::Folder { data: data.clone(), source };
        let mark = data.join(origin.mark());
        let begun = begun(data)?;
        let is_new = match (&begun, &origin) {
            (None, _) => true,
            (Some(Origin::Root(_)), Origin::Root(_)) => false,
            (Some(begun), origin) if begun == origin => false,
            (Some(begun), _) => return Err(begun.clone().half(data)),
        };
        // A tree that is elsewhere does not show how far an earlier beginning has come.
        let is_elsewhere = !driver(settings)?.is_in_data_folder;
        // Beside such a tree, the index itself says whether it belongs to no registry.
        let index = index_url(settings);
        let index = index.strip_prefix("sqlite:").filter(|_| is_elsewhere).map(Path::new);
        // Before anything is made in it, the lock included.
        if is_new {
            expect_nothing(data, index)?;
        }
        let lock = DataLock::take(data)?;
        if is_new && is_elsewhere && !is_free(&index_url(settings)).await? {
            return Err(AppError::IndexTaken);
        }
        if is_new {
            expect_nothing(data, index)?;
            origin.write_to(data).map_err(failed)?;
        }
        // The tree is made below, so until it is there no process has come further than this.
        if !is_elsewhere
            && !holds_tree(data).map_err(failed)?
            && !is_free(&index_url(settings)).await?
        {
            fs::remove_file(&mark).map_err(failed)?;
            return Err(AppError::IndexTaken);
        }
        let app = App::compose(settings, lock).await?;
        // What is restored has names before it has an index.
        if is_new || matches!(origin, Origin::Folder(_)) {
            let expected = app.expect_index().await;
            if expected.is_err() && is_new {
                fs::remove_file(&mark).map_err(failed)?;
            }
            expected?;
        }
        app.registry.recover().await?;
        app.registry.purge_uploads(settings.uploads.expire_after, true).await?;
        if begun.is_some_and(|begun| begun != origin) {
            app.registry.clear_tree().await?;
            origin.write_to(data).map_err(failed)?;
        }
        Ok(Self { app, mark })
    }

    /// Makes an empty file that is gone when it is closed: for what is needed on the way only.
    ///
    /// # Errors
    /// [`AppError::Folder`]
    pub fn scratch(&self) -> Result<File, AppError> {
        let folder = self.data().join("tmp");
        let path = folder.join("scratch");
        let made = fs::create_dir_all(&folder).and_then(|()| {
            let options = &mut File::options();
            let file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        });
        made.map_err(|source| AppError::Folder { data: self.data().to_owned(), source })
    }

    /// Makes it a registry like any other.
    ///
    /// # Errors
    /// [`AppError::Folder`]
    pub fn finish(self) -> Result<(), AppError> {
        fs::remove_file(&self.mark)
            .and_then(|()| sync(self.data()))
            .map_err(|source| AppError::Folder { data: self.data().to_owned(), source })
    }

    fn data(&self) -> &Path {
        self.mark.parent().unwrap_or(Path::new("."))
    }
}

/// Makes the index of that URL, which may be a database elsewhere, and returns whether it belongs to no registry.
async fn is_free(url: &str) -> Result<bool, IndexError> {
    // Opening one takes it away from the process that has it. Where there is none yet, it cannot be looked at;
    // what else is wrong with it, opening it shows.
    if let Ok(index) = index::open_read_only(url).await
        && !is_unused(index.as_ref()).await?
    {
        return Ok(false);
    }
    is_unused(index::open(url).await?.as_ref()).await
}

/// Returns whether nothing was ever pushed to the registry of an index, nor is being pushed.
async fn is_unused(index: &Index) -> Result<bool, IndexError> {
    Ok(index.has_no_root().await?
        && index.open_entry_count().await? == 0
        && index.upload_count().await? == 0
        && index.stored_content(None, 1).await?.is_empty())
}

fn holds_tree(data: &Path) -> io::Result<bool> {
    data.join(TreeId::Public.as_str()).try_exists()
}

/// Refuses a folder that holds anything, a file of that name and what SQLite puts beside it aside.
fn expect_nothing(data: &Path, index: Option<&Path>) -> Result<(), AppError> {
    let entries = match fs::read_dir(data) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries,
    };
    let names: io::Result<Vec<_>> =
        entries.and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let names = names.map_err(|source| AppError::Folder { data: data.to_owned(), source })?;
    let is_index = |name: &OsString| {
        let index = index.and_then(Path::file_name);
        index.is_some_and(|index| name.as_bytes().starts_with(index.as_bytes()))
    };
    let is_nothing =
        |name: &OsString| NOTHING.iter().any(|nothing| name == *nothing) || is_index(name);
    let is_empty = names.iter().all(is_nothing);
    if is_empty { Ok(()) } else { Err(AppError::NotEmpty(data.to_owned())) }
}
