//! Where we can be reached ourselves, as it is published beside a root.

use std::net::IpAddr;

use super::{Domain, Guard, Hint, Host};

/// How many addresses of a node are told: an answer of the DNS has to stay short.
const MOST: usize = 4;

/// Returns the multiaddr of a gateway at a URL; none if the URL has no host that others could look up.
#[must_use]
pub fn offer_gateway(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    let host = match host.parse::<IpAddr>() {
        Ok(ip) => Host::Ip(ip),
        Err(_) => Host::Name4(host.parse::<Domain>().ok()?),
    };
    let protocol = match url.scheme() {
        "https" => "tls/http",
        "http" => "http",
        _ => return None,
    };
    Some(format!("{host}/tcp/{}/{protocol}", url.port_or_known_default()?))
}

/// Returns those of a node's addresses by which others can reach it, at most a few.
#[must_use]
pub fn offer_peers(addresses: &[String], guard: Guard) -> Vec<String> {
    let is_reachable = |address: &&String| match address.parse() {
        Ok(Hint::Peer(peer)) => peer.address.ip().is_none_or(|ip| guard.allows(ip)),
        _ => false,
    };
    let mut offered: Vec<String> = addresses.iter().filter(is_reachable).cloned().collect();
    // The same ones each time, in whatever order the node lists them.
    offered.sort();
    offered.truncate(MOST);
    offered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_the_address_of_a_gateway_that_others_understand() {
        for (url, expected) in [
            ("https://registry.example.com", "/dns4/registry.example.com/tcp/443/tls/http"),
            ("http://registry.example.com:8080", "/dns4/registry.example.com/tcp/8080/http"),
            ("http://192.0.2.1", "/ip4/192.0.2.1/tcp/80/http"),
            ("https://[2001:db8::1]:8443", "/ip6/2001:db8::1/tcp/8443/tls/http"),
        ] {
            let offered = offer_gateway(url);
            assert_eq!(offered.as_deref(), Some(expected));
            assert!(matches!(expected.parse(), Ok(Hint::Gateway(_))), "{expected}");
        }
        assert_eq!(offer_gateway("http://localhost:5000"), None);
    }

    #[test]
    fn only_addresses_that_others_reach_are_told() {
        const ID: &str = "12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF";
        let addresses: Vec<String> = [
            "/ip4/127.0.0.1/tcp/4001/p2p/ID",
            "/ip4/10.0.0.1/udp/4001/quic-v1/p2p/ID",
            "/ip4/1.1.1.1/tcp/4001/p2p/ID",
            "/ip4/1.1.1.1/udp/4001/quic-v1/webtransport/p2p/ID",
            "/ip4/1.1.1.1/tcp/4001/p2p/ID/p2p-circuit/p2p/ID",
            "/dns4/node.example.com/tcp/4001/p2p/ID",
        ]
        .map(|text| text.replace("ID", ID))
        .to_vec();
        let offered = offer_peers(&addresses, Guard { allow_private: false });
        assert_eq!(offered, [addresses[5].clone(), addresses[2].clone()]);
        let offered = offer_peers(&addresses, Guard { allow_private: true });
        assert_eq!(offered.len(), 4, "{offered:?}");
    }
}
