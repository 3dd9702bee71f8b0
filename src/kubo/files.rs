//! MFS: names on the node that keep what is below them from being collected.

use cid::Cid;
use serde::Deserialize;

use super::{CallTimeout, Kubo, KuboError, KuboErrorKind, Result};

/// What stands at a path of MFS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its root.
    pub cid: Cid,
    /// Whether it is a directory.
    pub is_directory: bool,
}

impl Kubo {
    /// Tells what stands at a path; none if nothing does. It makes the node write what it has not written
    /// yet, so a node without space fails.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn stat(&self, path: &str) -> Result<Option<Stat>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            hash: String,
            r#type: String,
        }

        let call = self.call("files/stat").argument(path);
        let answer: Answer = match call.json(None).await {
            Err(error) if error.kind == KuboErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        Ok(Some(Stat {
            cid: parse("files/stat", &answer.hash)?,
            is_directory: answer.r#type == "directory",
        }))
    }

    /// Lists the names in a directory, in no order; none if there is no directory.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn list(&self, path: &str) -> Result<Option<Vec<String>>> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Entries")]
            entries: Option<Vec<Entry>>,
        }
        #[derive(Deserialize)]
        struct Entry {
            #[serde(rename = "Name")]
            name: String,
        }

        // Its long form would load every child.
        let answer: Answer = match self.call("files/ls").argument(path).json(None).await {
            Err(error) if error.kind == KuboErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        let names = answer.entries.unwrap_or_default().into_iter().map(|entry| entry.name);
        Ok(Some(names.collect()))
    }

    /// Gives a block that is on the node a new name, and returns when that outlasts the node. Of several
    /// callers that request one name, one gets it.
    ///
    /// # Errors
    /// [`Exists`](KuboErrorKind::Exists) when the name is taken,
    /// [`MissingBlock`](KuboErrorKind::MissingBlock) when the block is not there,
    /// [`NotFound`](KuboErrorKind::NotFound) when the directory of the name is not.
    pub async fn copy(&self, cid: &Cid, path: &str, timeout: CallTimeout) -> Result<()> {
        self.copying(cid, path).timeout(timeout).send(None).await.map(drop)
    }

    /// Makes a directory, and those above it that are missing; one that is there is left as it is. When it returns
    /// that is not yet on the disk: a [`Kubo::copy`] into it brings it there.
    ///
    /// Unlike a copy, it does not have the node drop what it knows of the folders beside it, which would take
    /// away what is being linked in them.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn make_directory(&self, path: &str) -> Result<()> {
        let call = self.call("files/mkdir").option("parents", "true").option("cid-version", "1");
        call.argument(path).timeout(CallTimeout::Endless).send(None).await.map(drop)
    }

    fn copying(&self, cid: &Cid, path: &str) -> super::rpc::Call<'_> {
        // Without `offline`, a block that is missing is searched for while all others wait.
        let call = self.call("files/cp").option("offline", "true");
        call.argument(format!("/ipfs/{cid}")).argument(path)
    }

    /// Takes names away, with what is below them; those that are absent are passed over. When it returns
    /// that is not yet on the disk: [`Kubo::flush`] it.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn remove(&self, paths: &[String]) -> Result<()> {
        let call = self.call("files/rm").option("recursive", "true").option("force", "true");
        let call = paths.iter().fold(call, super::rpc::Call::argument);
        call.timeout(CallTimeout::Endless).send(None).await.map(drop)
    }

    /// Writes a folder to the disk, with all that leads to it, and returns its CID. Nothing below
    /// it may change meanwhile.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn flush(&self, path: &str) -> Result<Cid> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Cid")]
            cid: String,
        }

        let call = self.call("files/flush").argument(path).timeout(CallTimeout::Endless);
        let answer: Answer = call.json(None).await?;
        parse("files/flush", &answer.cid)
    }
}

/// Parses a CID that a command answered.
pub(super) fn parse(command: &'static str, text: &str) -> Result<Cid> {
    text.parse().map_err(|error| {
        KuboError::new(KuboErrorKind::Failed, command, format!("`{text}` is not a CID: {error}"))
    })
}
