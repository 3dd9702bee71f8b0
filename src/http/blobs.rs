//! `/v2/<name>/blobs/<digest>`

use std::cell::Cell;
use std::ops::Range;

use actix_web::body::SizedStream;
use actix_web::http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::{Stream, TryStreamExt, stream};

use super::byteranges::ByteRanges;
use super::error::{Answer, ApiError};
use super::extract::Granted;
use super::range::{RequestedRanges, extent, requested_ranges};
use super::{Api, condition, log, respond};
use crate::auth::{DeleteGrant, PullGrant};
use crate::oci::Digest;
use crate::registry::{Blob, Extent, RegistryError};
use crate::storage::StorageError;

/// The media type of every blob.
const OCTETS: &str = "application/octet-stream";

/// `HEAD` (distribution-spec, "Checking if content exists in the registry")
pub(super) async fn head(
    Granted(grant, digest): Granted<PullGrant, Digest>,
    request: HttpRequest,
    api: Data<Api>,
) -> Answer {
    let blob = api.registry.repository(&grant).blob(&digest, Extent::Nothing).await?;
    condition::check_expected(&request, &grant, &digest, &digest)?;
    if respond::is_known(&request, &digest) {
        return not_modified(&api, &grant, &blob).await;
    }
    let mut response = HttpResponse::Ok();
    describe(&mut response, &api, &grant, &blob).await?;
    let nothing = stream::empty::<Result<_, StorageError>>();
    Ok(response.body(SizedStream::new(blob.size(), nothing)))
}

/// `GET` (distribution-spec, "Pulling blobs")
pub(super) async fn get(
    Granted(grant, digest): Granted<PullGrant, Digest>,
    request: HttpRequest,
    api: Data<Api>,
) -> Answer {
    let expected = condition::check_expected(&request, &grant, &digest, &digest);
    if expected.is_err() || respond::is_known(&request, &digest) {
        let blob = api.registry.repository(&grant).blob(&digest, Extent::Nothing).await?;
        expected?;
        return not_modified(&api, &grant, &blob).await;
    }
    let header = respond::range(&request, &digest);
    let blob = api.registry.repository(&grant).blob(&digest, extent(header)).await?;
    log::content(&request, blob.cid(), 0);
    if let Some(location) = blob.location() {
        let mut response = HttpResponse::TemporaryRedirect();
        let is_public = api.registry.is_public_below(&grant).await?;
        respond::describe(&mut response, &digest, blob.cid().filter(|_| is_public));
        return Ok(response.insert_header((LOCATION, location)).finish());
    }
    let size = blob.size();
    let requested = requested_ranges(header, size, respond::joined(&request));
    let mut response = match requested {
        RequestedRanges::Whole => HttpResponse::Ok(),
        RequestedRanges::Nothing => return Err(ApiError::unsatisfiable(size)),
        RequestedRanges::Part(_) | RequestedRanges::Parts(_) => HttpResponse::PartialContent(),
    };
    describe(&mut response, &api, &grant, &blob).await?;
    match requested {
        RequestedRanges::Parts(ranges) => parts(response, blob, ranges).await,
        RequestedRanges::Part(range) => {
            let (first, last) = (range.start, range.end - 1);
            response.insert_header((CONTENT_RANGE, format!("bytes {first}-{last}/{size}")));
            part(response, &blob, range).await
        }
        RequestedRanges::Whole | RequestedRanges::Nothing => part(response, &blob, 0..size).await,
    }
}

/// Answers with the bytes of one range.
async fn part(mut response: HttpResponseBuilder, blob: &Blob, range: Range<u64>) -> Answer {
    let length = range.end - range.start;
    let bytes = blob.read(range).await?;
    Ok(response.body(SizedStream::new(length, logged(blob.digest, bytes))))
}

/// Answers with several ranges, which are opened one after the other.
async fn parts(mut response: HttpResponseBuilder, blob: Blob, ranges: Vec<Range<u64>>) -> Answer {
    // What cannot be read at all is refused before anything is sent.
    let first = blob.read(ranges[0].clone()).await?;
    let first = Cell::new(Some(first));
    let answer = ByteRanges::new(ranges, blob.size(), OCTETS);
    response.insert_header((CONTENT_TYPE, answer.content_type()));
    let (length, digest) = (answer.length(), blob.digest);
    let bytes = answer.body(move |range| {
        let (opened, blob) = (first.take(), blob.clone());
        async move {
            match opened {
                Some(bytes) => Ok(bytes),
                None => blob.read(range).await,
            }
        }
    });
    Ok(response.body(SizedStream::new(length, logged(digest, bytes))))
}

/// Logs what ends an answer early.
fn logged(
    digest: Digest,
    bytes: impl Stream<Item = Result<Bytes, RegistryError>>,
) -> impl Stream<Item = Result<Bytes, RegistryError>> {
    bytes.inspect_err(move |error| {
        tracing::error!(%digest, %error, "failed to send a blob; ended the transfer");
    })
}

/// `DELETE` (distribution-spec, "Deleting Blobs")
pub(super) async fn delete(
    Granted(grant, digest): Granted<DeleteGrant, Digest>,
    api: Data<Api>,
) -> Answer {
    api.registry.delete_blob(&grant, &digest).await?;
    Ok(respond::accepted())
}

async fn not_modified(api: &Api, grant: &PullGrant, blob: &Blob) -> Answer {
    let mut response = HttpResponse::NotModified();
    describe(&mut response, api, grant, blob).await?;
    Ok(response.finish())
}

async fn describe(
    response: &mut HttpResponseBuilder,
    api: &Api,
    grant: &PullGrant,
    blob: &Blob,
) -> Result<(), ApiError> {
    let is_public = api.registry.is_public_below(grant).await?;
    respond::describe(response, &blob.digest, blob.cid().filter(|_| is_public))
        .insert_header((CONTENT_TYPE, OCTETS))
        .insert_header((ACCEPT_RANGES, "bytes"));
    respond::allow_caching(response, api, grant, is_public).await;
    Ok(())
}
