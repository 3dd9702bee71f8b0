//! `/v2/<name>/manifests/<reference>`

use std::convert::Infallible;

use actix_web::body::SizedStream;
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, ETAG, LOCATION, USER_AGENT};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use cid::Cid;
use futures_util::stream;

use super::Api;
use super::body::{self, Body};
use super::error::{Answer, ApiError};
use super::extract::{Granted, Query};
use super::headers::{CONTENT_DIGEST, IPFS_PATH};
use super::{client, condition, log, memory, rate_limits, respond};
use crate::auth::{DeleteGrant, PullGrant, PushGrant};
use crate::oci::{Digest, ErrorCode, Reference, Tag};
use crate::registry::Condition;

/// `GET` and `HEAD` (distribution-spec, "Pulling manifests"). `Accept` is ignored: clients that
/// omit a type get the manifest too, as it was pushed.
pub(super) async fn get(
    Granted(grant, reference): Granted<PullGrant, Reference>,
    request: HttpRequest,
    api: Data<Api>,
) -> Answer {
    let is_head = request.method() == Method::HEAD;
    let left = rate_limits::pull(&request, &api, grant.caller(), is_head)?;
    left.tell(find(&grant, &reference, &request, &api).await)
}

async fn find(
    grant: &PullGrant,
    reference: &Reference,
    request: &HttpRequest,
    api: &Api,
) -> Answer {
    let is_head = request.method() == Method::HEAD;
    let known = respond::known(request);
    let repository = api.registry.repository(grant);
    if let Some(known) = &known
        && let Some(digest) = repository.known_manifest(reference, known).await?
    {
        condition::check_expected(request, grant, reference, &digest)?;
        let mut response = HttpResponse::NotModified();
        describe(&mut response, api, grant, reference, (&digest, None)).await?;
        return Ok(response.finish());
    }
    let mut lent = None;
    let (manifest, is_known) = loop {
        let manifest = repository.manifest(reference).await?;
        condition::check_expected(request, grant, reference, &manifest.digest)?;
        let is_known = known.as_ref().is_some_and(|known| known.includes(&manifest.digest));
        let bytes = manifest.bytes.len();
        if is_known || is_head || bytes <= memory::FREE {
            break (manifest, is_known);
        }
        let memory = &api.manifest_memory;
        let loan = lent.get_or_insert_with(|| memory.begin(client::of(request).group()));
        if memory.try_raise(loan, bytes) {
            break (manifest, is_known);
        }
        // Requests that wait for memory have none: it is read again.
        drop(manifest);
        memory.raise(loan, bytes, bytes).await?;
    };
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    log::content(request, Some(&manifest.cid), 0);
    let what = (&manifest.digest, Some(&manifest.cid));
    describe(&mut response, api, grant, reference, what).await?;
    if !is_head {
        repository.note_pull(&manifest, Some(client::of(request).group()));
    } else if matches!(reference, Reference::Tag(_)) && !is_own_client(request) {
        // containerd sends no more than that for an image that its node has.
        repository.note_pull(&manifest, None);
    }
    if is_known {
        return Ok(response.finish());
    }
    response.insert_header((CONTENT_TYPE, manifest.media_type.as_str()));
    if is_head {
        let nothing = stream::empty::<Result<Bytes, Infallible>>();
        return Ok(response.body(SizedStream::new(manifest.bytes.len() as u64, nothing)));
    }
    repository.fetch_ahead(&manifest);
    match lent {
        None => Ok(response.body(manifest.bytes)),
        Some(loan) => Ok(response.body(memory::body(manifest.bytes, loan))),
    }
}

/// Tells whether it is `roadstead` that asks: it looks at all tags of a repository before it deletes some.
fn is_own_client(request: &HttpRequest) -> bool {
    let agent = request.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| agent.starts_with("roadstead/"))
}

/// Says which manifest it is, and how long that is so.
async fn describe(
    response: &mut HttpResponseBuilder,
    api: &Api,
    grant: &PullGrant,
    reference: &Reference,
    (digest, cid): (&Digest, Option<&Cid>),
) -> Result<(), ApiError> {
    let is_public = api.registry.is_public_below(grant).await?;
    respond::describe(response, digest, cid.filter(|_| is_public));
    respond::tell_age(response, api, grant);
    if let Reference::Digest(_) = reference {
        respond::allow_caching(response, api, grant, is_public).await;
    }
    Ok(())
}

/// `PUT` (distribution-spec, "Pushing Manifests"); by digest, also with tags in the query. A condition
/// is about what stands at the path.
pub(super) async fn put(
    Granted(grant, (reference, (condition, query))): Granted<
        PushGrant,
        (Reference, (Condition, Query)),
    >,
    request: HttpRequest,
    body: Payload,
    api: Data<Api>,
) -> Answer {
    let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.to_str()).transpose();
    let content_type = content_type.map_err(|_| {
        ApiError::malformed(ErrorCode::ManifestInvalid, "Content-Type is not printable ASCII")
    })?;
    let tags = query.parse_all::<Tag>("tag")?;
    let left = rate_limits::push(&request, &api, grant.caller())?;
    api.registry.expect_storable(&grant).await?;
    let (bytes, _loan) = body::read(&request, Body::new(body, api.body_idle), &api).await?;
    let registry = &api.registry;
    let size = bytes.len() as u64;
    let pushed =
        registry.put_manifest(&grant, &reference, tags, content_type, bytes, condition).await?;
    log::content(&request, Some(&pushed.cid), size);
    let location =
        respond::location(&api, grant.repository(), &format!("manifests/{}", pushed.digest));
    let mut response = HttpResponse::Created();
    response
        .insert_header((LOCATION, location))
        .insert_header((CONTENT_DIGEST, pushed.digest.to_string()))
        .insert_header((ETAG, format!("\"{}\"", pushed.digest)));
    if registry.is_pushed_public(&grant).await? {
        response.insert_header((IPFS_PATH, format!("/ipfs/{}", pushed.cid)));
    }
    if let Some(subject) = pushed.subject {
        response.insert_header(("OCI-Subject", subject.to_string()));
    }
    if let Reference::Digest(_) = reference {
        for tag in pushed.tags {
            response.append_header(("OCI-Tag", tag.to_string()));
        }
    }
    left.tell(Ok(response.finish()))
}

/// `DELETE` (distribution-spec, "Deleting tags", "Deleting Manifests")
pub(super) async fn delete(
    Granted(grant, (reference, condition)): Granted<DeleteGrant, (Reference, Condition)>,
    api: Data<Api>,
) -> Answer {
    api.registry.delete_manifest(&grant, &reference, condition).await?;
    Ok(respond::accepted())
}
