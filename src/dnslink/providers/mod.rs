//! The table of providers: a file and a row each.

mod cloudflare;
mod exec;
mod rfc2136;

use std::sync::Arc;

use super::{Provider, PublishError};
use crate::config::PublishSettings;

/// A provider that can write records: one row of [`PROVIDERS`].
pub struct ProviderKind {
    /// Its name in the setting `publish.provider`.
    pub name: &'static str,
    /// Makes it from its own section of the settings. It sends no request yet.
    pub open: fn(&PublishSettings) -> Result<Arc<dyn Provider>, PublishError>,
}

/// Every provider.
pub const PROVIDERS: &[ProviderKind] = &[
    ProviderKind { name: "rfc2136", open: rfc2136::open },
    ProviderKind { name: "cloudflare", open: cloudflare::open },
    ProviderKind { name: "exec", open: exec::open },
];
