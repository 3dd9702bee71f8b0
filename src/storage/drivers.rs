//! The table of drivers, and what they are opened with.

use std::io;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::embedded::uploads::UploadFile;
use super::{Result, Storage, StorageContext, embedded, kubo};

/// A storage that is being opened.
pub type Opening<'a> = BoxFuture<'a, Result<Arc<dyn Storage>>>;

/// A way to store: one row of [`DRIVERS`].
pub struct Driver {
    /// As the setting `storage.driver` names it.
    pub name: &'static str,
    /// Whether all of it stands in the data folder, which one process owns.
    pub is_in_data_folder: bool,
    /// How unfinished ingests are seen and removed where the storage cannot be opened, if that is possible.
    pub upload_files: Option<UploadFiles>,
    /// Opens the storage. Nothing need be there yet: [`Storage::repair`] makes what is missing.
    pub open: fn(StorageContext<'_>) -> Opening<'_>,
}

/// Unfinished ingests in a data folder that is not open.
#[derive(Clone, Copy)]
pub struct UploadFiles {
    /// Lists them.
    pub list: fn(&Path) -> io::Result<Vec<UploadFile>>,
    /// Removes the one of that name.
    pub remove: fn(&Path, &str) -> io::Result<()>,
}

/// Opens a storage in a folder, for tests of rooms that know no settings.
#[cfg(test)]
pub(crate) fn open_embedded(data: &Path) -> Result<Arc<dyn Storage>> {
    embedded::open(data)
}

/// Every driver.
pub const DRIVERS: &[Driver] = &[
    Driver {
        name: "embedded",
        is_in_data_folder: true,
        upload_files: Some(UploadFiles {
            list: embedded::uploads::list,
            remove: embedded::uploads::remove,
        }),
        open: |context| Box::pin(async move { embedded::open(context.data) }),
    },
    Driver {
        name: "kubo",
        is_in_data_folder: false,
        upload_files: None,
        open: |context| Box::pin(async move { kubo::open(&context) }),
    },
];
