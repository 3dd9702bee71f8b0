//! How the parts were when they were last looked at.

use std::sync::Arc;
use std::time::Instant;

use actix_web::http::StatusCode;
use serde_json::Value;
use tokio::sync::Mutex;

/// How the parts were when they were last looked at. A look writes to each part, and any client may ask.
#[derive(Default)]
pub struct Readiness {
    pub(super) last: Arc<Mutex<Option<(Instant, Outcome)>>>,
}

#[derive(Clone)]
pub(super) struct Outcome {
    pub(super) status: StatusCode,
    pub(super) parts: Value,
}
