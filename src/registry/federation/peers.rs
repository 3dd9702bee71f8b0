//! Publishers' nodes as peers of the operator's own: introduced when something of theirs is pulled, and left a
//! while after the last pull.
//!
//! The node is given literal addresses alone, each of which may be dialled: what a name leads to the next time is
//! not for the node to find out.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};

use async_trait::async_trait;
use cid::Cid;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use super::peer_table::PeerTable;
use crate::dnslink::{Dialer, Peer};
use crate::kubo::Kubo;
use crate::remote::{self, BlockAnswer, Events, Node, ReadRequest, RootBounds, Source};

/// How long a read waits until the node is connected to one of the peers that should have the content. The node goes on
/// requesting it, also from peers that come later.
const MEETING: Duration = Duration::from_secs(3);

/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// How long leaving all may take.
const LEAVING: Duration = Duration::from_secs(3);

/// How many addresses of one the node is given.
const ADDRESSES: usize = 16;

/// Another node, by all that is said of where it listens.
#[derive(Clone)]
pub(super) struct KnownPeer {
    peer_id: String,
    hints: Vec<Peer>,
}

impl KnownPeer {
    /// Returns the node that a hint names.
    pub(super) fn by(hint: &Peer) -> Self {
        Self { peer_id: hint.peer_id.clone(), hints: vec![hint.clone()] }
    }

    /// Returns the nodes that hints name, in their order.
    pub(super) fn all<'a>(hints: impl IntoIterator<Item = &'a Peer>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for hint in hints {
            match all.iter_mut().find(|peer| peer.peer_id == hint.peer_id) {
                Some(peer) => peer.hints.push(hint.clone()),
                None => all.push(Self::by(hint)),
            }
        }
        all
    }
}

/// The peers that this process has given to a node.
pub(super) struct Peers {
    kubo: Arc<Kubo>,
    dialer: Dialer,
    /// How long a node stays a peer after the last pull.
    keep: Duration,
    known: Mutex<PeerTable>,
    /// A folder with an empty file for each of them, by its id, for the process after this one.
    notes: Option<PathBuf>,
}

impl Peers {
    /// Takes over those that a process has left that was killed.
    pub(super) fn new(
        kubo: Arc<Kubo>,
        dialer: Dialer,
        keep: Duration,
        notes: Option<PathBuf>,
    ) -> Arc<Self> {
        let left: Vec<_> = notes.iter().flat_map(fs::read_dir).flatten().flatten().collect();
        let peers = Arc::new(Self { kubo, dialer, keep, known: Mutex::default(), notes });
        for peer_id in left.into_iter().filter_map(|note| note.file_name().into_string().ok()) {
            peers.known().take(&peer_id, Instant::now());
            peers.leave_later(peer_id);
        }
        peers
    }

    /// Does something to the note of a peer.
    fn note(&self, peer_id: &str, change: impl FnOnce(&Path) -> io::Result<()>) {
        let Some(notes) = &self.notes else { return };
        if let Err(error) = fs::create_dir_all(notes).and_then(|()| change(&notes.join(peer_id))) {
            tracing::warn!(%error, peer_id, "failed to store a peer of the node");
        }
    }

    /// Makes the node meet those that are due, and waits a while for the first of them.
    async fn introduce(self: &Arc<Self>, known_peers: &[KnownPeer]) {
        let due = known_peers.iter().filter(|it| self.known().is_due(&it.peer_id, Instant::now()));
        let mut meetings: FuturesUnordered<_> = due
            .map(|peer| {
                let (peers, peer) = (Arc::clone(self), peer.clone());
                // It goes on when no read waits for it any more.
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
        // A late one is not waited for.
        let _ = timeout(MEETING, first).await;
    }

    /// Has the node connect to another one, and stay connected.
    ///
    /// # Errors
    /// Why it does not, for people.
    pub(super) async fn meet(self: &Arc<Self>, peer: &KnownPeer) -> Result<(), String> {
        let meeting = async {
            let addresses = self.addresses(peer).await?;
            let reason = |error: crate::kubo::KuboError| error.to_string();
            self.keep(&peer.peer_id, &addresses).await.map_err(reason)?;
            self.kubo.connect(&addresses, CONNECTING).await.map_err(reason)
        };
        let met = meeting.await;
        self.known().note(&peer.peer_id, met.is_ok());
        met.inspect_err(|why| {
            tracing::info!(
                peer = peer.peer_id,
                why,
                "failed to connect the node to a publisher's node"
            );
        })
    }

    /// Finds the addresses that may be dialled, at least one.
    async fn addresses(&self, peer: &KnownPeer) -> Result<Vec<String>, String> {
        let finding = join_all(peer.hints.iter().map(|hint| self.dialer.peer_addresses(hint)));
        let (mut addresses, mut why) = (Vec::new(), String::new());
        for found in finding.await {
            match found {
                Ok(found) => addresses.extend(found.iter().map(ToString::to_string)),
                Err(error) => why = error.to_string(),
            }
        }
        addresses.truncate(ADDRESSES);
        if addresses.is_empty() { Err(why) } else { Ok(addresses) }
    }

    /// Has the node stay connected, unless another process or the operator does.
    async fn keep(
        self: &Arc<Self>,
        peer_id: &String,
        addresses: &[String],
    ) -> crate::kubo::Result<()> {
        let is_ours = self.known().is_ours(peer_id);
        if !is_ours {
            if self.kubo.peerings().await?.contains(peer_id) {
                return Ok(());
            }
            let excess = self.known().excess();
            for peer_id in excess {
                self.leave(&peer_id).await;
            }
            self.note(peer_id, |note| fs::write(note, ""));
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
            tracing::info!(%error, peer_id, "failed to disconnect the node from a publisher's node");
        }
        self.note(peer_id, |note| fs::remove_file(note));
    }

    /// Leaves all, as far as the node has an ear for it.
    pub(super) async fn leave_all(&self) {
        let ours = self.known().ours();
        let leaving = join_all(ours.iter().map(|peer_id| self.leave(peer_id)));
        let _ = timeout(LEAVING, leaving).await;
    }

    fn known(&self) -> MutexGuard<'_, PeerTable> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The operator's node, which is connected before each read to the nodes that a publisher names.
pub(super) struct Introduced {
    pub(super) node: Node,
    pub(super) peers: Arc<Peers>,
    pub(super) known_peers: Vec<KnownPeer>,
}

#[async_trait]
impl Source for Introduced {
    fn name(&self) -> &str {
        self.node.name()
    }

    async fn open(&self, request: &ReadRequest) -> remote::Result<Events> {
        self.peers.introduce(&self.known_peers).await;
        self.node.open(request).await
    }

    async fn block(&self, cid: Cid, bounds: &RootBounds) -> remote::Result<BlockAnswer> {
        self.peers.introduce(&self.known_peers).await;
        self.node.block(cid, bounds).await
    }
}
