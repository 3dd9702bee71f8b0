//! How long unfinished uploads stay.

use std::time::Duration;

use super::{SettingsError, Values};

/// How long unfinished uploads stay.
#[derive(Debug, Clone)]
pub struct UploadSettings {
    /// How long an upload that no client continues is retained.
    pub expire_after: Duration,
    /// How long a client may send nothing of a body.
    pub idle_timeout: Duration,
    /// How many bytes uploads under way may have together.
    pub max_bytes: u64,
    /// How often expired uploads are looked for.
    pub purge_interval: Duration,
}

impl UploadSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self {
            expire_after: values.positive_duration("uploads.expire_after")?,
            idle_timeout: values.positive_duration("uploads.idle_timeout")?,
            max_bytes: Some(values.number("uploads.max_bytes"))
                .filter(|bytes| *bytes > 0)
                .ok_or_else(|| values.refuse("uploads.max_bytes"))?,
            purge_interval: values.positive_duration("uploads.purge_interval")?,
        })
    }
}
