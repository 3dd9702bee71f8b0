//! A data folder that is being filled, from the folder of a stock registry or with a publisher's root: it
//! belongs to the process that fills it until that is done.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use cid::Cid;

use super::{App, AppError, driver, index_url};
use crate::config::Settings;
use crate::index::{self, Index, IndexError};
use crate::oci::TreeId;

/// What an empty data folder may hold: what a fresh file system puts there, or a beginning that was
/// cut short.
const NOTHING: [&str; 4] = ["lock", "lost+found", "adopting.new", "restoring.new"];

/// What a data folder is filled with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// The folder of a stock registry.
    Folder(PathBuf),
    /// A published root.
    Root(Cid),
}

/// A registry that only the process that fills it may open. It stays so until [`ImportSession::finish`].
pub struct ImportSession {
    /// The registry, and the lock on its data folder.
    pub app: App,
    mark: PathBuf,
}

impl Origin {
    /// The file whose content names the origin while the folder is being filled.
    fn mark(&self) -> &'static str {
        match self {
            Self::Folder(_) => "adopting",
            Self::Root(_) => "restoring",
        }
    }

    fn write_to(&self, data: &Path) -> io::Result<()> {
        let name = match self {
            Self::Folder(folder) => folder.as_os_str().as_encoded_bytes().to_vec(),
            Self::Root(root) => root.to_string().into_bytes(),
        };
        // At once: a mark cut short would name something else.
        let draft = data.join(format!("{}.new", self.mark()));
        let mut file = File::create(&draft)?;
        file.write_all(&name).and_then(|()| file.sync_all())?;
        fs::rename(&draft, data.join(self.mark()))?;
        sync(data)
    }

    /// Says that a folder is half of this.
    fn half(self, data: &Path) -> AppError {
        let data = data.to_owned();
        match self {
            Self::Folder(from) => AppError::HalfAdopted { data, from },
            Self::Root(root) => AppError::HalfRestored { data, root: root.to_string() },
        }
    }
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
        let lock = super::lock::DataLock::take(data)?;
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

/// Refuses a folder that is not filled yet.
pub(super) fn expect_done(data: &Path) -> Result<(), AppError> {
    begun(data)?.map_or(Ok(()), |origin| Err(origin.half(data)))
}

/// Returns what the folder is being filled with, if that is not done.
fn begun(data: &Path) -> Result<Option<Origin>, AppError> {
    let failed = |source| AppError::Folder { data: data.to_owned(), source };
    let read = |mark: &str| match fs::read(data.join(mark)) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        read => read.map(Some),
    };
    if let Some(name) = read("adopting").map_err(failed)? {
        return Ok(Some(Origin::Folder(OsString::from_vec(name).into())));
    }
    let Some(name) = read("restoring").map_err(failed)? else { return Ok(None) };
    let root = str::from_utf8(&name).ok().and_then(|name| name.parse().ok());
    let odd = || failed(io::Error::new(ErrorKind::InvalidData, "`restoring` names no root"));
    root.map(|root| Some(Origin::Root(root))).ok_or_else(odd)
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
    let state = index.tree_state(TreeId::Public).await?;
    Ok(state.root.is_none()
        && state.last.is_none()
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

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
