//! When garbage is collected.

use std::time::Duration;

use super::{SettingsError, Values};

/// When garbage is collected.
#[derive(Debug, Clone)]
pub struct GcSettings {
    /// How long a blob stays that no manifest names.
    pub grace: Duration,
    /// How often a server collects by itself; zero: never.
    pub interval: Duration,
}

impl GcSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self { grace: values.duration("gc.grace")?, interval: values.duration("gc.interval")? })
    }
}
