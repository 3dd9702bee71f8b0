//! Reading content: each digest once, when it is first needed.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::repair::{Finding, cannot_read};
use super::super::{Progress, Registry, Result, Steps, layout};
use crate::oci::{CanonicalDigest, TreeId};
use crate::storage::{self, Content, StorageErrorKind};

/// The content that was read so far.
pub(super) struct Reading<'a> {
    pub(super) registry: &'a Registry,
    /// What it is, where that is what it should be.
    seen: HashMap<CanonicalDigest, Option<Content>>,
    /// How much was read.
    pub(super) blobs: usize,
    pub(super) bytes: u64,
    /// What is wrong with it.
    damaged: BTreeMap<CanonicalDigest, String>,
    /// Which blobs the index notes as lost.
    lost: HashSet<CanonicalDigest>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(registry: &'a Registry) -> Self {
        let (seen, damaged, lost) = (HashMap::new(), BTreeMap::new(), HashSet::new());
        Self { registry, seen, blobs: 0, bytes: 0, damaged, lost }
    }

    /// Reads all content that there is now.
    pub(super) async fn read_all(&mut self, progress: &dyn Progress) -> Result<()> {
        self.look_for_lost().await?;
        let contents = self.registry.storage.contents().await?;
        progress.begin("reading blobs", Steps::each(&contents));
        for canonical in contents {
            self.is_there(&canonical).await?;
            progress.advance(1);
        }
        Ok(())
    }

    /// Returns whether content is there, sound or not; it is read if it was not yet. What is missing is
    /// looked for again each time.
    pub(super) async fn is_there(&mut self, canonical: &CanonicalDigest) -> Result<bool> {
        if self.seen.contains_key(canonical) {
            return Ok(true);
        }
        let found = match self.registry.storage.find(canonical).await {
            Ok(None) => self.read_in_trees(canonical).await?,
            found => found,
        };
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(false),
            Err(error) => {
                self.condemn(canonical, cannot_read(&error));
                return Ok(true);
            }
        };
        self.blobs += 1;
        self.bytes += found.size;
        let expected = self.registry.expected_content(canonical).await?;
        match expected {
            _ if found.canonical != *canonical => {
                self.condemn(canonical, format!("its bytes are {}", found.canonical));
            }
            Some((cid, _)) if cid != found.cid => {
                let what = format!("its CID is {}, not {cid} as in the index", found.cid);
                self.condemn(canonical, what);
            }
            Some((_, size)) if size != found.size => {
                let what = format!("it has {} bytes, not {size} as in the index", found.size);
                self.condemn(canonical, what);
            }
            _ if self.lost.contains(canonical) && self.is_lost_still(canonical).await? => {
                let what = "its bytes are there, but the index notes them as lost: run `roadstead check --repair`";
                self.condemn(canonical, what.to_owned());
            }
            _ => {
                self.seen.insert(*canonical, Some(found));
            }
        }
        Ok(true)
    }

    /// Reads a manifest that perhaps only trees have; none where no tree has it.
    async fn read_in_trees(
        &self,
        canonical: &CanonicalDigest,
    ) -> Result<storage::Result<Option<Content>>> {
        if !self.registry.is_stored_with_edits(canonical).await?
            || self.has_repository(canonical).await?
        {
            return Ok(Ok(None));
        }
        for tree in TreeId::ALL {
            let path = layout::blob_data(canonical);
            match self.registry.storage.identify(tree, &path).await {
                Err(error) if error.kind == StorageErrorKind::NotFound => {}
                found => return Ok(found.map(|found| Some(found.content))),
            }
        }
        Ok(Ok(None))
    }

    /// Returns content that was read and is what it should be.
    pub(super) fn sound(&self, canonical: &CanonicalDigest) -> Option<Content> {
        self.seen.get(canonical).copied().flatten()
    }

    pub(super) fn sizes(&self) -> impl Iterator<Item = (CanonicalDigest, u64)> {
        self.seen.iter().filter_map(|(canonical, found)| Some((*canonical, (*found)?.size)))
    }

    pub(super) async fn has_repository(&self, canonical: &CanonicalDigest) -> Result<bool> {
        let digest = (*canonical).into();
        Ok(!self.registry.index.repositories_with_blob(&digest, 1).await?.is_empty())
    }

    fn condemn(&mut self, canonical: &CanonicalDigest, what: String) {
        self.damaged.insert(*canonical, what);
        self.seen.insert(*canonical, None);
    }

    /// Returns the content with which something is wrong.
    pub(super) fn damaged(&self) -> impl Iterator<Item = CanonicalDigest> {
        self.damaged.keys().copied()
    }

    pub(super) fn findings(&self) -> impl Iterator<Item = Finding> {
        self.damaged.iter().map(|(canonical, what)| Finding {
            about: format!("blob {canonical}"),
            what: what.clone(),
        })
    }

    /// Reads this content again when it is needed next.
    pub(super) async fn forget(&mut self, contents: &[CanonicalDigest]) -> Result<()> {
        for canonical in contents {
            self.damaged.remove(canonical);
            if let Some(found) = self.seen.remove(canonical) {
                self.blobs -= 1;
                self.bytes -= found.map_or(0, |found| found.size);
            }
        }
        self.look_for_lost().await
    }

    async fn look_for_lost(&mut self) -> Result<()> {
        self.lost = self.registry.index.lost_blobs().await?.into_iter().collect();
        Ok(())
    }

    /// Asks once more: it may have been pushed meanwhile.
    async fn is_lost_still(&self, canonical: &CanonicalDigest) -> Result<bool> {
        Ok(self.registry.index.is_lost(canonical).await?)
    }
}
