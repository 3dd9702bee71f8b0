//! Where bytes and names live.

use super::{SettingsError, Values};

/// Where bytes and names live.
#[derive(Debug, Clone)]
pub struct StorageSettings {
    /// The driver's name in the table of the storage room.
    pub driver: &'static str,
}

impl StorageSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self { driver: values.choice("storage.driver")? })
    }
}
