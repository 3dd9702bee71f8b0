//! `/healthz` and `/readyz`.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use super::Api;
use crate::registry::RegistryError;

/// `GET /healthz`: the process answers.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// `GET /readyz`: each part can do its work.
pub(super) async fn ready(api: Data<Api>) -> HttpResponse {
    let (index, storage) = (api.registry.ping_index().await, api.registry.ping_storage().await);
    let mut response = if index.is_ok() && storage.is_ok() {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    let mut parts = json!({ "index": part(index), "storage": part(storage) });
    // A registry serves on while it cannot publish, so that never makes it unready.
    if let Ok(Some(standing)) = api.registry.publishing().await {
        parts["publishing"] = standing.to_string().into();
    }
    response.json(parts)
}

fn part(answer: Result<(), RegistryError>) -> String {
    match answer {
        Ok(()) => "ok".to_owned(),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            error.to_string()
        }
    }
}
