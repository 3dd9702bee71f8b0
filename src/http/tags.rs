//! `/v2/<name>/tags/list`

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use super::error::Answer;
use super::extract::{Granted, Query};
use super::page::Page;
use super::{Api, respond};
use crate::auth::PullGrant;

/// `GET` (distribution-spec, "Listing Tags")
pub(super) async fn list(
    Granted(grant, query): Granted<PullGrant, Query>,
    api: Data<Api>,
) -> Answer {
    let page = Page::read(&query)?;
    let repository = api.registry.repository(&grant);
    let (tags, more) = repository.tags(page.last.as_deref(), page.limit).await?;
    let name = grant.repository();
    let mut response = HttpResponse::Ok();
    respond::tell_age(&mut response, &api, &grant);
    if let (true, Some(last)) = (more, tags.last()) {
        let parameters = [("n", page.limit.to_string()), ("last", last.to_string())];
        let parameters = parameters.each_ref().map(|(name, value)| (*name, value.as_str()));
        Page::link(&mut response, &format!("/v2/{name}/tags/list"), &parameters);
    }
    Ok(response.json(json!({ "name": name, "tags": tags })))
}
