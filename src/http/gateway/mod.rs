//! `/ipfs/<cid>[/<path>]`: the trustless gateway (the trustless gateway specification of IPFS). It serves
//! what is below the public roots, as blocks that clients can verify, and fetches nothing.

mod disposition;
pub(super) mod ipns;
mod request;

use std::hash::{DefaultHasher, Hash, Hasher};

use actix_web::body::BodyStream;
use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HeaderValue,
    IF_NONE_MATCH, VARY,
};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use cid::Cid;
use futures_util::{Stream, StreamExt, TryStreamExt, future, stream};

use super::error::{Answer, ApiError};
use super::extract::{Query, Read};
use super::headers::IPFS_PATH;
use super::{Api, Peer};
use crate::ipld::{Block, Seen, Target, car_frame, car_header};
use crate::oci::ErrorCode;
use crate::registry::{Blocks, RegistryError};
use crate::remote::{read_url_path, url_path};
use disposition::attachment;
use request::{CAR, Format, GatewayRequest, RAW, malformed, parameter};

/// How long caches may store an answer: what a CID names never changes.
const FOREVER: &str = "public, max-age=29030400, immutable";

/// How many blocks of one answer are deduplicated at most: those of a terabyte at least, in 60 MB.
const MAX_DEDUPLICATED: usize = 1 << 20;

/// `GET` and `HEAD`
pub(super) async fn get(request: HttpRequest, api: Data<Api>) -> Answer {
    expect_enabled(&api)?;
    let text = request.match_info().query("cid");
    let cid: Cid = text.parse().map_err(|_| malformed(&format!("`{text}` is not a CID")))?;
    // As the client wrote it, behind `/ipfs/<cid>/`: of what the route has, some escapes are read already.
    let path = request.uri().path().splitn(4, '/').nth(3).unwrap_or_default();
    let path = read_url_path(path).ok_or_else(|| {
        malformed("cannot read the path: it has a malformed escape, or is not UTF-8")
    })?;
    let query = Query::read(&request)?;
    let requested = GatewayRequest::read(&request, &query)?;
    if requested.format == Format::Raw && !path.is_empty() {
        return Err(malformed(
            "cannot serve a single block below a path: request it by its CID alone",
        ));
    }
    // The block is looked up before the condition: a client with a cached answer must also learn that it is gone.
    let block = api.registry.public_block(&cid).await?.ok_or_else(|| absent(&requested, &cid))?;
    let mut response = HttpResponse::Ok();
    describe(&mut response, &requested, &cid, &path);
    if let Some(filename) = parameter(&query, "filename") {
        response.insert_header((CONTENT_DISPOSITION, attachment(filename)));
    }
    let tag = etag(&requested, &cid, &path);
    if is_known(request.headers().get_all(IF_NONE_MATCH), &tag) {
        return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
    }
    match requested.format {
        Format::Raw => Ok(response.body(block.bytes)),
        Format::Car { dups } => {
            let archive = api.registry.public_archive(block, path, requested.scope).await?;
            if !archive.roots.is_empty() {
                let roots: Vec<String> = archive.roots.iter().map(Cid::to_string).collect();
                response.insert_header(("X-Ipfs-Roots", roots.join(",")));
            }
            let blocks = match request.method() {
                &Method::HEAD => stream::empty().boxed(),
                _ => archive.blocks,
            };
            Ok(response.body(BodyStream::new(car(&archive.target, blocks, dups))))
        }
    }
}

/// Refuses a request for public content by CID where the gateway is switched off.
pub(super) fn expect_enabled(api: &Api) -> Result<&Peer, ApiError> {
    let message = "the gateway is disabled";
    let refused = || ApiError::new(StatusCode::NOT_FOUND, ErrorCode::Unsupported, message);
    api.gateway.as_ref().ok_or_else(refused)
}

/// Writes blocks as an archive.
fn car(
    target: &Target,
    blocks: Blocks,
    dups: bool,
) -> impl Stream<Item = Result<Bytes, RegistryError>> + 'static {
    let root = target.cid().unwrap_or_else(nothing);
    let mut sent = (!dups).then(Seen::default);
    let blocks = blocks.try_filter_map(move |block: Block| {
        let is_new = sent.as_mut().map_or(Some(true), |sent| {
            let is_new = sent.insert(&block.cid);
            (sent.count() <= MAX_DEDUPLICATED).then_some(is_new)
        });
        let too_many = || RegistryError::Record("too many blocks to tell apart".to_owned());
        future::ready(is_new.ok_or_else(too_many).map(|is_new| is_new.then_some(block)))
    });
    let frames = blocks
        .map_ok(|block| stream::iter(car_frame(&block).map(Ok)))
        .try_flatten()
        .inspect_err(|error| match error {
            RegistryError::NotPublic(cid) => {
                tracing::info!(%cid, "ended an archive at a withdrawn block");
            }
            error => tracing::error!(%error, "failed to send a gateway answer; ended the transfer"),
        });
    stream::once(future::ok(car_header(&root))).chain(frames)
}

/// The CID of nothing: what an archive that proves that there is nothing has for a root.
fn nothing() -> Cid {
    const IDENTITY: u64 = 0;

    let hash = multihash::Multihash::wrap(IDENTITY, &[]).expect("nothing fits");
    Cid::new_v1(crate::ipld::RAW, hash)
}

fn absent(requested: &GatewayRequest, cid: &Cid) -> ApiError {
    let status = if requested.only_if_cached {
        StatusCode::PRECONDITION_FAILED
    } else {
        StatusCode::NOT_FOUND
    };
    let message = RegistryError::NotPublic(*cid).to_string();
    ApiError::new(status, ErrorCode::Unsupported, message)
}

fn describe(
    response: &mut HttpResponseBuilder,
    requested: &GatewayRequest,
    cid: &Cid,
    path: &[String],
) {
    let (content_type, suffix) = match requested.format {
        Format::Raw => (RAW.to_owned(), "bin"),
        Format::Car { dups } => {
            let dups = if dups { 'y' } else { 'n' };
            (format!("{CAR}; version=1; order=dfs; dups={dups}"), "car")
        }
    };
    response
        .insert_header((CONTENT_TYPE, content_type))
        .insert_header((ETAG, etag(requested, cid, path)))
        .insert_header((CACHE_CONTROL, FOREVER))
        .insert_header((CONTENT_DISPOSITION, attachment(&format!("{cid}.{suffix}"))))
        .insert_header((IPFS_PATH, format!("/ipfs/{cid}{}", url_path(path))));
    if path.is_empty() {
        response.insert_header(("X-Ipfs-Roots", cid.to_string()));
    }
    if let Format::Car { .. } = requested.format {
        response.insert_header((ACCEPT_RANGES, "none"));
    }
    if requested.is_negotiated {
        response.insert_header((VARY, "Accept"));
    }
}

/// Names an answer: a block by its CID, an archive also by the request, and weakly, since others
/// write the same blocks in other archives.
fn etag(requested: &GatewayRequest, cid: &Cid, path: &[String]) -> String {
    match requested.format {
        Format::Raw => format!("\"{cid}.raw\""),
        Format::Car { dups } => {
            let mut hasher = DefaultHasher::new();
            (path, dups, format!("{:?}", requested.scope)).hash(&mut hasher);
            format!("W/\"{cid}.car.{:016x}\"", hasher.finish())
        }
    }
}

/// Tells whether `If-None-Match` names an answer; weak tags are good enough (RFC 9110, 13.1.2).
fn is_known<'a>(values: impl Iterator<Item = &'a HeaderValue>, tag: &str) -> bool {
    let opaque = |tag: &'a str| tag.strip_prefix("W/").unwrap_or(tag);
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        .any(|known| known == "*" || opaque(known) == tag)
}
