//! The table of providers: a file and a row each.

mod cloudflare;
mod exec;
mod rfc2136;

use std::sync::Arc;

use super::{Provider, PublishError};
use crate::config::PublishSettings;

/// Somebody who can write records: one row of [`PROVIDERS`].
pub struct ProviderKind {
    /// As the setting `publish.provider` names it.
    pub name: &'static str,
    /// Makes it out of its own section of the settings. Nobody is asked for anything yet.
    pub open: fn(&PublishSettings) -> Result<Arc<dyn Provider>, PublishError>,
}

/// Every provider.
pub const PROVIDERS: &[ProviderKind] = &[
    ProviderKind { name: "rfc2136", open: rfc2136::open },
    ProviderKind { name: "cloudflare", open: cloudflare::open },
    ProviderKind { name: "exec", open: exec::open },
];
