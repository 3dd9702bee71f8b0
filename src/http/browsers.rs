//! Pages in browsers: they change nothing here by requests of their own.
//!
//! A browser sends requests for any page that is open in it, also to servers that only its own machine
//! reaches. It names the page's server in `Origin`, which no client of a registry sends. Where the page's
//! server has got itself an address of this machine (DNS rebinding), `Host` is a name that is not ours.

use std::net::IpAddr;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HOST, ORIGIN};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpRequest, ResponseError};

use super::Api;
use super::error::ApiError;
use crate::oci::ErrorCode;

/// The names that clients use for this server.
#[derive(Debug, Clone, Default)]
pub struct OwnNames {
    /// The URL that the operator gives out, without a slash at its end.
    pub external_url: Option<String>,
    /// Names and addresses without a port (`server.hosts`).
    pub hosts: Vec<String>,
    /// Names that stand for repositories of a domain, and so are this server's as well.
    pub domains: Vec<String>,
    /// Whether all users of this machine, and no others, may push: then `Host` has to be one of these
    /// names or an address of this machine.
    pub is_open_on_loopback: bool,
}

impl OwnNames {
    /// Tells whether an `Origin` is this server's own; `host` is the `Host` of the same request.
    fn has_origin(&self, origin: &str, host: Option<&str>) -> bool {
        let Some(origin) = Origin::parse(origin) else { return false };
        let external = self.external_url.as_deref().and_then(Origin::parse);
        if external.is_none() && self.hosts.is_empty() {
            let host = host.and_then(Authority::parse);
            return host.is_some_and(|host| origin.authority.is(&host, origin.port()));
        }
        external.is_some_and(|own| own.is(&origin))
            || self.hosts.iter().any(|own| is_same_host(own, origin.authority.host))
    }

    /// Tells whether a `Host` is one that a client on this machine uses.
    fn has_host(&self, host: &str) -> bool {
        let Some(Authority { host, .. }) = Authority::parse(host) else { return false };
        let external = self.external_url.as_deref().and_then(Origin::parse);
        address(host).is_some_and(|address| address.is_loopback())
            || is_same_host("localhost", host)
            || external.is_some_and(|own| is_same_host(own.authority.host, host))
            || self.hosts.iter().chain(&self.domains).any(|own| is_same_host(own, host))
    }
}

/// A scheme, a host and a port (RFC 6454, 7).
struct Origin<'text> {
    scheme: &'text str,
    authority: Authority<'text>,
}

impl<'text> Origin<'text> {
    fn parse(text: &'text str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        Some(Self { scheme, authority: Authority::parse(authority)? })
    }

    /// Returns the port that its scheme has where none is named.
    fn port(&self) -> Option<u16> {
        [("http", 80), ("https", 443)]
            .into_iter()
            .find_map(|(scheme, port)| self.scheme.eq_ignore_ascii_case(scheme).then_some(port))
    }

    fn is(&self, other: &Self) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.authority.is(&other.authority, self.port())
    }
}

/// A host and maybe a port (RFC 9110, 7.2).
struct Authority<'text> {
    host: &'text str,
    port: Option<u16>,
}

impl<'text> Authority<'text> {
    fn parse(text: &'text str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, "")) => (host, None),
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (text, None),
        };
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        let is_odd = |byte: u8| byte <= b' ' || b"/?#@\\[]:,\"".contains(&byte) || byte == 0x7f;
        let is_host = !host.is_empty() && (is_bracketed || !host.bytes().any(is_odd));
        is_host.then_some(Self { host, port })
    }

    /// Tells whether both are the same where that port stands for none.
    fn is(&self, other: &Self, port: Option<u16>) -> bool {
        is_same_host(self.host, other.host) && self.port.or(port) == other.port.or(port)
    }
}

/// Compares two hosts: names without case and without the dot of the root, addresses by their value.
fn is_same_host(one: &str, other: &str) -> bool {
    match (address(one), address(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => {
            let name = |host: &str| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
            name(one) == name(other)
        }
        _ => false,
    }
}

/// Reads a host that is an address.
fn address(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    inner.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Refuses what pages in browsers send to change something.
///
/// # Errors
/// Those of what it wraps.
pub async fn refuse_browsers(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    pass_or_refuse(request, next, refusal).await
}

/// Refuses each request of a page that changes something, also of one that this server has sent: no
/// page of ours needs to push.
///
/// # Errors
/// Those of what it wraps.
pub(super) async fn refuse_pages(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    pass_or_refuse(request, next, |request| {
        let is_from_page = is_changing(request) && request.headers().contains_key(ORIGIN);
        let message = "cannot change anything below /v2/ by a request with an `Origin` header: web pages may not; \
            send it without that header";
        is_from_page.then(|| forbidden(message.to_owned()))
    })
    .await
}

async fn pass_or_refuse(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
    refusal: impl FnOnce(&HttpRequest) -> Option<ApiError>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    match refusal(request.request()) {
        None => Ok(next.call(request).await?.map_into_left_body()),
        Some(error) => Ok(request.into_response(error.error_response()).map_into_right_body()),
    }
}

/// Returns why a request is refused, if it is.
fn refusal(request: &HttpRequest) -> Option<ApiError> {
    if !is_changing(request) {
        return None;
    }
    let api: &Data<Api> = request.app_data().expect("the server is made with it");
    let hosts = hosts(request);
    let origins = request.headers().get_all(ORIGIN);
    let first = hosts.first().copied();
    let is_own = |origin: &str| api.own_names.has_origin(origin, first);
    if !origins.map(|it| it.to_str().unwrap_or_default()).all(is_own) {
        let message = "cannot change anything by a request from a page of another server: if the page is this \
            registry's own, set server.external_url or list its name in server.hosts";
        return Some(forbidden(message.to_owned()));
    }
    let is_ours = !hosts.is_empty() && hosts.iter().all(|host| api.own_names.has_host(host));
    if api.own_names.is_open_on_loopback && !is_ours {
        let message = "cannot change anything by that `Host`: this registry takes changes from its own machine \
            only; use localhost, or list the name in server.hosts";
        return Some(forbidden(message.to_owned()));
    }
    None
}

/// Returns each host that a request names: that of its target, and those of `Host`.
fn hosts(request: &HttpRequest) -> Vec<&str> {
    let target = request.uri().authority().map(actix_web::http::uri::Authority::as_str);
    let headers = request.headers().get_all(HOST);
    target.into_iter().chain(headers.map(|it| it.to_str().unwrap_or_default())).collect()
}

fn is_changing(request: &HttpRequest) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(request.method())
}

fn forbidden(message: String) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(external_url: Option<&str>, hosts: &[&str]) -> OwnNames {
        OwnNames {
            external_url: external_url.map(str::to_owned),
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            domains: vec!["own.example".to_owned()],
            is_open_on_loopback: true,
        }
    }

    #[test]
    fn a_host_of_this_machine_is_an_address_or_a_name_that_is_listed() {
        let names = names(Some("https://out.example:8443"), &["registry.test", "192.0.2.7"]);
        for host in [
            "localhost",
            "LocalHost:5000",
            "localhost.",
            "127.0.0.1:5000",
            "127.8.9.10",
            "[::1]:5000",
            "[::ffff:127.0.0.1]:5000",
            "registry.test:5000",
            "REGISTRY.test.",
            "192.0.2.7:80",
            "out.example",
            "out.example:1",
            "own.example:5000",
        ] {
            assert!(names.has_host(host), "{host}");
        }
        for host in [
            "",
            ":5000",
            "evil.example",
            "evil.example:5000",
            "127.0.0.1.evil.example",
            "0.0.0.0:5000",
            "localhost.evil.example",
            "192.0.2.8",
            "[::2]",
            "[::]",
            "localhost:x",
            "localhost:99999",
            "evil.example,localhost",
            "evil@localhost",
            "localhost/x",
            "a b",
            "127.1",
            "2130706433",
            "registry.test.evil",
            "[localhost]",
        ] {
            assert!(!names.has_host(host), "{host}");
        }
    }

    #[test]
    fn an_origin_is_own_by_the_settings_or_else_by_the_host() {
        let by_host = names(None, &[]);
        for (origin, host) in [
            ("http://registry.test", "registry.test"),
            ("http://registry.test", "registry.test:80"),
            ("https://Registry.test", "registry.TEST"),
            ("https://registry.test:443", "registry.test"),
            ("http://127.0.0.1:5000", "127.0.0.1:5000"),
            ("http://[::1]:5000", "[::1]:5000"),
        ] {
            assert!(by_host.has_origin(origin, Some(host)), "{origin} {host}");
        }
        for (origin, host) in [
            ("null", "null"),
            ("", ""),
            ("registry.test", "registry.test"),
            ("http://evil.example", "registry.test"),
            ("http://registry.test:81", "registry.test"),
            ("http://registry.test", "registry.test:81"),
            ("http://127.0.0.1:5000", "localhost:5000"),
            ("http://registry.test/x", "registry.test"),
            ("http://a@registry.test", "registry.test"),
        ] {
            assert!(!by_host.has_origin(origin, Some(host)), "{origin} {host}");
        }
        assert!(!by_host.has_origin("http://registry.test", None));

        let by_settings = names(Some("https://out.example"), &["registry.test"]);
        for origin in
            ["https://out.example", "https://out.example:443", "http://registry.test:5000"]
        {
            assert!(by_settings.has_origin(origin, Some("x.example")), "{origin}");
        }
        for origin in ["http://out.example", "https://out.example:444", "http://x.example", "null"]
        {
            assert!(!by_settings.has_origin(origin, Some("x.example")), "{origin}");
        }
    }
}
