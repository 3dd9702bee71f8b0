//! Publishers' nodes as peers of the operator's own: introduced when something of theirs is pulled, and left a
//! while after the last pull.
//!
//! The node is given literal addresses alone, each of which may be dialled: what a name leads to the next time is
//! for nobody else to find out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use super::acquaintances::Acquaintances;
use crate::dnslink::{Dialer, Peer};
use crate::kubo::Kubo;
use crate::remote::{self, Events, Node, Source, Wanted};

/// How long a read waits until the node knows one of those who are said to have it. The node goes on asking for
/// what it was asked for, and asks whoever comes later too.
const MEETING: Duration = Duration::from_secs(3);

/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// How long leaving all may take.
const LEAVING: Duration = Duration::from_secs(3);

/// How long looking the addresses up may take.
const LOOKING_UP: Duration = Duration::from_secs(10);

/// The peers that this process has given to a node.
pub(super) struct Peers {
    kubo: Arc<Kubo>,
    dialer: Dialer,
    /// How long somebody stays a peer after the last pull.
    keep: Duration,
    known: Mutex<Acquaintances>,
}

impl Peers {
    pub(super) fn new(kubo: Arc<Kubo>, dialer: Dialer, keep: Duration) -> Arc<Self> {
        Arc::new(Self { kubo, dialer, keep, known: Mutex::default() })
    }

    /// Makes the node meet those that are due, and waits a while for the first of them.
    async fn introduce(self: &Arc<Self>, peers: &[Peer]) {
        let due = peers.iter().filter(|peer| self.known().is_due(&peer.peer_id, Instant::now()));
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
        self.known().note(&peer.peer_id, true);
        Ok(addresses)
    }

    fn refused(&self, peer: &Peer, why: String) -> String {
        tracing::info!(peer = %peer.address, why, "a publisher's node is not a peer");
        self.known().note(&peer.peer_id, false);
        why
    }

    /// Has the node stay connected, if nobody else has.
    async fn keep(self: &Arc<Self>, peer: &Peer, addresses: &[String]) -> crate::kubo::Result<()> {
        let peer_id = &peer.peer_id;
        let is_ours = self.known().is_ours(peer_id);
        if !is_ours {
            if self.kubo.peerings().await?.contains(peer_id) {
                return Ok(());
            }
            let excess = self.known().excess();
            for peer_id in excess {
                self.leave(&peer_id).await;
            }
        }
        self.kubo.add_peering(addresses).await?;
        if !is_ours {
            self.known().take(peer_id, Instant::now());
            self.leave_later(peer_id.clone());
        }
        Ok(())
    }

    /// Leaves a peer a while after it was last needed.
    fn leave_later(self: &Arc<Self>, peer_id: String) {
        let peers = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let Some(peers) = peers.upgrade() else { return };
                let Some(used) = peers.known().used(&peer_id) else { return };
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
        self.known().forget(peer_id);
        if let Err(error) = self.kubo.remove_peering(peer_id).await {
            tracing::info!(%error, peer_id, "could not leave a publisher's node");
        }
    }

    /// Leaves all, as far as the node has an ear for it.
    pub(super) async fn leave_all(&self) {
        let ours = self.known().ours();
        let leaving = join_all(ours.iter().map(|peer_id| self.leave(peer_id)));
        let _ = timeout(LEAVING, leaving).await;
    }

    fn known(&self) -> MutexGuard<'_, Acquaintances> {
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
