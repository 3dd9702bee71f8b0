//! Pins, by name: what they pin is retained whatever MFS says.

use std::collections::HashMap;
use std::time::Duration;

use cid::Cid;
use serde::Deserialize;

use super::files::parse;
use super::{CallTimeout, Kubo, KuboErrorKind, Result, SILENCE};

/// How long it may take to pin what is new. It tells nothing of how it goes on.
const UPDATE: Duration = Duration::from_mins(5);

impl Kubo {
    /// Removes all blocks that neither a pin nor a name of the node's own file system leads to; returns when that is done.
    /// All that changes these waits meanwhile.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn collect_garbage(&self) -> Result<()> {
        let call = self.call("repo/gc").option("quiet", "true").option("silent", "true");
        call.timeout(CallTimeout::Endless).send(None).await.map(drop)
    }

    /// Pins single blocks under a name; what they link to is not pinned.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn pin_blocks(&self, cids: &[Cid], name: &str) -> Result<()> {
        // Without `offline`, a block that is missing is searched for while all others wait.
        let call = self.call("pin/add").option("recursive", "false").option("name", name);
        let call = call.option("offline", "true");
        cids.iter()
            .fold(call, |call, cid| call.argument(cid.to_string()))
            .send(None)
            .await
            .map(drop)
    }

    /// Pins all that is below a root under a name. What is below `known`, which has to be pinned so itself,
    /// is not read again, unless that takes long; without it every block is. A root that the operator has pinned
    /// stays his then: it has one pin, which is his to take away. The node waits for a block that is missing,
    /// whatever the options of the call say.
    ///
    /// # Errors
    /// [`Unavailable`](KuboErrorKind::Unavailable) when it does not go on, as when not all of it is on the node.
    pub async fn pin_tree(&self, root: &Cid, known: Option<&Cid>, name: &str) -> Result<()> {
        if let Some(known) = known {
            // The new pin has the name of the old one.
            let call = self.call("pin/update").argument(known.to_string());
            let call = call.argument(root.to_string()).option("unpin", "false");
            let call = call.timeout(CallTimeout::Endless);
            if let Ok(pinned) = tokio::time::timeout(UPDATE, call.send(None)).await {
                return match pinned {
                    Err(error) if error.kind == KuboErrorKind::Exists => Ok(()),
                    pinned => pinned.map(drop),
                };
            }
            tracing::warn!(%root, "pinning the new blocks takes long: pinning the whole tree");
        }
        let call = self.call("pin/add").argument(root.to_string()).option("name", name);
        let call = call.option("recursive", "true").option("progress", "true");
        call.while_it_goes_on(SILENCE).send(None).await.map(drop)
    }

    /// Lists the roots that are pinned under exactly that name with all that is below them.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn pinned_trees(&self, name: &str) -> Result<Vec<Cid>> {
        self.pinned("recursive", name).await
    }

    /// Takes pins of roots away.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn unpin_trees(&self, roots: &[Cid]) -> Result<()> {
        self.unpin(roots, "true").await
    }

    /// Lists the blocks that are pinned on their own under exactly that name.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn pinned_blocks(&self, name: &str) -> Result<Vec<Cid>> {
        self.pinned("direct", name).await
    }

    async fn pinned(&self, kind: &'static str, name: &str) -> Result<Vec<Cid>> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Keys")]
            keys: Option<HashMap<String, Pin>>,
        }
        #[derive(Deserialize)]
        struct Pin {
            #[serde(rename = "Name", default)]
            name: String,
        }

        let call = self.call("pin/ls").option("type", kind).option("names", "true");
        let answer: Answer = call.option("name", name).json(None).await?;
        let keys = answer.keys.unwrap_or_default().into_iter();
        keys.filter(|(_, pin)| pin.name == name).map(|(key, _)| parse("pin/ls", &key)).collect()
    }

    /// Takes pins away.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn unpin_blocks(&self, cids: &[Cid]) -> Result<()> {
        self.unpin(cids, "false").await
    }

    async fn unpin(&self, cids: &[Cid], recursive: &'static str) -> Result<()> {
        if cids.is_empty() {
            return Ok(());
        }
        let call = self.call("pin/rm").option("recursive", recursive);
        let unpinned = cids.iter().fold(call, |call, cid| call.argument(cid.to_string()));
        match unpinned.send(None).await {
            Err(error) if error.kind == KuboErrorKind::NotFound => Ok(()),
            unpinned => unpinned.map(drop),
        }
    }
}
