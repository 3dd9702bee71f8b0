//! Pins, by name: what they keep is kept whatever MFS says.

use std::collections::HashMap;

use cid::Cid;
use serde::Deserialize;

use super::files::parse;
use super::{Kubo, KuboErrorKind, Result};

impl Kubo {
    /// Pins single blocks under a name; what they link to is not kept by it.
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

    /// Lists the blocks that are pinned on their own under exactly that name.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn pinned_blocks(&self, name: &str) -> Result<Vec<Cid>> {
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

        let call = self.call("pin/ls").option("type", "direct").option("names", "true");
        let answer: Answer = call.option("name", name).json(None).await?;
        let keys = answer.keys.unwrap_or_default().into_iter();
        keys.filter(|(_, pin)| pin.name == name).map(|(key, _)| parse("pin/ls", &key)).collect()
    }

    /// Takes pins away.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn unpin_blocks(&self, cids: &[Cid]) -> Result<()> {
        if cids.is_empty() {
            return Ok(());
        }
        let call = self.call("pin/rm").option("recursive", "false");
        let unpinned = cids.iter().fold(call, |call, cid| call.argument(cid.to_string()));
        match unpinned.send(None).await {
            Err(error) if error.kind == KuboErrorKind::NotFound => Ok(()),
            unpinned => unpinned.map(drop),
        }
    }
}
