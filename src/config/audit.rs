//! How long it is remembered who did what.

use std::time::Duration;

use super::{SettingsError, Values};

/// How long it is remembered who did what.
#[derive(Debug, Clone)]
pub struct AuditSettings {
    /// How long events are retained.
    pub keep: Duration,
}

impl AuditSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self { keep: values.positive_duration("audit.keep")? })
    }
}
