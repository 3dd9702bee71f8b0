//! Which manifests are accepted.

use std::time::Duration;

use super::{SettingsError, Values};

/// Which manifests are accepted.
#[derive(Debug, Clone)]
pub struct ManifestSettings {
    /// The largest manifest, in bytes.
    pub max_bytes: usize,
    /// How many bytes manifests may have in memory, all together.
    pub max_memory: usize,
    /// How long a client may send nothing of a large manifest.
    pub idle_timeout: Duration,
    /// Whether an index may name images that the repository does not have.
    pub allow_sparse_indexes: bool,
}

impl ManifestSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        let max_bytes = usize::try_from(values.number("manifests.max_bytes"))
            .ok()
            .filter(|bytes| *bytes > 0)
            .ok_or_else(|| values.refuse("manifests.max_bytes"))?;
        let max_memory = usize::try_from(values.number("manifests.max_memory"))
            .ok()
            .filter(|bytes| *bytes >= max_bytes)
            .ok_or_else(|| values.refuse("manifests.max_memory"))?;
        let idle_timeout = values.positive_duration("manifests.idle_timeout")?;
        let allow_sparse_indexes = values.flag("manifests.allow_sparse_indexes");
        Ok(Self { max_bytes, max_memory, idle_timeout, allow_sparse_indexes })
    }
}
