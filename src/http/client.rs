//! Which client sends a request: the other end of its connection, or the address that a proxy names
//! which the operator trusts.
//!
//! Only [`of`] says so. The log, and everything that counts by client, take it from
//! there; whatever a client itself says about its address is worth nothing.
//!
//! Of the headers that a trusted proxy sends, `X-Forwarded-*` count: proxies append to `X-Forwarded-For`, and the last
//! entry that is no trusted proxy is the client. `Forwarded` counts where none of the others is there.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{FORWARDED, HOST, HeaderMap, HeaderName};
use actix_web::http::uri::Authority;
use actix_web::web::Data;
use actix_web::{HttpMessage, HttpRequest};

use super::client_group::group;
use super::{Api, TrustedProxies};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The client of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// The address that trusted proxies name, if there are any.
    pub forwarded: Option<IpAddr>,
    /// The host of the request to a trusted proxy, if it says.
    pub host: Option<String>,
    /// Whether the client speaks to a trusted proxy over TLS, if it says.
    pub is_encrypted: Option<bool>,
}

impl Client {
    /// Returns the address of the client, as far as it can be known.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.forwarded.unwrap_or(self.peer)
    }

    /// Returns what limits count by: one address, or the network that one subscriber has of IPv6.
    #[must_use]
    pub fn group(&self) -> IpAddr {
        group(self.address())
    }

    /// Finds the client of a request that came from `peer` with these headers.
    fn read(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> Self {
        let peer = peer.to_canonical();
        let mut client = Self { peer, forwarded: None, host: None, is_encrypted: None };
        let is_standard = headers.contains_key(FORWARDED);
        let older = [X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO];
        let is_older = older.iter().any(|name| headers.contains_key(name));
        if !is_standard && !is_older {
            return client;
        }
        if !proxies.include(peer) {
            proxies.warn(
                peer,
                "if it comes from your proxy, list its address in server.trusted_proxies",
            );
            return client;
        }
        // Nearly all proxies write the older headers, and pass `Forwarded` on as the client sent it.
        let (hops, proto, host) = if is_older {
            if is_standard {
                proxies.warn(
                    peer,
                    "it has both Forwarded and X-Forwarded-*, and Forwarded is not used; have the proxy remove \
                     the headers that it does not set itself",
                );
            }
            (
                listed(headers, &X_FORWARDED_FOR).iter().map(|hop| address(hop)).collect(),
                listed(headers, &X_FORWARDED_PROTO).pop(),
                listed(headers, &X_FORWARDED_HOST).pop(),
            )
        } else {
            standard(headers)
        };
        client.forwarded = nearest(&hops, proxies);
        client.host = host;
        client.is_encrypted = proto.map(|proto| proto.eq_ignore_ascii_case("https"));
        client
    }
}

/// Returns the client of a request.
pub(super) fn of(request: &HttpRequest) -> Client {
    let found = request.extensions().get::<Client>().cloned();
    found.unwrap_or_else(|| read(request))
}

/// Returns the host that a request is for, and maybe a port: HTTP/2 has it in the target, and so may HTTP/1.1, where
/// it counts more than `Host` (RFC 9112, 3.2.2).
pub(super) fn host(request: &HttpRequest) -> Option<&str> {
    let target = request.uri().authority().map(Authority::as_str);
    target.or_else(|| request.headers().get(HOST)?.to_str().ok())
}

/// Finds the client of a request, for [`of`].
pub(super) fn note(request: &ServiceRequest) {
    let client = read(request.request());
    request.extensions_mut().insert(client);
}

fn read(request: &HttpRequest) -> Client {
    let api: &Data<Api> = request.app_data().expect("the server is made with it");
    let peer = request.peer_addr().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.ip());
    Client::read(peer, request.headers(), &api.proxies)
}

/// Goes from the nearest hop to the farthest as long as each is a proxy that is trusted to name the next;
/// ends at what is no address, since nothing before it can be known.
fn nearest(hops: &[Option<IpAddr>], proxies: &TrustedProxies) -> Option<IpAddr> {
    let mut found = None;
    for hop in hops.iter().rev() {
        let Some(address) = *hop else { break };
        found = Some(address);
        if !proxies.include(address) {
            break;
        }
    }
    found
}

/// Returns the items of a list that may stand in several headers.
fn listed(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let texts = headers.get_all(name).map(|value| value.to_str().unwrap_or_default());
    texts.flat_map(|text| text.split(',')).map(|item| item.trim().to_owned()).collect()
}

type Hops = (Vec<Option<IpAddr>>, Option<String>, Option<String>);

/// Reads `Forwarded` (RFC 7239): the hops, and what the nearest proxy says of scheme and host.
fn standard(headers: &HeaderMap) -> Hops {
    let texts = headers.get_all(FORWARDED).map(|value| value.to_str().unwrap_or_default());
    let mut hops = Vec::new();
    let (mut proto, mut host) = (None, None);
    for element in texts.flat_map(|text| split(text, ',')) {
        let pairs: Vec<(String, String)> = split(element, ';')
            .into_iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), unquoted(value.trim())))
            .collect();
        let one = |key: &str| {
            let mut values = pairs.iter().filter(|(name, _)| name == key);
            let value = values.next()?.1.clone();
            // What is said twice is not known.
            values.next().is_none().then_some(value)
        };
        hops.push(one("for").and_then(|node| address(&node)));
        (proto, host) = (one("proto"), one("host"));
    }
    (hops, proto, host)
}

/// Splits a text where a separator stands outside of quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let mut parts = Vec::new();
    let mut begin = 0;
    for (position, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if character == separator && !is_quoted => {
                parts.push(&text[begin..position]);
                begin = position + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// Takes the quotes away (RFC 9110, 5.6.4).
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut is_escaped = false;
    let keep = |character: &char| {
        is_escaped = *character == '\\' && !is_escaped;
        !is_escaped
    };
    inner.chars().filter(keep).collect()
}

/// Reads an address, which may have a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok().or_else(|| text.parse().ok().map(|it: SocketAddr| it.ip())),
    };
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn proxies() -> TrustedProxies {
        let network = |text: &str, bits| (text.parse().unwrap(), bits);
        TrustedProxies::new(vec![
            network("127.0.0.0", 8),
            network("::1", 128),
            network("10.1.0.0", 16),
            network("2001:db8:1::", 48),
        ])
    }

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> Client {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        Client::read(peer.parse().unwrap(), &map, &proxies())
    }

    fn forwarded(peer: &str, headers: &[(&'static str, &str)]) -> String {
        client(peer, headers).forwarded.map(|it| it.to_string()).unwrap_or_default()
    }

    #[test]
    fn hops_are_read_from_the_nearest_to_the_first_that_is_not_trusted() {
        for (list, found) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
            ("198.51.100.1, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
            ("198.51.100.1,203.0.113.9,10.1.2.3,127.0.0.1", "203.0.113.9"),
            ("10.1.2.4, 10.1.2.3", "10.1.2.4"),
            ("198.51.100.1, nonsense, 10.1.2.3", "10.1.2.3"),
            ("198.51.100.1, , 10.1.2.3", "10.1.2.3"),
            ("203.0.113.9, nonsense", ""),
            ("", ""),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[203.0.113.9]", ""),
            ("\"203.0.113.9\"", ""),
            ("999.0.0.1", ""),
        ] {
            assert_eq!(forwarded("127.0.0.1", &[("x-forwarded-for", list)]), found, "{list}");
        }
        let two = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(
            forwarded("127.0.0.1", &two),
            "203.0.113.9",
            "of two headers the later is nearer"
        );
    }

    #[test]
    fn the_standard_header_is_read_the_same_way() {
        for (list, found) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=\"203.0.113.9:4711\";proto=https", "203.0.113.9"),
            ("for=\"[2001:db8::1]:80\"", "2001:db8::1"),
            ("for=198.51.100.1, for=203.0.113.9;by=10.1.2.3, for=10.1.2.3", "203.0.113.9"),
            ("for=198.51.100.1, for=_hidden, for=10.1.2.3", "10.1.2.3"),
            ("for=198.51.100.1, for=unknown", ""),
            ("for=198.51.100.1, proto=https", ""),
            ("for=198.51.100.1;for=203.0.113.9", ""),
            ("by=\"a,for=198.51.100.1\"", ""),
            ("for=\"203.0.113.9", ""),
            (";;", ""),
        ] {
            assert_eq!(forwarded("127.0.0.1", &[("forwarded", list)]), found, "{list}");
        }
        let reported =
            client("::1", &[("forwarded", "host=evil.example, host=\"a.example:1\";proto=HTTPS")]);
        assert_eq!(
            (reported.host.as_deref(), reported.is_encrypted),
            (Some("a.example:1"), Some(true))
        );
    }

    #[test]
    fn others_are_not_believed() {
        let of = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")];
        let stranger = client("203.0.113.9", &of);
        assert_eq!(stranger.address().to_string(), "203.0.113.9");
        assert_eq!((stranger.host, stranger.is_encrypted), (None, None));
    }

    #[test]
    fn the_standard_header_does_not_count_beside_what_proxies_write() {
        let forged = ("forwarded", "for=198.51.100.2;host=evil.example;proto=http");
        for (headers, found) in [
            (&[("x-forwarded-for", "198.51.100.1"), forged][..], "198.51.100.1"),
            (&[forged, ("x-forwarded-for", "6.6.6.6, 198.51.100.1")], "198.51.100.1"),
            (&[forged, ("x-forwarded-for", "nonsense")], "127.0.0.1"),
            // A proxy that names no client.
            (&[forged, ("x-forwarded-proto", "https")], "127.0.0.1"),
            (&[forged, ("x-forwarded-host", "a.example")], "127.0.0.1"),
            (&[forged], "198.51.100.2"),
        ] {
            let found_client = client("127.0.0.1", headers);
            assert_eq!(found_client.address().to_string(), found, "{headers:?}");
            let is_alone = headers.len() == 1;
            assert_eq!(found_client.host.as_deref() == Some("evil.example"), is_alone);
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_a_stranger_another(text in "[ -~]{0,60}", standard in any::<bool>()) {
            let name = if standard { "forwarded" } else { "x-forwarded-for" };
            prop_assert_eq!(client("203.0.113.9", &[(name, &text)]).address().to_string(), "203.0.113.9");
            let _ = client("127.0.0.1", &[(name, &text)]);
        }
    }
}
