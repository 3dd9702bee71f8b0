//! `/v2/<name>/blobs/<digest>`

use actix_web::body::SizedStream;
use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, LOCATION,
};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::{StreamExt, stream};

use super::error::{Answer, ApiError};
use super::extract::Granted;
use super::range::{Wanted, extent, wanted};
use super::{Api, respond};
use crate::auth::{DeleteGrant, PullGrant};
use crate::oci::Digest;
use crate::registry::Blob;
use crate::storage::StorageError;

/// `HEAD` (distribution-spec, "Checking if content exists in the registry")
pub(super) async fn head(
    Granted(grant, digest): Granted<PullGrant, Digest>,
    request: HttpRequest,
    api: Data<Api>,
) -> Answer {
    let blob = api.registry.stat_blob(&grant, &digest).await?;
    if respond::is_known(&request, &digest) {
        return Ok(describe(&mut HttpResponse::NotModified(), &blob).finish());
    }
    let nothing = stream::empty::<Result<_, StorageError>>();
    Ok(describe(&mut HttpResponse::Ok(), &blob).body(SizedStream::new(blob.size(), nothing)))
}

/// `GET` (distribution-spec, "Pulling blobs")
pub(super) async fn get(
    Granted(grant, digest): Granted<PullGrant, Digest>,
    request: HttpRequest,
    api: Data<Api>,
) -> Answer {
    if respond::is_known(&request, &digest) {
        let blob = api.registry.stat_blob(&grant, &digest).await?;
        return Ok(describe(&mut HttpResponse::NotModified(), &blob).finish());
    }
    let header = respond::range(&request, &digest);
    let blob = api.registry.open_blob(&grant, &digest, extent(header)).await?;
    if let Some(location) = api.registry.blob_location(&blob) {
        let mut response = HttpResponse::TemporaryRedirect();
        respond::describe(&mut response, &digest, blob.cid());
        return Ok(response.insert_header((LOCATION, location)).finish());
    }
    let size = blob.size();
    let wanted = wanted(header, size);
    let (range, mut response) = match wanted {
        Wanted::Whole => (0..size, HttpResponse::Ok()),
        Wanted::Nothing => return Err(ApiError::unsatisfiable(size)),
        Wanted::Part(range) => {
            let mut response = HttpResponse::PartialContent();
            response.insert_header((
                CONTENT_RANGE,
                format!("bytes {}-{}/{size}", range.start, range.end - 1),
            ));
            (range, response)
        }
    };
    let bytes = api.registry.read_blob(&blob, range.clone()).await?;
    let bytes = bytes.inspect(move |piece| {
        if let Err(error) = piece {
            tracing::error!(%digest, %error, "cut a client off in mid-transfer");
        }
    });
    Ok(describe(&mut response, &blob).body(SizedStream::new(range.end - range.start, bytes)))
}

/// `DELETE` (distribution-spec, "Deleting Blobs")
pub(super) async fn delete(
    Granted(grant, digest): Granted<DeleteGrant, Digest>,
    api: Data<Api>,
) -> Answer {
    api.registry.delete_blob(&grant, &digest).await?;
    Ok(respond::accepted())
}

fn describe<'a>(response: &'a mut HttpResponseBuilder, blob: &Blob) -> &'a mut HttpResponseBuilder {
    respond::describe(response, &blob.digest, blob.cid())
        .insert_header((CONTENT_TYPE, "application/octet-stream"))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
}
