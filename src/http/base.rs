//! `/v2/`: is this a registry?

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::error::Answer;
use super::{Api, extract};

/// `GET /v2/`
pub(super) async fn ping(request: HttpRequest, api: Data<Api>) -> Answer {
    extract::identify(&request, &api).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}
