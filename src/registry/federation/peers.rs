//! Publishers' nodes as peers of the operator's own: introduced when something of theirs is pulled, and left a
//! while after the last pull.
//!
//! The node is given literal addresses alone, each of which may be dialled: what a name leads to the next time is
//! for nobody else to find out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use crate::dnslink::{Dialer, Peer};
use crate::kubo::Kubo;
use crate::remote::{self, Events, Node, Source, Wanted};

/// How many publishers' nodes are peers at a time. Whoever was not needed for longest makes room.
const PEERS: usize = 64;

/// Of how many it is kept that they were tried.
const KNOWN: usize = 1000;

/// How long a read waits until the node knows one of those who are said to have it. The node goes on asking for
/// what it was asked for, and asks whoever comes later too.
const MEETING: Duration = Duration::from_secs(3);

/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// How long looking the addresses up may take.
const LOOKING_UP: Duration = Duration::from_secs(10);

/// When somebody is tried again who could not be connected to.
const RETRY: Duration = Duration::from_secs(30);

/// When it is looked again where somebody is who could be.
const LOOK_AGAIN: Duration = Duration::from_mins(5);

/// The peers that this process has given to a node.
pub(super) struct Peers {
    kubo: Arc<Kubo>,
    dialer: Dialer,
    /// How long somebody stays a peer after the last pull.
    keep: Duration,
    known: Mutex<HashMap<String, Known>>,
}

/// What is known of a publisher's node.
struct Known {
    used: Instant,
    tried: Instant,
    is_met: bool,
    /// Whether the node stays connected because of us.
    is_ours: bool,
}

impl Peers {
    pub(super) fn new(kubo: Arc<Kubo>, dialer: Dialer, keep: Duration) -> Arc<Self> {
        Arc::new(Self { kubo, dialer, keep, known: Mutex::default() })
    }

    /// Makes the node meet those that are due, and waits a while for the first of them.
    async fn introduce(self: &Arc<Self>, peers: &[Peer]) {
        let due = peers.iter().filter(|peer| self.is_due(&peer.peer_id));
        let mut meetings: FuturesUnordered<_> = due
            .map(|peer| {
                let (peers, peer) = (Arc::clone(self), peer.clone());
                // It goes on when nobody waits for it any more.
                tokio::spawn(async move { peers.meet(&peer).await.is_ok() })
            })
            .collect();
        let first = async {
            while let Some(met) = meetings.next().await {
                if met.unwrap_or(false) {
                    break;
                }
            }
        };
        // Whoever is late is late.
        let _ = timeout(MEETING, first).await;
    }

    /// Notes that somebody is needed, and tells whether it has to be met.
    fn is_due(&self, peer_id: &str) -> bool {
        let (mut known, now) = (self.known(), Instant::now());
        if let Some(known) = known.get_mut(peer_id) {
            known.used = now;
            let pause = if known.is_met { LOOK_AGAIN } else { RETRY };
            if known.tried.elapsed() < pause {
                return false;
            }
            known.tried = now;
            return true;
        }
        if known.len() >= KNOWN {
            known.retain(|_, known| known.is_ours || known.tried.elapsed() < RETRY);
        }
        if known.len() >= KNOWN {
            return false;
        }
        let fresh = Known { used: now, tried: now, is_met: false, is_ours: false };
        known.insert(peer_id.to_owned(), fresh);
        true
    }

    /// Has the node connect to a peer, and stay connected; returns at which addresses.
    ///
    /// # Errors
    /// Why it does not, for people.
    pub(super) async fn meet(self: &Arc<Self>, peer: &Peer) -> Result<Vec<String>, String> {
        let looked_up = timeout(LOOKING_UP, self.dialer.peer_addresses(peer)).await;
        let addresses = match looked_up.map_err(|_| "its addresses cannot be found".to_owned()) {
            Ok(Ok(addresses)) => addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            Ok(Err(error)) => return Err(self.refused(peer, error.to_string())),
            Err(why) => return Err(self.refused(peer, why)),
        };
        let failed = |error: crate::kubo::KuboError| self.refused(peer, error.to_string());
        self.keep(peer, &addresses).await.map_err(failed)?;
        self.kubo.connect(&addresses, CONNECTING).await.map_err(failed)?;
        if let Some(known) = self.known().get_mut(&peer.peer_id) {
            known.is_met = true;
        }
        Ok(addresses)
    }

    fn refused(&self, peer: &Peer, why: String) -> String {
        tracing::info!(peer = %peer.address, why, "a publisher's node is not a peer");
        if let Some(known) = self.known().get_mut(&peer.peer_id) {
            known.is_met = false;
        }
        why
    }

    /// Has the node stay connected, if nobody else has.
    async fn keep(self: &Arc<Self>, peer: &Peer, addresses: &[String]) -> crate::kubo::Result<()> {
        let is_ours = self.known().get(&peer.peer_id).is_some_and(|known| known.is_ours);
        if !is_ours && self.kubo.peerings().await?.contains(&peer.peer_id) {
            return Ok(());
        }
        let excess = if is_ours { Vec::new() } else { self.excess() };
        for peer_id in excess {
            self.leave(&peer_id).await;
        }
        self.kubo.add_peering(addresses).await?;
        let now = Instant::now();
        let mut known = self.known();
        let fresh = || Known { used: now, tried: now, is_met: false, is_ours: false };
        known.entry(peer.peer_id.clone()).or_insert_with(fresh).is_ours = true;
        drop(known);
        if !is_ours {
            self.leave_later(peer.peer_id.clone());
        }
        Ok(())
    }

    /// Lists who has to make room for another one.
    fn excess(&self) -> Vec<String> {
        let known = self.known();
        let mut ours: Vec<_> = known.iter().filter(|(_, known)| known.is_ours).collect();
        ours.sort_unstable_by_key(|(_, known)| known.used);
        let excess = (ours.len() + 1).saturating_sub(PEERS);
        ours[..excess].iter().map(|(peer_id, _)| (*peer_id).clone()).collect()
    }

    /// Leaves a peer a while after it was last needed.
    fn leave_later(self: &Arc<Self>, peer_id: String) {
        let peers = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let Some(peers) = peers.upgrade() else { return };
                let used =
                    peers.known().get(&peer_id).filter(|known| known.is_ours).map(|it| it.used);
                let Some(used) = used else { return };
                let left = peers.keep.saturating_sub(used.elapsed());
                if left.is_zero() {
                    peers.leave(&peer_id).await;
                    return;
                }
                drop(peers);
                sleep(left).await;
            }
        });
    }

    /// Has the node stay connected no longer.
    async fn leave(&self, peer_id: &str) {
        self.known().remove(peer_id);
        if let Err(error) = self.kubo.remove_peering(peer_id).await {
            tracing::info!(%error, peer_id, "could not leave a publisher's node");
        }
    }

    /// Leaves all.
    pub(super) async fn leave_all(&self) {
        let ours: Vec<String> = {
            let known = self.known();
            known.iter().filter(|(_, known)| known.is_ours).map(|(id, _)| id.clone()).collect()
        };
        for peer_id in ours {
            self.leave(&peer_id).await;
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The operator's node, who is told before each read whom a publisher names.
pub(super) struct Introduced {
    pub(super) node: Node,
    pub(super) peers: Arc<Peers>,
    pub(super) named: Vec<Peer>,
}

#[async_trait]
impl Source for Introduced {
    fn name(&self) -> &str {
        self.node.name()
    }

    async fn open(&self, wanted: &Wanted) -> remote::Result<Events> {
        self.peers.introduce(&self.named).await;
        self.node.open(wanted).await
    }
}
