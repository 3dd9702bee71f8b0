//! The operator's own sources: the gateways of the settings, and a Kubo node.

use std::sync::Arc;
use std::time::Duration;

use cid::Cid;
use futures_util::TryStreamExt;
use tokio::time::timeout;

use super::super::federation::gateways;
use super::super::uploads::new_id;
use super::super::{OwnNode, Registry, RegistryError, Result};
use crate::oci::{CanonicalDigest, TreeId};
use crate::remote::{Node, Remote, RemoteError, RemoteErrorKind, Source};

/// How long content may take to come, at the least; and how many bytes of it have to come in a second.
const SHORTEST: Duration = Duration::from_mins(1);
const SLOWEST: u64 = 64 * 1024;

/// What fetching came to.
pub(super) enum Fetched {
    /// It is stored.
    Stored,
    /// There is none of it, and why.
    Failed(String),
}

/// Makes the sources from which content is fetched again that was lost here: gateways by their URLs, without a slash at
/// the end, and then the operator's node. None where there are none.
///
/// # Errors
/// When there can be no client.
pub fn own_sources(
    urls: &[String],
    node: Option<OwnNode>,
) -> std::result::Result<Option<Remote>, reqwest::Error> {
    let mut sources: Vec<Arc<dyn Source>> = gateways(urls)?;
    sources.extend(node.map(|node| Arc::new(Node::new(node.kubo)) as Arc<dyn Source>));
    Ok((!sources.is_empty()).then(|| Remote::new(sources)))
}

impl Registry {
    /// Fetches content again that is lost here from these sources.
    #[must_use]
    pub fn mending_from(self, sources: Option<Remote>) -> Self {
        Self { sources: sources.map(Arc::new), ..self }
    }

    /// Fetches content of the public tree from a source, and stores it. Of what is not public no source learns.
    pub(super) async fn fetch(
        &self,
        canonical: &CanonicalDigest,
        is_unreadable: bool,
    ) -> Result<Fetched> {
        let failed = |why: &str| Ok(Fetched::Failed(why.to_owned()));
        let Some(sources) = self.sources.clone() else {
            return failed("there is no other copy, and no source: set `federation.gateways`");
        };
        if !self.index.lock().await?.is_named(TreeId::Public, canonical).await? {
            return failed("there is no other copy, and of what is not public no source is asked");
        }
        let Some((cid, size)) = self.expected_content(canonical).await? else {
            return failed("there is no other copy, and the index has no CID for it");
        };
        let id = new_id();
        let limit = SHORTEST + Duration::from_secs(size / SLOWEST);
        let fetching = self.fetch_as(&id, &sources, (*canonical, cid, size), is_unreadable);
        let why = match timeout(limit, fetching).await {
            Ok(Ok(())) => return Ok(Fetched::Stored),
            Ok(Err(error)) => error,
            Err(_) => {
                let seconds = limit.as_secs();
                self.storage.discard(&id).await?;
                let why =
                    format!("there is no other copy, and no source had it within {seconds} s");
                return Ok(Fetched::Failed(why));
            }
        };
        self.storage.discard(&id).await?;
        match why {
            RegistryError::Remote(error) => Ok(Fetched::Failed(format!(
                "there is no other copy, and no source has it: {error}"
            ))),
            other => Err(other),
        }
    }

    /// Fetches content into an upload, which takes the place of what was stored once it was hashed.
    async fn fetch_as(
        &self,
        id: &str,
        sources: &Remote,
        (canonical, cid, size): (CanonicalDigest, Cid, u64),
        is_unreadable: bool,
    ) -> Result<()> {
        let refused =
            |what: String| RegistryError::from(RemoteError::new(RemoteErrorKind::Invalid, what));
        let file = sources.open(cid, Vec::new(), None).await?;
        let mut file = file.ok_or_else(|| refused(format!("{cid} is not a file")))?;
        if file.size != size {
            return Err(refused(format!("{cid} has {} bytes, not {size}", file.size)));
        }
        let mut ingest = self.storage.begin(id).await?;
        while let Some(piece) = file.bytes.try_next().await? {
            if ingest.offset() + piece.len() as u64 > size {
                return Err(refused(format!("{cid} has more than {size} bytes")));
            }
            ingest.append(piece).await?;
        }
        let _storing = self.storing.read().await;
        self.set_aside(&canonical, is_unreadable).await?;
        ingest.finish(&canonical.into()).await?;
        Ok(())
    }

    /// Returns the CID and the size that the index has of content.
    pub(in crate::registry) async fn expected_content(
        &self,
        canonical: &CanonicalDigest,
    ) -> Result<Option<(Cid, u64)>> {
        if let Some(row) = self.index.stored_blob(canonical).await? {
            return Ok(Some((row.cid, row.size)));
        }
        let manifest = self.index.stored_manifest(canonical).await?;
        Ok(manifest.map(|manifest| (manifest.cid, manifest.bytes.len() as u64)))
    }
}
