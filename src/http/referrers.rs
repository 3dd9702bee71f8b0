//! `/v2/<name>/referrers/<digest>`

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Data;
use serde_json::json;

use super::Api;
use super::error::Answer;
use super::extract::{Granted, Query};
use super::page::Page;
use crate::auth::PullGrant;
use crate::oci::{Digest, MediaType};
use crate::registry::ReferrersQuery;

/// `GET` (distribution-spec, "Listing Referrers")
pub(super) async fn list(
    Granted(grant, (subject, query)): Granted<PullGrant, (Digest, Query)>,
    api: Data<Api>,
) -> Answer {
    let limit = Page::read(&query)?.limit;
    // No artifact type has a NUL, which not every database takes.
    let artifact_type = query.get("artifactType").filter(|text| !text.is_empty());
    let artifact_type = artifact_type.map(|text| text.replace('\0', "\u{fffd}"));
    let last = query.parse("last")?;
    let requested = ReferrersQuery { subject, artifact_type, last, limit };
    let page = api.registry.repository(&grant).referrers(&requested).await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, MediaType::OciIndex.as_str()));
    let (limit, last) = (limit.to_string(), page.next.map(|last| last.to_string()));
    let mut parameters = vec![("n", limit.as_str())];
    if let Some(artifact_type) = &requested.artifact_type {
        response.insert_header(("OCI-Filters-Applied", "artifactType"));
        parameters.push(("artifactType", artifact_type));
    }
    if let Some(last) = &last {
        parameters.push(("last", last));
        let path = format!("/v2/{}/referrers/{subject}", grant.repository());
        Page::link(&mut response, &path, &parameters);
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciIndex.as_str(),
        "manifests": page.referrers,
    });
    Ok(response.body(index.to_string()))
}
