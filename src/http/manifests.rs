//! `/v2/<name>/manifests/<reference>`

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::error::{Answer, ApiError};
use super::respond::{self, CONTENT_DIGEST};
use super::{Api, body};
use crate::auth::{DeleteGrant, PullGrant, PushGrant};
use crate::oci::{ErrorCode, Reference};

/// `GET` and `HEAD` (distribution-spec, "Pulling manifests"). `Accept` is not asked: clients that
/// omit a type get it all the same, as it was pushed.
pub(super) async fn get(
    grant: PullGrant,
    reference: Reference,
    request: HttpRequest,
    api: Data<Api>,
) -> Answer {
    let manifest = api.registry.manifest(&grant, &reference).await?;
    let is_known = respond::is_known(&request, &manifest.digest);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    respond::describe(&mut response, &manifest.digest, &manifest.cid);
    if is_known {
        return Ok(response.finish());
    }
    Ok(response.insert_header((CONTENT_TYPE, manifest.media_type)).body(manifest.bytes))
}

/// `PUT` (distribution-spec, "Pushing Manifests")
pub(super) async fn put(
    grant: PushGrant,
    reference: Reference,
    request: HttpRequest,
    body: Payload,
    api: Data<Api>,
) -> Answer {
    let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.to_str()).transpose();
    let content_type = content_type.map_err(|_| {
        ApiError::malformed(ErrorCode::ManifestInvalid, "the Content-Type is not text")
    })?;
    let bytes = body::read(&request, body, api.registry.manifest_limit()).await?;
    let pushed = api.registry.put_manifest(&grant, &reference, content_type, bytes).await?;
    let mut response = HttpResponse::Created();
    respond::locate(
        &mut response,
        &api,
        grant.repository(),
        &format!("manifests/{}", pushed.digest),
    );
    response
        .insert_header((CONTENT_DIGEST, pushed.digest.to_string()))
        .insert_header(("X-Ipfs-Path", format!("/ipfs/{}", pushed.cid)));
    if let Some(subject) = pushed.subject {
        response.insert_header(("OCI-Subject", subject.to_string()));
    }
    Ok(response.finish())
}

/// `DELETE` (distribution-spec, "Deleting tags", "Deleting Manifests")
pub(super) async fn delete(grant: DeleteGrant, reference: Reference, api: Data<Api>) -> Answer {
    api.registry.delete_manifest(&grant, &reference).await?;
    Ok(respond::accepted())
}
