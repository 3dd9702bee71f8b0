//! What a driver is opened with.

use std::path::Path;
use std::sync::Arc;

use super::Locks;
use crate::config::StorageSettings;

/// Where a storage is.
#[derive(Clone)]
pub struct StorageContext<'a> {
    /// The data folder.
    pub data: &'a Path,
    /// The section of the settings, of which each driver reads its own part.
    pub settings: &'a StorageSettings,
    /// What keeps the processes apart that share the storage.
    pub locks: Arc<dyn Locks>,
}
