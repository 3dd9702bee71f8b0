//! What a data folder is being filled with: a file in it says so until that is done.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use cid::Cid;

use super::AppError;

/// What a data folder is filled with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The folder of a stock registry.
    Folder(PathBuf),
    /// A published root.
    Root(Cid),
}

impl Origin {
    /// The file whose content names the origin while the folder is being filled.
    pub(super) fn mark(&self) -> &'static str {
        match self {
            Self::Folder(_) => "adopting",
            Self::Root(_) => "restoring",
        }
    }

    pub(super) fn write_to(&self, data: &Path) -> io::Result<()> {
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

    /// Returns the error for a folder that holds only a part of this origin.
    pub(super) fn half(self, data: &Path) -> AppError {
        let data = data.to_owned();
        match self {
            Self::Folder(from) => AppError::HalfAdopted { data, from },
            Self::Root(root) => AppError::HalfRestored { data, root: root.to_string() },
        }
    }
}

/// Refuses a folder that is not filled yet.
pub(super) fn expect_done(data: &Path) -> Result<(), AppError> {
    begun(data)?.map_or(Ok(()), |origin| Err(origin.half(data)))
}

/// Returns what the folder is being filled with, if that is not done.
pub(super) fn begun(data: &Path) -> Result<Option<Origin>, AppError> {
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

pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
