//! What all clients may read by its CID.

use std::time::Duration;

use super::{SettingsError, Values};

/// What all clients may read by its CID.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Whether blocks below the public root are served.
    pub enabled: bool,
    /// How long what is below a public root is served after the root was replaced.
    pub root_grace: Duration,
}

impl GatewaySettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self {
            enabled: values.flag("gateway.enabled"),
            root_grace: values.positive_duration("gateway.root_grace")?,
        })
    }
}
