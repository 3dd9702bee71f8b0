//! `/v2/<name>/blobs/uploads/`

use actix_web::http::header::{CONTENT_RANGE, LOCATION, RANGE};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::body::{self, Body};
use super::error::{Answer, ApiError};
use super::extract::{Granted, Query, UploadPosition};
use super::headers::{CONTENT_DIGEST, IPFS_PATH};
use super::{Api, log, path, range, rate_limits, respond};
use crate::auth::{AuthError, Caller, Challenge, Meant, PushGrant, TokenFault};
use crate::oci::{Algorithm, Digest, ErrorCode, RepositoryName};
use crate::registry::{Beside, Blob, RegistryError, Upload};

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
    rate_limits::expect_push(&request, &api, grant.caller())?;
    if query.get("mount").is_some_and(|digest| !digest.is_empty())
        && let Some(digest) = query.parse::<Digest>("mount")?
        && let Some(blob) = mount(&grant, &digest, query.get("from"), &request, &api).await?
    {
        return created(&request, &api, &grant, &blob).await;
    }
    // The algorithm only matters at the end; one that never can be verified is refused now.
    query.parse::<Algorithm>("digest-algorithm")?;
    let digest = query.parse::<Digest>("digest")?;
    let id = api.registry.begin_upload(&grant).await?;
    let Some(digest) = digest else {
        return Ok(upload_head(HttpResponse::Accepted(), &api, &grant, &id, 0).finish());
    };
    let put = Put { grant: &grant, id: &id, digest, request: &request, api: &api };
    match put.whole(&mut Body::new(body, api.body_idle)).await {
        Ok(blob) => created(&request, &api, &grant, &blob).await,
        Err(error) => {
            // Its client never got its name, and begins anew.
            let _ = api.registry.cancel_upload(&grant, &id).await;
            Err(error)
        }
    }
}

/// Mounts the blob from the repository `from`, or from any that the client may pull from. Returns none where that fails, also
/// where `from` is no name: the client then uploads the blob. Where the user may read the source and the token does not name
/// it, the challenge names it, since most clients that mount then request a token for both.
async fn mount(
    grant: &PushGrant,
    digest: &Digest,
    from: Option<&str>,
    request: &HttpRequest,
    api: &Api,
) -> Result<Option<Blob>, ApiError> {
    let candidates = match from.filter(|name| !name.is_empty()) {
        Some(name) => name.parse::<RepositoryName>().into_iter().collect(),
        None => api.registry.mount_candidates(grant.caller(), digest).await?,
    };
    let caller = grant.caller();
    let mut beyond_token = None;
    for name in candidates {
        let record = api.registry.record_for(caller, &name).await?;
        let source = Meant { record, ..name.clone().into() };
        if let Ok(source) = api.authority.try_pull(caller, source.clone()).await {
            if let Some(blob) = api.registry.mount_blob(grant, &source, digest).await? {
                return Ok(Some(blob));
            }
        } else if source.record.is_some() && caller.scopes.is_some() && beyond_token.is_none() {
            let bearer = Caller { scopes: None, ..caller.clone() };
            let may_pull = api.authority.try_pull(&bearer, source).await.is_ok();
            beyond_token = may_pull.then_some(name);
        }
    }
    match (beyond_token, path::repository(request)) {
        (Some(source), Some((action, name))) => {
            let fault = Some(TokenFault::InsufficientScope);
            let refusal = AuthError::Unauthorized(Challenge::Token { scope: None, fault });
            Err(api.authority.about(refusal, action, &name).with_source(&source).into())
        }
        _ => Ok(None),
    }
}

/// `GET` and `HEAD`: how far an upload has come.
pub(super) async fn status(
    Granted(grant, UploadPosition { id, .. }): Granted<PushGrant, UploadPosition>,
    api: Data<Api>,
) -> Answer {
    let offset = api.registry.upload_offset(&grant, &id).await?;
    Ok(upload_head(HttpResponse::NoContent(), &api, &grant, &id, offset).finish())
}

/// `PATCH`: appends a chunk, or a stream that says neither where it belongs nor how long it is. What
/// comes by an old `Location` is 416, since it was sent before.
pub(super) async fn patch(
    Granted(grant, position): Granted<PushGrant, UploadPosition>,
    request: HttpRequest,
    body: Payload,
    api: Data<Api>,
) -> Answer {
    let UploadPosition { id, offset } = position;
    let chunk = Chunk::of(&request)?;
    let start = chunk.as_ref().map(|chunk| chunk.start).or(offset);
    let mut body = Body::new(body, api.body_idle);
    let patched = async {
        let mut upload = api.registry.claim_upload(&grant, &id, start).await?;
        if let Some(ending) = body.append(&request, &mut upload, None).await? {
            return Err(upload.give_way(ending).await);
        }
        check_length(chunk, start, upload).await?.save().await
    };
    let offset = patched.await.map_err(|error| misplaced(error, &api, &grant, &id))?;
    Ok(upload_head(HttpResponse::Accepted(), &api, &grant, &id, offset).finish())
}

/// `PUT`: ends an upload, with or without a last chunk. A body that has the digest by itself is taken,
/// whatever the upload had before; and what the repository has by then, it was sent.
pub(super) async fn put(
    Granted(grant, (position, query)): Granted<PushGrant, (UploadPosition, Query)>,
    request: HttpRequest,
    body: Payload,
    api: Data<Api>,
) -> Answer {
    let Some(digest) = query.parse::<Digest>("digest")? else {
        return Err(ApiError::malformed(ErrorCode::DigestInvalid, "missing parameter `digest`"));
    };
    let UploadPosition { id, offset } = position;
    let mut body = Body::new(body, api.body_idle);
    let put = Put { grant: &grant, id: &id, digest, request: &request, api: &api };
    let ended = if !body.has_bytes(&request).await? {
        put.nothing().await
    } else if let Some(chunk) = Chunk::of(&request)? {
        put.chunk(chunk, &mut body).await
    } else {
        put.rest_or_whole(offset, &mut body).await
    };
    let error = match ended {
        Ok(blob) => return created(&request, &api, &grant, &blob).await,
        Err(error) => error,
    };
    match error {
        RegistryError::UploadTakenOver { .. } => api.registry.upload_over(&id).await,
        RegistryError::UploadUnknown(_) => {}
        _ => return Err(misplaced(error, &api, &grant, &id)),
    }
    // The answer to the same request may have been lost.
    let Some(blob) = api.registry.pushed_blob(&grant, &digest).await? else {
        return Err(misplaced(error, &api, &grant, &id));
    };
    // A client that is still sending could not read the answer. One that breaks off needs none.
    let _ = body.drain(&request).await;
    created(&request, &api, &grant, &blob).await
}

/// `DELETE`: ends an upload without a result.
pub(super) async fn cancel(
    Granted(grant, UploadPosition { id, .. }): Granted<PushGrant, UploadPosition>,
    api: Data<Api>,
) -> Answer {
    api.registry.cancel_upload(&grant, &id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Where a chunk says that it belongs.
struct Chunk {
    start: u64,
    length: u64,
}

impl Chunk {
    /// Reads the `Content-Range` of a request, if it has one; the length that is announced has to fit.
    fn of(request: &HttpRequest) -> Result<Option<Self>, ApiError> {
        let announced = body::length(request)?;
        let Some(header) = request.headers().get(CONTENT_RANGE) else { return Ok(None) };
        let header = header.to_str().unwrap_or_default();
        let range = range::chunk(header).ok_or_else(|| {
            let message = format!("the Content-Range `{header}` is not <first>-<last>");
            ApiError::malformed(ErrorCode::BlobUploadInvalid, message)
        })?;
        let (start, length) = (range.start, range.end - range.start);
        match announced {
            Some(received) if received != length => {
                Err(RegistryError::SizeMismatch { expected: length, received }.into())
            }
            _ => Ok(Some(Self { start, length })),
        }
    }
}

/// Gives an upload back as it was before, if the chunk that was appended is not as long as it was to be.
async fn check_length(
    chunk: Option<Chunk>,
    start: Option<u64>,
    upload: Upload,
) -> Result<Upload, RegistryError> {
    let (Some(chunk), Some(start)) = (chunk, start) else { return Ok(upload) };
    let received = upload.offset() - start;
    if received == chunk.length {
        return Ok(upload);
    }
    upload.abandon().await?;
    Err(RegistryError::SizeMismatch { expected: chunk.length, received })
}

/// A request that ends an upload.
struct Put<'a> {
    grant: &'a PushGrant,
    id: &'a str,
    digest: Digest,
    request: &'a HttpRequest,
    api: &'a Api,
}

impl Put<'_> {
    async fn claim(&self, offset: Option<u64>) -> Result<Upload, RegistryError> {
        let mut upload = self.api.registry.claim_upload(self.grant, self.id, offset).await?;
        upload.expect(self.grant, &self.digest).await?;
        Ok(upload)
    }

    async fn append(
        &self,
        body: &mut Body,
        mut upload: Upload,
        beside: Option<&mut Beside>,
    ) -> Result<Upload, RegistryError> {
        match body.append(self.request, &mut upload, beside).await? {
            Some(ending) => Err(upload.give_way(ending).await),
            None => Ok(upload),
        }
    }

    /// Ends the upload with what it has. Where a `Content-Range` says that nothing belongs, does not matter.
    async fn nothing(&self) -> Result<Blob, RegistryError> {
        self.claim(None).await?.finish(&self.digest).await
    }

    /// Takes the whole blob, into an upload that no client can resume.
    async fn whole(&self, body: &mut Body) -> Result<Blob, ApiError> {
        let chunk = Chunk::of(self.request)?;
        let start = chunk.as_ref().map(|chunk| chunk.start);
        let mut upload = self.claim(start).await?;
        upload.forget_on_drop();
        let upload = self.append(body, upload, None).await?;
        Ok(check_length(chunk, start, upload).await?.finish(&self.digest).await?)
    }

    /// Ends the upload with a chunk that belongs where it says.
    async fn chunk(&self, chunk: Chunk, body: &mut Body) -> Result<Blob, RegistryError> {
        let start = Some(chunk.start);
        let upload = self.claim(start).await?;
        let upload = self.append(body, upload, None).await?;
        check_length(Some(chunk), start, upload).await?.finish(&self.digest).await
    }

    /// Ends the upload with a body that may be the rest of the blob, or the whole of it once more: by an
    /// old `Location` it can only be that.
    async fn rest_or_whole(
        &self,
        offset: Option<u64>,
        body: &mut Body,
    ) -> Result<Blob, RegistryError> {
        let registry = &self.api.registry;
        let upload = match self.claim(offset).await {
            Err(RegistryError::UploadOffset { .. }) => {
                let mut beside = registry.begin_beside(self.grant, &self.digest).await?;
                while let Some(bytes) = body.next().await? {
                    super::log::received(self.request, bytes.len());
                    beside.append(bytes).await?;
                }
                if let Some(blob) = self.finish_beside(beside).await? {
                    return Ok(blob);
                }
                let offset = registry.upload_offset(self.grant, self.id).await?;
                return Err(RegistryError::UploadOffset { offset });
            }
            claimed => claimed?,
        };
        if upload.offset() == 0 {
            return self.append(body, upload, None).await?.finish(&self.digest).await;
        }
        let mut beside = registry.begin_beside(self.grant, &self.digest).await?;
        let upload = self.append(body, upload, Some(&mut beside)).await?;
        match upload.finish(&self.digest).await {
            Err(error @ RegistryError::DigestMismatch(_)) => {
                self.finish_beside(beside).await?.ok_or(error)
            }
            ended => ended,
        }
    }

    /// Ends the upload by what came beside it, if that is the blob.
    async fn finish_beside(&self, beside: Beside) -> Result<Option<Blob>, RegistryError> {
        let Some(blob) = beside.finish(self.grant, &self.digest).await? else { return Ok(None) };
        match self.api.registry.cancel_upload(self.grant, self.id).await {
            Ok(()) | Err(RegistryError::UploadUnknown(_)) => {}
            // It expires.
            Err(error) => tracing::warn!(upload = self.id, %error, "failed to cancel an upload"),
        }
        Ok(Some(blob))
    }
}

/// Says where an upload goes on to a client that was mistaken about it.
fn misplaced(error: RegistryError, api: &Api, grant: &PushGrant, id: &str) -> ApiError {
    match error {
        RegistryError::UploadOffset { offset } | RegistryError::UploadTakenOver { offset } => {
            ApiError::from(error)
                .with(LOCATION.as_str(), upload_location(api, grant, id, offset))
                .with(UPLOAD_ID, id)
        }
        error => error.into(),
    }
}

fn upload_head(
    mut response: HttpResponseBuilder,
    api: &Api,
    grant: &PushGrant,
    id: &str,
    offset: u64,
) -> HttpResponseBuilder {
    response
        .insert_header((LOCATION, upload_location(api, grant, id, offset)))
        .insert_header((RANGE, range::received(offset)))
        .insert_header((UPLOAD_ID, id));
    response
}

/// Returns where an upload continues. The offset is part of it, so that what is sent again is distinct from
/// what comes next.
fn upload_location(api: &Api, grant: &PushGrant, id: &str, offset: u64) -> String {
    let position = UploadPosition::segment(id, offset);
    respond::location(api, grant.repository(), &format!("blobs/uploads/{position}"))
}

async fn created(request: &HttpRequest, api: &Api, grant: &PushGrant, blob: &Blob) -> Answer {
    log::content(request, blob.cid(), blob.size());
    let location = respond::location(api, grant.repository(), &format!("blobs/{}", blob.digest));
    let mut response = HttpResponse::Created();
    response
        .insert_header((LOCATION, location))
        .insert_header((CONTENT_DIGEST, blob.digest.to_string()));
    if let Some(cid) = blob.cid()
        && api.registry.is_pushed_public(grant).await?
    {
        response.insert_header((IPFS_PATH, format!("/ipfs/{cid}")));
    }
    Ok(response.finish())
}
