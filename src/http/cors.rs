//! Pages of any origin may read what is public by its CID (the Fetch standard, "CORS protocol"): the gateway,
//! as Kubo's lets them, and the routing, as its specification says that it has to. Nothing else of this server.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, HeaderName, HeaderValue,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse};

/// The methods of these routes.
pub(super) const METHODS: &str = "GET, HEAD, OPTIONS";

/// What every answer says.
const HEADERS: [(HeaderName, &str); 4] = [
    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
    (
        ACCESS_CONTROL_ALLOW_HEADERS,
        "Accept, Cache-Control, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Range, Range, \
         User-Agent, X-Requested-With",
    ),
    (
        ACCESS_CONTROL_EXPOSE_HEADERS,
        "Accept-Ranges, Allow, Content-Disposition, Content-Length, Content-Range, ETag, Retry-After, \
         X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output",
    ),
];

/// How long a browser may remember the answer to a preflight, in seconds; browsers take less.
const REMEMBERED: &str = "86400";

/// The paths whose answers are shared, and what is below each.
const SHARED: [&str; 3] = ["/ipfs", "/ipns", "/routing/v1"];

/// Lets pages of any origin read the answers below the paths that are shared, also those of what refuses a request
/// before it comes to its route.
///
/// # Errors
/// Those of what it wraps.
pub async fn share_public(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let is_below = |rest: &str| rest.is_empty() || rest.starts_with('/');
    let is_shared =
        SHARED.iter().any(|path| request.path().strip_prefix(path).is_some_and(is_below));
    let mut response = next.call(request).await?;
    if is_shared {
        for (name, value) in HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(response)
}

/// `OPTIONS`: the preflight of a browser, before a request that a form could not send.
pub(super) async fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((ALLOW, METHODS))
        .insert_header((ACCESS_CONTROL_MAX_AGE, REMEMBERED))
        .finish()
}
