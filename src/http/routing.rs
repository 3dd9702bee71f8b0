//! `/routing/v1/`: which peers have what (the Delegated Routing specification of IPFS). Of all peers it knows this
//! registry, and of all content what its gateway serves; it queries no other peer.

use std::time::SystemTime;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, LastModified, VARY};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use cid::Cid;
use serde::Serialize;
use serde_json::json;

use super::accept::Accept;
use super::error::{Answer, ApiError};
use super::extract::{Query, Read};
use super::{Api, Peer, gateway};
use crate::dnslink::{parse_key, peer_id};
use crate::oci::ErrorCode;

/// How blocks are to be had here: by a trustless gateway (the multicodec of that name).
const PROTOCOL: &str = "transport-ipfs-gateway-http";

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// The record of a peer (specification, "Peer Schema").
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    schema: &'static str,
    #[serde(rename = "ID")]
    id: String,
    addrs: Vec<String>,
    protocols: [&'static str; 1],
}

/// `GET /routing/v1/providers/{cid}`
pub(super) async fn providers(request: HttpRequest, api: Data<Api>) -> Answer {
    let peer = gateway::expect_enabled(&api)?;
    let cid: Cid = segment(&request, "cid", |text| text.parse().ok())?;
    let is_here = api.registry.is_public(&cid).await?;
    let record = if is_here { record(&request, peer)? } else { None };
    Ok(answer(&request, "Providers", record))
}

/// `GET /routing/v1/peers/{id}`
pub(super) async fn peers(request: HttpRequest, api: Data<Api>) -> Answer {
    let peer = gateway::expect_enabled(&api)?;
    let id = segment(&request, "id", parse_key)?;
    let record = if id == peer.id { record(&request, peer)? } else { None };
    Ok(answer(&request, "Peers", record))
}

fn segment<T>(
    request: &HttpRequest,
    name: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, ApiError> {
    let text = request.match_info().query(name);
    let unreadable = || {
        let message = format!("cannot read `{text}`");
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::Unsupported, message)
    };
    read(text).ok_or_else(unreadable)
}

/// Returns the record of this registry; none where its address is not known, or the filters exclude it.
fn record(request: &HttpRequest, peer: &Peer) -> Result<Option<Record>, ApiError> {
    let Some(gateway) = &peer.gateway else { return Ok(None) };
    let query = Query::read(request)?;
    let is_requested = passes(query.get("filter-protocols"), &[PROTOCOL])
        && passes(query.get("filter-addrs"), &gateway.protocols());
    Ok(is_requested.then(|| Record {
        schema: "peer",
        id: peer_id(&peer.id),
        addrs: vec![gateway.multiaddr()],
        protocols: [PROTOCOL],
    }))
}

/// Tells whether something that has these protocols passes a filter: a list of names, of which one has to be
/// there, and of names after a `!`, of which none may be (specification, IPIP-484).
fn passes(filter: Option<&str>, protocols: &[&str]) -> bool {
    let has = |name: &str| protocols.iter().any(|it| it.eq_ignore_ascii_case(name));
    let names = filter.unwrap_or_default().split(',').map(str::trim).filter(|it| !it.is_empty());
    let (refused, accepted): (Vec<&str>, Vec<&str>) = names.partition(|name| name.starts_with('!'));
    (accepted.is_empty() || accepted.into_iter().any(has))
        && !refused.into_iter().any(|name| has(&name[1..]))
}

/// Answers with a list of at most one, or with a line for each.
fn answer(request: &HttpRequest, list: &str, record: Option<Record>) -> HttpResponse {
    let accept = Accept::read(request);
    let ranges = accept.best_first();
    // Of the two, the one that the client likes better; a wildcard says no more than nothing.
    let preferred = ranges.into_iter().find(|it| it.media_type == LINES || it.media_type == JSON);
    let is_by_lines = preferred.is_some_and(|it| it.quality > 0.0 && it.media_type == LINES);
    // A provider stays one as long as its root is served; another peer may soon become one.
    let seconds = if record.is_some() { 300 } else { 15 };
    let (content_type, body) = if is_by_lines {
        let line = record.map(|record| format!("{}\n", json!(record)));
        (LINES, line.unwrap_or_default())
    } else {
        (JSON, json!({ list: Vec::from_iter(record) }).to_string())
    };
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, content_type))
        .insert_header((CACHE_CONTROL, format!("public, max-age={seconds}")))
        .insert_header(LastModified(SystemTime::now().into()))
        .insert_header((VARY, "Accept"))
        .body(body)
}
