//! `/metrics`: numbers for Prometheus, none of which names a repository, a tag or a user.
//!
//! What requests count stands in [`route`], each route with its own handles; what is queried at
//! each read stands in [`reading`], what the system knows of the process in `process`.

mod exposition;
mod process;
mod reading;
mod route;
mod shared;

use std::fmt;
use std::sync::{Arc, LazyLock};

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

pub(super) use route::{Measured, RouteMetrics};

use super::accept::Accept;
use super::error::Answer;
use super::{Api, caller};
use crate::auth::Act;
use reading::{Counts, Reading};
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

/// `GET /metrics`, for users who may list all repositories, though no number names one: in the format
/// of OpenMetrics for clients that request it, as Prometheus does, and in the older one for all others.
pub(super) async fn get(request: HttpRequest, api: Data<Api>) -> Answer {
    api.authority.decide(&caller::of(&request), Act::List).await?;
    let reading = Reading::take(&api).await;
    let text = api.metrics.write(&reading.registry()).expect("a text takes what is written to it");
    let accept = Accept::read(&request);
    let known = [exposition::NAME, exposition::PLAIN_NAME];
    let ranges = accept.best_first();
    let best = ranges.into_iter().find(|range| known.contains(&range.media_type.as_str()));
    let is_open = best.is_some_and(|it| it.quality > 0.0 && it.media_type == exposition::NAME);
    let (content_type, text) = if is_open {
        (exposition::OPEN, text)
    } else {
        (exposition::PLAIN, exposition::plain(&text))
    };
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, content_type)).body(text))
}
