//! `/v2/`: is this a registry?

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::error::Answer;
use super::{Api, caller};
use crate::auth::Act;

/// `GET /v2/`
pub(super) async fn ping(request: HttpRequest, api: Data<Api>) -> Answer {
    api.authority.decide(&caller::of(&request), Act::SignIn).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}
