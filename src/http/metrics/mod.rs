//! `/metrics`: numbers for Prometheus, none of which names a repository, a tag or a user.
//!
//! What requests count stands in [`route`], each route with its own handles; what is queried at
//! each read stands in [`reading`], what the system knows of the process in `process`.

mod counts;
mod exposition;
mod process;
mod reading;
mod route;
mod scrape;
mod shared;

use std::fmt;
use std::sync::{Arc, LazyLock};

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

pub(super) use route::{Measured, RouteMetrics};
pub(super) use scrape::get;

use counts::Counts;
use route::Families;
use shared::Shared;

/// All that is counted, shared by the threads of the server.
#[derive(Clone)]
pub struct Metrics {
    families: Families,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
    registry: Arc<Registry>,
    /// What is queried from the index.
    counts: Shared<Counts>,
}

impl Metrics {
    /// Begins to count.
    #[must_use]
    pub fn new() -> Self {
        LazyLock::force(&process::STARTED);
        let mut registry = Registry::with_prefix("roadstead");
        let families = Families::register(&mut registry);
        let refused = Family::default();
        registry.register(
            "limit_refusals",
            "Requests and connections that were refused since a limit was reached, by limit",
            refused.clone(),
        );
        Self { families, refused, registry: Arc::new(registry), counts: Shared::default() }
    }

    /// Returns the handles of a route for one thread. `pattern` is as the route is written.
    pub(super) fn route(&self, pattern: &str) -> RouteMetrics {
        RouteMetrics::new(self.families.clone(), pattern)
    }

    /// Counts what was refused since a limit was reached.
    pub(super) fn refused(&self, limit: &'static str) {
        self.refused.get_or_create(&[("limit", limit)]).inc();
    }

    /// Writes everything in the format of OpenMetrics.
    fn write(&self, reading: &Registry) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, reading)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
