//! `/ipns/<key>`: the signed records of keys that this registry has resolved (trustless gateway specification,
//! "IPNS Record Responses"). It fetches none: it passes on what it verified for a pull.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;

use super::super::Api;
use super::super::accept::Accept;
use super::super::error::{Answer, ApiError};
use super::super::extract::{Query, Read};
use super::super::headers::IPFS_PATH;
use super::disposition::attachment;
use super::request::{malformed, only_if_cached, parameter};
use super::{expect_enabled, is_known};
use crate::dnslink::parse_key;
use crate::ipld::Block;
use crate::oci::ErrorCode;

/// The type of a record.
const RECORD: &str = "application/vnd.ipfs.ipns-record";

/// `GET` and `HEAD`
pub(in super::super) async fn get(request: HttpRequest, api: Data<Api>) -> Answer {
    expect_enabled(&api)?;
    let name = request.match_info().query("key");
    let key = parse_key(name).ok_or_else(|| malformed(&format!("`{name}` is not an IPNS key")))?;
    if request.match_info().get("path").is_some_and(|path| !path.is_empty()) {
        return Err(malformed("cannot serve a record below a path: request it by its key alone"));
    }
    let query = Query::read(&request)?;
    let is_negotiated = check_format(&request, &query)?;
    let absent = || {
        let status = if only_if_cached(&request) {
            StatusCode::PRECONDITION_FAILED
        } else {
            StatusCode::NOT_FOUND
        };
        let message = format!("no record of {name} in this registry");
        ApiError::new(status, ErrorCode::Unsupported, message)
    };
    let record = api.registry.ipns_record(&key).ok_or_else(absent)?;
    let left = record.good_until.duration_since(Timestamp::now()).as_secs();
    let seconds = record.ttl.as_secs().min(u64::try_from(left).unwrap_or_default());

    let mut response = HttpResponse::Ok();
    let tag = format!("\"{}\"", Block::raw(record.bytes.clone().into()).cid);
    let filename = parameter(&query, "filename").map(str::to_owned);
    let filename = filename.unwrap_or_else(|| format!("{name}.ipns-record"));
    response
        .insert_header((CONTENT_TYPE, RECORD))
        .insert_header((ETAG, tag.as_str()))
        .insert_header((CACHE_CONTROL, format!("public, max-age={seconds}")))
        .insert_header((CONTENT_DISPOSITION, attachment(&filename)))
        .insert_header((IPFS_PATH, format!("/ipns/{name}")));
    if is_negotiated {
        response.insert_header((VARY, "Accept"));
    }
    if is_known(request.headers().get_all(IF_NONE_MATCH), &tag) {
        return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
    }
    Ok(response.body(record.bytes.clone()))
}

/// Refuses whatever is no record; returns whether the `Accept` header said that it is to be one.
fn check_format(request: &HttpRequest, query: &Query) -> Result<bool, ApiError> {
    let format_parameter = parameter(query, "format");
    let is_requested = if let Some(format) = format_parameter {
        format.eq_ignore_ascii_case("ipns-record")
    } else {
        let accept = Accept::read(request);
        let ranges = accept.best_first();
        ranges.into_iter().any(|range| range.media_type == RECORD && range.quality > 0.0)
    };
    if is_requested {
        return Ok(format_parameter.is_none());
    }
    let message = "only records are served below /ipns/: request `?format=ipns-record`";
    Err(ApiError::new(StatusCode::NOT_ACCEPTABLE, ErrorCode::Unsupported, message))
}
