//! Which peers a node was made to meet, when, and which are evicted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How many publishers' nodes are peers at a time. The one that was unused for longest is evicted.
const PEERS: usize = 64;

/// For how many the last try is remembered.
const KNOWN: usize = 1000;

/// When a peer is tried again that could not be connected to.
const RETRY: Duration = Duration::from_secs(30);

/// When the addresses of a peer are looked up again that could be.
const LOOK_AGAIN: Duration = Duration::from_mins(5);

/// The nodes that others name, by their ids.
#[derive(Default)]
pub(super) struct PeerTable(HashMap<String, Known>);

/// What is known of one of them.
struct Known {
    used: Instant,
    tried: Instant,
    is_met: bool,
    /// Whether the node stays connected because of us.
    is_ours: bool,
}

impl Known {
    fn new(now: Instant) -> Self {
        Self { used: now, tried: now, is_met: false, is_ours: false }
    }
}

impl PeerTable {
    /// Notes that a peer is needed, and returns whether it has to be met: by the caller alone.
    pub(super) fn is_due(&mut self, peer_id: &str, now: Instant) -> bool {
        if let Some(known) = self.0.get_mut(peer_id) {
            known.used = now;
            let pause = if known.is_met { LOOK_AGAIN } else { RETRY };
            let is_due = now.saturating_duration_since(known.tried) >= pause;
            if is_due {
                known.tried = now;
            }
            return is_due;
        }
        if self.0.len() >= KNOWN {
            let is_fresh = |tried| now.saturating_duration_since(tried) < RETRY;
            self.0.retain(|_, known| known.is_ours || is_fresh(known.tried));
        }
        if self.0.len() >= KNOWN {
            return false;
        }
        self.0.insert(peer_id.to_owned(), Known::new(now));
        true
    }

    /// Notes whether a peer could be met.
    pub(super) fn note(&mut self, peer_id: &str, is_met: bool) {
        if let Some(known) = self.0.get_mut(peer_id) {
            known.is_met = is_met;
        }
    }

    /// Notes that the node stays connected to a peer because of us.
    pub(super) fn take(&mut self, peer_id: &str, now: Instant) {
        self.0.entry(peer_id.to_owned()).or_insert_with(|| Known::new(now)).is_ours = true;
    }

    /// Returns whether the node stays connected to a peer because of us.
    pub(super) fn is_ours(&self, peer_id: &str) -> bool {
        self.used(peer_id).is_some()
    }

    /// Returns when a peer was last needed to which the node stays connected because of us.
    pub(super) fn used(&self, peer_id: &str) -> Option<Instant> {
        self.0.get(peer_id).filter(|known| known.is_ours).map(|known| known.used)
    }

    /// Lists the peers to which the node stays connected because of us, the longest unused first.
    pub(super) fn ours(&self) -> Vec<String> {
        let mut ours: Vec<_> = self.0.iter().filter(|(_, known)| known.is_ours).collect();
        ours.sort_unstable_by_key(|(_, known)| known.used);
        ours.into_iter().map(|(peer_id, _)| peer_id.clone()).collect()
    }

    /// Lists the peers to evict for another one.
    pub(super) fn excess(&self) -> Vec<String> {
        let mut ours = self.ours();
        ours.truncate((ours.len() + 1).saturating_sub(PEERS));
        ours
    }

    /// Forgets a peer.
    pub(super) fn forget(&mut self, peer_id: &str) {
        self.0.remove(peer_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_tried_again_only_after_a_while_whether_or_not_it_was_met() {
        let (mut known, start) = (PeerTable::default(), Instant::now());
        for (is_met, pause) in [(true, LOOK_AGAIN), (false, RETRY)] {
            let peer = is_met.to_string();
            assert!(known.is_due(&peer, start));
            assert!(!known.is_due(&peer, start), "somebody is at it");
            known.note(&peer, is_met);
            let soon = start + pause.saturating_sub(Duration::from_secs(1));
            assert!(!known.is_due(&peer, soon));
            assert!(known.is_due(&peer, start + pause));
            assert!(!known.is_due(&peer, start + pause));
        }
    }

    #[test]
    fn the_peer_that_was_unused_for_longest_is_evicted() {
        let (mut known, start) = (PeerTable::default(), Instant::now());
        let at = |second: usize| start + Duration::from_secs(second as u64);
        for number in 0..PEERS {
            known.is_due(&number.to_string(), at(number));
            known.take(&number.to_string(), at(number));
        }
        assert_eq!(known.excess(), ["0"]);
        known.is_due("0", at(PEERS));
        assert_eq!(known.excess(), ["1"]);
        known.forget("1");
        assert!(known.excess().is_empty());
    }

    #[test]
    fn the_number_of_known_peers_is_limited() {
        let (mut known, start) = (PeerTable::default(), Instant::now());
        known.take("ours", start);
        let met = (0..2 * KNOWN).filter(|number| known.is_due(&number.to_string(), start)).count();
        assert_eq!((met, known.0.len()), (KNOWN - 1, KNOWN));
        assert!(known.is_due("later", start + RETRY));
        assert_eq!(known.ours(), ["ours"]);
    }
}
