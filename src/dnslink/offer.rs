//! Which of a node's addresses are published beside a root.

use super::{Guard, Hint};

/// How many addresses of a node are published: an answer of the DNS has to stay short.
const MOST: usize = 4;

/// Returns the addresses of a node that others can reach, at most a few.
///
/// ```
/// use roadstead::dnslink::{Guard, key_of_seed, offer_peers, peer_id};
///
/// let id = peer_id(&key_of_seed(&[7; 32]));
/// let listens = ["127.0.0.1", "8.8.8.8"].map(|ip| format!("/ip4/{ip}/tcp/4001/p2p/{id}"));
/// let offered = offer_peers(&listens, Guard { allow_private: false });
/// assert_eq!(offered, [listens[1].clone()], "no other machine reaches a loopback address");
/// ```
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
    fn only_addresses_that_others_reach_are_offered() {
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
