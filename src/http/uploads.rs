//! `/v2/<name>/blobs/uploads/`

use actix_web::http::header::{CONTENT_RANGE, LOCATION, RANGE};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::error::{Answer, ApiError};
use super::extract::{Granted, Query, UploadId};
use super::respond::{self, CONTENT_DIGEST};
use super::{Api, body, range};
use crate::auth::PushGrant;
use crate::oci::{Algorithm, Digest, ErrorCode};
use crate::registry::{Blob, RegistryError, Upload};

/// The name of an upload.
const UPLOAD_ID: &str = "Docker-Upload-UUID";

/// `POST`: begins an upload, takes a whole blob with `?digest=`, or mounts one with `?mount=`
/// (distribution-spec, "Pushing blobs", "Mounting a blob from another repository").
pub(super) async fn post(
    Granted(grant, query): Granted<PushGrant, Query>,
    request: HttpRequest,
    body: Payload,
    api: Data<Api>,
) -> Answer {
    if query.get("mount").is_some_and(|digest| !digest.is_empty())
        && let Some(digest) = query.parse::<Digest>("mount")?
        && let Some(blob) = mount(&grant, &digest, query.get("from"), &api).await?
    {
        return Ok(created(&api, &grant, &blob));
    }
    // The algorithm only matters at the end; one that never can be verified is refused now.
    query.parse::<Algorithm>("digest-algorithm")?;
    let digest = query.parse::<Digest>("digest")?;
    let id = api.registry.begin_upload(&grant).await?;
    match digest {
        None => Ok(upload_head(HttpResponse::Accepted(), &api, &grant, &id, 0).finish()),
        Some(digest) => {
            let finished = finish(&grant, &id, &digest, Retry::Anew, &request, body, &api).await;
            if finished.is_err() {
                let _ = api.registry.cancel_upload(&grant, &id).await;
            }
            finished
        }
    }
}

/// Takes the blob from `from`, or from wherever the client may pull; none where that fails, be it
/// that `from` is no name: clients count on an upload then.
async fn mount(
    grant: &PushGrant,
    digest: &Digest,
    from: Option<&str>,
    api: &Api,
) -> Result<Option<Blob>, ApiError> {
    let candidates = match from.filter(|name| !name.is_empty()) {
        Some(name) => name.parse().into_iter().collect(),
        None => api.registry.mount_candidates(digest).await?,
    };
    for name in candidates {
        let Ok(from) = api.authority.pull(grant.identity(), name).await else { continue };
        if let Some(blob) = api.registry.mount_blob(grant, &from, digest).await? {
            return Ok(Some(blob));
        }
    }
    Ok(None)
}

/// `GET`: how far an upload has come.
pub(super) async fn status(
    Granted(grant, UploadId(id)): Granted<PushGrant, UploadId>,
    api: Data<Api>,
) -> Answer {
    let offset = api.registry.upload_offset(&grant, &id).await?;
    Ok(upload_head(HttpResponse::NoContent(), &api, &grant, &id, offset).finish())
}

/// `PATCH`: appends a chunk, or a stream that says neither where it belongs nor how long it is.
pub(super) async fn patch(
    Granted(grant, UploadId(id)): Granted<PushGrant, UploadId>,
    request: HttpRequest,
    mut body: Payload,
    api: Data<Api>,
) -> Answer {
    let upload = append(&grant, &id, Retry::WhereItStands, &request, &mut body, &api).await?;
    let offset = upload.save().await?;
    Ok(upload_head(HttpResponse::Accepted(), &api, &grant, &id, offset).finish())
}

/// `PUT`: ends an upload, with or without a last chunk.
pub(super) async fn put(
    Granted(grant, (UploadId(id), query)): Granted<PushGrant, (UploadId, Query)>,
    request: HttpRequest,
    body: Payload,
    api: Data<Api>,
) -> Answer {
    let Some(digest) = query.parse::<Digest>("digest")? else {
        return Err(ApiError::malformed(
            ErrorCode::DigestInvalid,
            "the parameter `digest` is missing",
        ));
    };
    finish(&grant, &id, &digest, Retry::WhereItStands, &request, body, &api).await
}

/// `DELETE`: ends an upload without a result.
pub(super) async fn cancel(
    Granted(grant, UploadId(id)): Granted<PushGrant, UploadId>,
    api: Data<Api>,
) -> Answer {
    api.registry.cancel_upload(&grant, &id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What a client does whose request broke off.
#[derive(Clone, Copy)]
enum Retry {
    /// It goes on with the upload.
    WhereItStands,
    /// It begins anew, since it was never told the upload's name.
    Anew,
}

/// Claims an upload and appends the body. If the body breaks off, what arrived stays; if it is not
/// what its headers said, the upload is as it was before.
async fn append(
    grant: &PushGrant,
    id: &str,
    retry: Retry,
    request: &HttpRequest,
    body: &mut Payload,
    api: &Api,
) -> Result<Upload, ApiError> {
    let header =
        request.headers().get(CONTENT_RANGE).map(|value| value.to_str().unwrap_or_default());
    let chunk = header.map(range::chunk).transpose()?;
    let announced = body::length(request)?;
    if let (Some(chunk), Some(received)) = (&chunk, announced) {
        let expected = chunk.end - chunk.start;
        if expected != received {
            return Err(RegistryError::SizeMismatch { expected, received }.into());
        }
    }
    let start = chunk.as_ref().map(|chunk| chunk.start);
    let claimed = api.registry.claim_upload(grant, id, start).await;
    let mut upload = claimed.map_err(|error| misplaced(error, api, grant, id))?;
    if let Retry::Anew = retry {
        upload.forget_on_drop();
    }
    let before = upload.offset();
    body::append(request, body, &mut upload).await?;
    let received = upload.offset() - before;
    match chunk.map(|chunk| chunk.end - chunk.start) {
        Some(expected) if expected != received => {
            upload.abandon().await?;
            Err(RegistryError::SizeMismatch { expected, received }.into())
        }
        _ => Ok(upload),
    }
}

/// Appends what the request has, and ends the upload.
async fn finish(
    grant: &PushGrant,
    id: &str,
    digest: &Digest,
    retry: Retry,
    request: &HttpRequest,
    mut body: Payload,
    api: &Api,
) -> Answer {
    let upload = append(grant, id, retry, request, &mut body, api).await?;
    let blob = upload.finish(digest).await?;
    Ok(created(api, grant, &blob))
}

/// Says where an upload goes on to a client that was mistaken about it.
fn misplaced(error: RegistryError, api: &Api, grant: &PushGrant, id: &str) -> ApiError {
    let is_misplaced =
        matches!(error, RegistryError::UploadOffset { .. } | RegistryError::UploadBusy { .. });
    let error = ApiError::from(error);
    if !is_misplaced {
        return error;
    }
    error.with(LOCATION.as_str(), upload_location(api, grant, id)).with(UPLOAD_ID, id)
}

fn upload_head(
    mut response: HttpResponseBuilder,
    api: &Api,
    grant: &PushGrant,
    id: &str,
    offset: u64,
) -> HttpResponseBuilder {
    response
        .insert_header((LOCATION, upload_location(api, grant, id)))
        .insert_header((RANGE, range::received(offset)))
        .insert_header((UPLOAD_ID, id));
    response
}

fn upload_location(api: &Api, grant: &PushGrant, id: &str) -> String {
    respond::location(api, grant.repository(), &format!("blobs/uploads/{id}"))
}

fn created(api: &Api, grant: &PushGrant, blob: &Blob) -> HttpResponse {
    let location = respond::location(api, grant.repository(), &format!("blobs/{}", blob.digest));
    let mut response = HttpResponse::Created();
    response
        .insert_header((LOCATION, location))
        .insert_header((CONTENT_DIGEST, blob.digest.to_string()));
    if let Some(cid) = blob.cid() {
        response.insert_header(("X-Ipfs-Path", format!("/ipfs/{cid}")));
    }
    response.finish()
}
