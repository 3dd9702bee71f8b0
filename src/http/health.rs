//! `/healthz` and `/readyz`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpResponse, rt};
use serde_json::json;

use super::Api;
use super::readiness::Outcome;
use crate::index::IndexErrorKind;
use crate::registry::RegistryError;
use crate::storage::StorageErrorKind;

/// How long an outcome is good for others.
const SHARED: Duration = Duration::from_secs(1);

/// `GET /healthz`: the process answers.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// `GET /readyz`: each part can serve pulls; what prevents pushes is reported.
pub(super) async fn ready(api: Data<Api>) -> HttpResponse {
    let Some(Outcome { status, mut parts }) = outcome(&api).await else {
        return HttpResponse::ServiceUnavailable().finish();
    };
    // A registry serves on while it cannot publish, so that never makes it unready.
    if let Ok(Some(status)) = api.registry.publishing().await {
        let is_failing = status.publication.is_some_and(|record| record.failure.is_some());
        let state = match (is_failing, status.is_pending) {
            (true, _) => "failing",
            (false, true) => "pending",
            (false, false) => "ok",
        };
        parts["publishing"] = state.into();
    }
    HttpResponse::build(status).json(parts)
}

/// Looks at each part, unless that was just done; none if it cannot be looked at.
async fn outcome(api: &Data<Api>) -> Option<Outcome> {
    // One look at a time: the others wait for its outcome.
    let mut last = Arc::clone(&api.readiness.last).lock_owned().await;
    if let Some((_, known)) = last.as_ref().filter(|(since, _)| since.elapsed() < SHARED) {
        return Some(known.clone());
    }
    let api = Data::clone(api);
    // Goes on when the client hangs up, or the next would begin another beside it.
    let looking = rt::spawn(async move {
        let outcome = look(&api).await;
        *last = Some((Instant::now(), outcome.clone()));
        outcome
    });
    looking.await.ok()
}

/// Looks at each part.
async fn look(api: &Api) -> Outcome {
    let (index, storage) = (api.registry.ping_index().await, api.registry.ping_storage().await);
    // Out of service, it would answer no pulls either: a full disk alone is no reason.
    let serves = |part: &Result<(), RegistryError>| {
        part.as_ref().map_or_else(RegistryError::is_of_writing, |()| true)
    };
    let is_ready = serves(&index) && serves(&storage);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let parts = json!({ "index": part(index), "storage": part(storage) });
    Outcome { status, parts }
}

/// Reports the state of a part to the client; why, and where, is for the log.
fn part(answer: Result<(), RegistryError>) -> &'static str {
    let Err(error) = answer else { return "ok" };
    tracing::warn!(%error, "not ready");
    match error {
        RegistryError::Storage(error) => match error.kind {
            StorageErrorKind::Full | StorageErrorKind::Stuck => "is full",
            StorageErrorKind::ReadOnly => "is read-only",
            _ => "not available",
        },
        RegistryError::Index(error) => match error.kind {
            IndexErrorKind::Full => "is full",
            IndexErrorKind::ReadOnly => "is read-only",
            _ => "not available",
        },
        _ => "not available",
    }
}
