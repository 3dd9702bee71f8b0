//! The parameters of a request to the gateway: the format, and how much (trustless gateway specification,
//! "Request Query Parameters" and "Accept").

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;

use super::super::accept::{Accept, MediaRange};
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

/// The parameters of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GatewayRequest {
    pub(super) format: Format,
    /// How much of what stands at the end of the path.
    pub(super) scope: Scope,
    /// Whether nothing shall be fetched for it; nothing ever is.
    pub(super) only_if_cached: bool,
    /// Whether another `Accept` header may have another answer.
    pub(super) is_negotiated: bool,
}

impl GatewayRequest {
    /// Reads a request.
    pub(super) fn read(request: &HttpRequest, query: &Query) -> Result<Self, ApiError> {
        let accept = Accept::read(request);
        let only_if_cached = only_if_cached(request);
        let format_parameter = parameter(query, "format");
        let format = match format_parameter {
            Some(format) => self::by_name(format, &accept, query)?,
            None => negotiated(&accept, query)?,
        };
        // Parameters of a CAR may stand in `Accept` also where the URL names the format.
        let is_negotiated = format_parameter.is_none() || format != Format::Raw;
        Ok(Self { format, scope: scope(query)?, only_if_cached, is_negotiated })
    }
}

/// Tells whether nothing shall be fetched for a request.
pub(super) fn only_if_cached(request: &HttpRequest) -> bool {
    let values = request.headers().get_all(CACHE_CONTROL).filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|it| it.trim().eq_ignore_ascii_case("only-if-cached"))
}

/// Returns a parameter of the URL; an empty one says nothing.
pub(super) fn parameter<'a>(query: &'a Query, name: &str) -> Option<&'a str> {
    query.get(name).filter(|value| !value.is_empty())
}

/// Returns the format that the URL names. What else a CAR shall be may be said by ranges of `Accept`.
fn by_name(format: &str, accept: &Accept, query: &Query) -> Result<Format, ApiError> {
    if format.eq_ignore_ascii_case("raw") {
        return Ok(Format::Raw);
    }
    if !format.eq_ignore_ascii_case("car") {
        return Err(unacceptable(&format!("the format `{format}`")));
    }
    // What the URL says is refused whatever a range says.
    let plain = CarParameters::read(query, None)?;
    let ranges = accept.best_first();
    let ranges = ranges.into_iter().filter(|range| range.quality > 0.0 && range.media_type == CAR);
    let mut refused = None;
    for range in ranges {
        match CarParameters::read(query, Some(range)) {
            Ok(parameters) => return Ok(parameters.format()),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        // Another range, as `*/*`, may include what can be served.
        Some(error) if accept.quality(CAR, &plain.served()).is_none_or(|it| it == 0.0) => {
            Err(error)
        }
        _ => Ok(plain.format()),
    }
}

/// Finds the format that a client likes best among those that there are.
fn negotiated(accept: &Accept, query: &Query) -> Result<Format, ApiError> {
    let ranges = accept.best_first();
    let known: Vec<&MediaRange> =
        ranges.into_iter().filter(|it| it.media_type == RAW || it.media_type == CAR).collect();
    let mut refused = None;
    for range in known.iter().filter(|range| range.quality > 0.0) {
        if range.media_type == RAW {
            return Ok(Format::Raw);
        }
        match CarParameters::read(query, Some(range)) {
            Ok(parameters) => {
                if let Some(it) = parameters.variants().find(|it| !it.is_refused(accept)) {
                    return Ok(it.format());
                }
            }
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    // A wildcard alone is what programs send that know of no blocks. From a client that does know of them, it
    // means also a CAR of another kind than was named, or the other of the two formats.
    let types = known.iter().map(|range| range.media_type.as_str());
    let fallbacks = types.chain([RAW, CAR].into_iter().filter(|_| !known.is_empty()));
    for media_type in fallbacks {
        let is_liked = |parameters: &[(&str, &str)]| {
            accept.quality(media_type, parameters).is_some_and(|quality| quality > 0.0)
        };
        if media_type == RAW && is_liked(&[]) {
            return Ok(Format::Raw);
        }
        if media_type == CAR
            && let Ok(plain) = CarParameters::read(query, None)
            && let Some(liked) = plain.variants().find(|it| is_liked(&it.served()))
        {
            return Ok(liked.format());
        }
    }
    Err(refused.unwrap_or_else(|| unacceptable("none of the media types in Accept")))
}

/// Which kind of a CAR is to be sent, of those that there are: version 1, in depth-first order.
#[derive(Clone, Copy)]
struct CarParameters {
    /// Whether a block comes as often as it is met, where that was said.
    dups: Option<bool>,
}

impl CarParameters {
    /// Reads the parameters of a CAR's type; those of the URL replace them.
    fn read(query: &Query, range: Option<&MediaRange>) -> Result<Self, ApiError> {
        let of_range = |name| range.and_then(|range| range.parameter(name));
        match parameter(query, "car-version").or_else(|| of_range("version")) {
            None | Some("1") => {}
            Some(other) => return Err(unacceptable(&format!("version {other} of CAR"))),
        }
        match parameter(query, "car-order").or_else(|| of_range("order")) {
            None => {}
            // A client that takes any order takes this one.
            Some(order) if ["dfs", "unk"].iter().any(|it| order.eq_ignore_ascii_case(it)) => {}
            Some(other) => return Err(unacceptable(&format!("the order `{other}`"))),
        }
        let dups = |text: &str| match text {
            "y" | "Y" => Some(true),
            "n" | "N" => Some(false),
            _ => None,
        };
        let dups = match (parameter(query, "car-dups"), of_range("dups")) {
            (Some(text), _) => Some(dups(text).ok_or_else(|| {
                malformed(&format!("bad value `{text}` for `car-dups`: expected y or n"))
            })?),
            (None, Some(text)) => {
                Some(dups(text).ok_or_else(|| unacceptable(&format!("a CAR with dups={text}")))?)
            }
            (None, None) => None,
        };
        Ok(Self { dups })
    }

    fn format(self) -> Format {
        Format::Car { dups: self.dups.unwrap_or(true) }
    }

    /// Where duplicates were not spoken of: with them, else without.
    fn variants(self) -> impl Iterator<Item = Self> {
        let every = [true, false].map(|dups| Self { dups: Some(dups) });
        every.into_iter().filter(move |it| self.dups.is_none_or(|dups| it.dups == Some(dups)))
    }

    /// The parameters of the type of what is sent.
    fn served(self) -> [(&'static str, &'static str); 3] {
        let dups = if self.dups.unwrap_or(true) { "y" } else { "n" };
        [("version", "1"), ("order", "dfs"), ("dups", dups)]
    }

    /// Tells whether a range says that the client does not take this kind.
    fn is_refused(self, accept: &Accept) -> bool {
        accept.quality(CAR, &self.served()) == Some(0.0)
    }
}

fn scope(query: &Query) -> Result<Scope, ApiError> {
    let range: Option<ByteRange> = parameter(query, "entity-bytes")
        .map(|text| {
            text.parse()
                .map_err(|_| malformed("bad value for `entity-bytes`: expected FROM:TO or FROM:*"))
        })
        .transpose()?;
    match parameter(query, "dag-scope") {
        // A range implies what it is a range of.
        None if range.is_some() => Ok(Scope::Entity(range)),
        None | Some("all") => Ok(Scope::All { limit: u64::MAX }),
        Some("entity") => Ok(Scope::Entity(range)),
        Some("block") => Ok(Scope::Block),
        Some(other) => Err(malformed(&format!(
            "bad value `{other}` for `dag-scope`: expected block, entity or all"
        ))),
    }
}

pub(super) fn malformed(message: &str) -> ApiError {
    ApiError::malformed(ErrorCode::Unsupported, message)
}

fn unacceptable(what: &str) -> ApiError {
    let message = format!(
        "cannot serve {what}: request `?format=raw` or `?format=car`, which can be verified"
    );
    ApiError::new(StatusCode::NOT_ACCEPTABLE, ErrorCode::Unsupported, message)
}
