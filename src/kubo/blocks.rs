//! Blocks, in and out.

use bytes::Bytes;
use cid::Cid;
use futures_util::stream;
use reqwest::Body;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;

use super::{CallTimeout, Kubo, KuboError, KuboErrorKind, Result};
use crate::ipld::{Block, RAW, car_frame, car_header, no_root};

/// How many bytes of blocks are copied together to be sent at once.
const AT_ONCE: usize = 64 * 1024;

impl Kubo {
    /// Puts one block on the node. Nothing keeps it there: whatever links to it has to come next.
    ///
    /// # Errors
    /// [`Full`](KuboErrorKind::Full) among others.
    pub async fn put(&self, block: &Block) -> Result<()> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Key")]
            key: String,
        }

        let codec = if block.cid.codec() == RAW { "raw" } else { "dag-pb" };
        let part = Part::stream_with_length(block.bytes.clone(), block.bytes.len() as u64);
        let form = Form::new().part("data", part.file_name("block"));
        // Whatever its settings are: `Import.HashFunction` holds for what does not say more.
        let call = self.call("block/put").option("cid-codec", codec).option("mhtype", "sha2-256");
        let call = call.option("pin", "false");
        let answer: Answer = call.json(Some(form)).await?;
        if answer.key != block.cid.to_string() {
            let other = format!("{} was stored as {}", block.cid, answer.key);
            return Err(KuboError::new(KuboErrorKind::Failed, "block/put", other));
        }
        Ok(())
    }

    /// Puts blocks on the node: all of them, or it fails. Nothing keeps those that nothing links to.
    ///
    /// # Errors
    /// [`Full`](KuboErrorKind::Full) among others; some of the blocks may be there then.
    pub async fn import(&self, blocks: &[Block]) -> Result<()> {
        #[derive(Deserialize)]
        struct Line {
            #[serde(rename = "Stats")]
            stats: Option<Stats>,
        }
        #[derive(Deserialize)]
        struct Stats {
            #[serde(rename = "BlockCount")]
            count: usize,
        }

        let mut pieces = vec![car_header(&no_root())];
        pieces.extend(blocks.iter().flat_map(car_frame));
        let length = pieces.iter().map(Bytes::len).sum::<usize>();
        // Each piece of a stream is sent by itself.
        if length <= AT_ONCE {
            pieces = vec![pieces.concat().into()];
        }
        let body = Body::wrap_stream(stream::iter(pieces.into_iter().map(Ok::<_, KuboError>)));
        let part = Part::stream_with_length(body, length as u64).file_name("car");
        let call = self.call("dag/import").option("pin-roots", "false").option("stats", "true");
        let answer = call.send(Some(Form::new().part("data", part))).await?;
        let lines = answer.split(|byte| *byte == b'\n');
        let imported = lines
            .filter_map(|line| serde_json::from_slice::<Line>(line).ok()?.stats)
            .map(|stats| stats.count)
            .sum::<usize>();
        if imported != blocks.len() {
            let few = format!("only {imported} of {} blocks were stored", blocks.len());
            return Err(KuboError::new(KuboErrorKind::Failed, "dag/import", few));
        }
        Ok(())
    }

    /// Reads a block that is on the node.
    ///
    /// # Errors
    /// [`MissingBlock`](KuboErrorKind::MissingBlock) when it is not.
    pub async fn block(&self, cid: &Cid) -> Result<Bytes> {
        self.call("block/get").option("offline", "true").argument(cid.to_string()).send(None).await
    }

    /// Removes a block, whether or not it is what its CID says; one that is absent is no error.
    ///
    /// # Errors
    /// [`Failed`](KuboErrorKind::Failed) where it is pinned.
    pub async fn remove_block(&self, cid: &Cid) -> Result<()> {
        #[derive(Deserialize)]
        struct Line {
            #[serde(rename = "Error", default)]
            error: String,
        }

        let call = self.call("block/rm").option("force", "true").argument(cid.to_string());
        let answer = call.send(None).await?;
        let lines = answer.split(|byte| *byte == b'\n');
        let refused = lines
            .filter_map(|line| serde_json::from_slice::<Line>(line).ok())
            .find(|line| !line.error.is_empty());
        match refused {
            Some(Line { error }) => Err(KuboError::new(KuboErrorKind::Failed, "block/rm", error)),
            None => Ok(()),
        }
    }

    /// Has the node read all of its blocks, and remove those that are not what their CIDs say, pinned or not. That takes
    /// as long as reading the disk does.
    ///
    /// # Errors
    /// Those of the node; one of a version that cannot do it.
    pub async fn drop_damaged_blocks(&self) -> Result<()> {
        let call = self.call("repo/verify").option("drop", "true");
        call.timeout(CallTimeout::Endless).send(None).await.map(drop)
    }

    /// Tells whether a block is on the node.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn has(&self, cid: &Cid) -> Result<bool> {
        let call = self.call("block/stat").option("offline", "true").argument(cid.to_string());
        match call.send(None).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == KuboErrorKind::MissingBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
