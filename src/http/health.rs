//! `/healthz` and `/readyz`.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use super::Api;
use crate::index::IndexErrorKind;
use crate::registry::RegistryError;
use crate::storage::StorageErrorKind;

/// `GET /healthz`: the process answers.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// `GET /readyz`: each part can serve pulls; what keeps it from taking pushes is told.
pub(super) async fn ready(api: Data<Api>) -> HttpResponse {
    let (index, storage) = (api.registry.ping_index().await, api.registry.ping_storage().await);
    // Out of service, it would answer no pulls either: a full disk alone is no reason.
    let serves = |part: &Result<(), RegistryError>| {
        part.as_ref().map_or_else(RegistryError::is_of_writing, |()| true)
    };
    let mut response = if serves(&index) && serves(&storage) {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    let mut parts = json!({ "index": part(index), "storage": part(storage) });
    // A registry serves on while it cannot publish, so that never makes it unready.
    if let Ok(Some(standing)) = api.registry.publishing().await {
        let is_failing = standing.publication.is_some_and(|record| record.failure.is_some());
        let state = match (is_failing, standing.is_pending) {
            (true, _) => "failing",
            (false, true) => "pending",
            (false, false) => "ok",
        };
        parts["publishing"] = state.into();
    }
    response.json(parts)
}

/// Says how a part is to whoever asks; why, and where, is for the log.
fn part(answer: Result<(), RegistryError>) -> &'static str {
    let Err(error) = answer else { return "ok" };
    tracing::warn!(%error, "not ready");
    match error {
        RegistryError::Storage(error) => match error.kind {
            StorageErrorKind::Full | StorageErrorKind::Stuck => "has no room",
            StorageErrorKind::ReadOnly => "can only be read",
            _ => "not available",
        },
        RegistryError::Index(error) => match error.kind {
            IndexErrorKind::Full => "has no room",
            IndexErrorKind::ReadOnly => "can only be read",
            _ => "not available",
        },
        _ => "not available",
    }
}
