//! What the node has from other nodes: blocks and records that it does not hold itself, and the peers that it keeps.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cid::Cid;
use serde::Deserialize;

use super::rpc::Call;
use super::{Kubo, KuboError, KuboErrorKind, Result};
use crate::ipld::MAX_BLOCK_SIZE;

/// How long searching for a record may take.
const SEARCH: Duration = Duration::from_secs(25);

/// The longest answer that holds a record, of which there may be several.
const RECORDS: usize = 1024 * 1024;

impl Kubo {
    /// Reads a block, wherever it is: the node asks its peers, and searches the network as it is set to. What
    /// comes is not verified here. Dropping the call ends the search.
    ///
    /// # Errors
    /// Those of the node, and that it is longer than any block.
    pub async fn fetch(&self, cid: &Cid) -> Result<Bytes> {
        let call = self.call("block/get").argument(cid.to_string());
        call.at_most(MAX_BLOCK_SIZE).send(None).await
    }

    /// Has the node connect to a peer at one of these addresses, each with the peer's id at its end.
    ///
    /// # Errors
    /// When it does not within that time.
    pub async fn connect(&self, addresses: &[String], limit: Duration) -> Result<()> {
        let call = self.call("swarm/connect").within(limit);
        addresses.iter().fold(call, Call::argument).send(None).await.map(drop)
    }

    /// Has the node stay connected to a peer, until it ends or the connection is released.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn add_peering(&self, addresses: &[String]) -> Result<()> {
        let call = self.call("swarm/peering/add");
        addresses.iter().fold(call, Call::argument).send(None).await.map(drop)
    }

    /// Has the node stay connected to a peer no longer. It succeeds where it did not.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn remove_peering(&self, peer_id: &str) -> Result<()> {
        self.call("swarm/peering/rm").argument(peer_id).send(None).await.map(drop)
    }

    /// Lists the ids of the peers that the node stays connected to.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn peerings(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Peers")]
            peers: Option<Vec<Peer>>,
        }
        #[derive(Deserialize)]
        struct Peer {
            #[serde(rename = "ID")]
            id: String,
        }

        let answer: Answer = self.call("swarm/peering/ls").json(None).await?;
        Ok(answer.peers.unwrap_or_default().into_iter().map(|peer| peer.id).collect())
    }

    /// Finds the record of an IPNS key, which is not verified here.
    ///
    /// # Errors
    /// [`NotFound`](KuboErrorKind::NotFound) when no peer has one.
    pub async fn ipns_record(&self, key: &Cid) -> Result<Bytes> {
        /// What the events of a query tell: that which has a record is of type 5.
        #[derive(Deserialize)]
        struct Event {
            #[serde(rename = "Type")]
            kind: u32,
            #[serde(rename = "Extra")]
            extra: String,
        }
        const VALUE: u32 = 5;

        let call = self.call("routing/get").argument(format!("/ipns/{key}"));
        let answer = call.within(SEARCH).at_most(RECORDS).send(None).await?;
        let lines = answer.split(|byte| *byte == b'\n');
        let mut events = lines.rev().filter_map(|line| serde_json::from_slice::<Event>(line).ok());
        let record = events.find(|event| event.kind == VALUE);
        let record = record.and_then(|event| STANDARD.decode(event.extra).ok());
        record
            .map(Bytes::from)
            .ok_or_else(|| KuboError::new(KuboErrorKind::NotFound, "routing/get", "no record"))
    }
}
