//! `/v2/_catalog`

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use super::Api;
use super::error::Answer;
use super::extract::{Granted, Query};
use super::page::Page;
use crate::auth::CatalogGrant;

/// `GET`: the repositories that have a manifest.
pub(super) async fn list(
    Granted(grant, query): Granted<CatalogGrant, Query>,
    api: Data<Api>,
) -> Answer {
    let page = Page::read(&query)?;
    let (names, more) = api.registry.repositories(&grant, page.last.as_deref(), page.limit).await?;
    let mut response = HttpResponse::Ok();
    if let (true, Some(last)) = (more, names.last()) {
        let parameters = [("n", page.limit.to_string()), ("last", last.to_string())];
        let parameters = parameters.each_ref().map(|(name, value)| (*name, value.as_str()));
        Page::link(&mut response, "/v2/_catalog", &parameters);
    }
    Ok(response.json(json!({ "repositories": names })))
}
