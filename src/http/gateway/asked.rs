//! What a request to the gateway asks for: the format, and how much (trustless gateway specification,
//! "Request Query Parameters" and "Accept").

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL};

use super::super::error::ApiError;
use super::super::extract::Query;
use crate::ipld::{ByteRange, Scope};
use crate::oci::ErrorCode;

/// The type of a single block.
pub(super) const RAW: &str = "application/vnd.ipld.raw";

/// The type of an archive of blocks.
pub(super) const CAR: &str = "application/vnd.ipld.car";

/// What is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One block.
    Raw,
    /// Blocks in depth-first order.
    Car {
        /// Whether a block comes as often as it is met.
        dups: bool,
    },
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) format: Format,
    /// How much of what stands at the end of the path.
    pub(super) scope: Scope,
    /// Whether nothing shall be fetched for it; nothing ever is.
    pub(super) only_if_cached: bool,
    /// Whether the format was told by the `Accept` header.
    pub(super) is_negotiated: bool,
}

impl Asked {
    /// Reads a request.
    pub(super) fn read(request: &HttpRequest, query: &Query) -> Result<Self, ApiError> {
        let accept: Vec<&str> = request
            .headers()
            .get_all(ACCEPT)
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        let cache = request.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok());
        let only_if_cached =
            cache.is_some_and(|value| value.split(',').any(|it| it.trim() == "only-if-cached"));
        let (format, is_negotiated) = match query.get("format") {
            Some(format) => (named(format, &accept)?, false),
            None => (accepted(&accept)?, true),
        };
        let format = match format {
            Format::Raw => Format::Raw,
            Format::Car { dups } => Format::Car { dups: car_parameters(query, dups)? },
        };
        Ok(Self { format, scope: scope(query)?, only_if_cached, is_negotiated })
    }
}

/// Reads the format that the query names; parameters of the type may stand in `Accept` all the same.
fn named(format: &str, accept: &[&str]) -> Result<Format, ApiError> {
    match format {
        "raw" => Ok(Format::Raw),
        "car" => {
            let described = accept.iter().find(|range| type_of(range) == CAR);
            described.map_or(Ok(Format::Car { dups: true }), |range| car(range))
        }
        other => Err(unacceptable(&format!("the format `{other}`"))),
    }
}

/// Finds the format that a client likes best among those that there are.
fn accepted(accept: &[&str]) -> Result<Format, ApiError> {
    let known = accept.iter().filter(|range| matches!(type_of(range), RAW | CAR));
    // Of those that it likes as much, the first.
    let best = known.rev().max_by(|one, other| quality(one).total_cmp(&quality(other)));
    match best {
        Some(range) if type_of(range) == RAW => Ok(Format::Raw),
        Some(range) => car(range),
        None => Err(unacceptable("what the Accept header names")),
    }
}

fn type_of(range: &str) -> &str {
    range.split(';').next().unwrap_or_default().trim()
}

fn parameter<'a>(range: &'a str, name: &str) -> Option<&'a str> {
    let parameters = range.split(';').skip(1).filter_map(|text| text.split_once('='));
    parameters
        .map(|(key, value)| (key.trim(), value.trim()))
        .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.trim_matches('"')))
}

fn quality(range: &str) -> f32 {
    parameter(range, "q").and_then(|text| text.parse().ok()).unwrap_or(1.0)
}

/// Reads the parameters of a CAR's type.
fn car(range: &str) -> Result<Format, ApiError> {
    check_version(parameter(range, "version"))?;
    check_order(parameter(range, "order"))?;
    Ok(Format::Car { dups: dups(parameter(range, "dups"), true)? })
}

/// Reads what the query says about a CAR; it goes before what the type says.
fn car_parameters(query: &Query, default: bool) -> Result<bool, ApiError> {
    check_version(query.get("car-version"))?;
    check_order(query.get("car-order"))?;
    dups(query.get("car-dups"), default)
}

fn check_version(version: Option<&str>) -> Result<(), ApiError> {
    match version {
        None | Some("1") => Ok(()),
        Some(other) => Err(unacceptable(&format!("version {other} of CAR"))),
    }
}

fn check_order(order: Option<&str>) -> Result<(), ApiError> {
    match order {
        // Whoever takes any order takes this one.
        None | Some("dfs" | "unk") => Ok(()),
        Some(other) => Err(unacceptable(&format!("the order `{other}`"))),
    }
}

fn dups(dups: Option<&str>, default: bool) -> Result<bool, ApiError> {
    match dups {
        None => Ok(default),
        Some("y") => Ok(true),
        Some("n") => Ok(false),
        Some(other) => Err(malformed(&format!("`car-dups` is y or n, not `{other}`"))),
    }
}

fn scope(query: &Query) -> Result<Scope, ApiError> {
    let range: Option<ByteRange> = query
        .get("entity-bytes")
        .map(|text| text.parse().map_err(|_| malformed("`entity-bytes` is FROM:TO or FROM:*")))
        .transpose()?;
    match query.get("dag-scope") {
        // A range implies what it is a range of.
        None if range.is_some() => Ok(Scope::Entity(range)),
        None | Some("all") => Ok(Scope::All { limit: u64::MAX }),
        Some("entity") => Ok(Scope::Entity(range)),
        Some("block") => Ok(Scope::Block),
        Some(other) => {
            Err(malformed(&format!("`dag-scope` is block, entity or all, not `{other}`")))
        }
    }
}

pub(super) fn malformed(message: &str) -> ApiError {
    ApiError::malformed(ErrorCode::Unsupported, message)
}

fn unacceptable(what: &str) -> ApiError {
    let message = format!(
        "{what} is not served: ask for `?format=raw` or `?format=car`, which can be verified"
    );
    ApiError::new(StatusCode::NOT_ACCEPTABLE, ErrorCode::Unsupported, message)
}
