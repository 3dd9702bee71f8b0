//! Reading content: each digest once, when it is first needed.

use std::collections::HashMap;

use cid::Cid;

use super::super::{Progress, Registry, Result, Steps, layout};
use super::finding::{Finding, cannot_read};
use crate::oci::{CanonicalDigest, TreeId};
use crate::storage::{self, Content, StorageErrorKind};

/// The content that was read so far.
pub(super) struct Reading<'a> {
    registry: &'a Registry,
    /// What it is, where that is what it should be.
    seen: HashMap<CanonicalDigest, Option<Content>>,
    /// How much was read.
    pub(super) blobs: usize,
    pub(super) bytes: u64,
    /// What is wrong with it.
    pub(super) findings: Vec<Finding>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(registry: &'a Registry) -> Self {
        Self { registry, seen: HashMap::new(), blobs: 0, bytes: 0, findings: Vec::new() }
    }

    /// Reads all content that there is now.
    pub(super) async fn read_all(&mut self, progress: &dyn Progress) -> Result<()> {
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
        let expected = self.expected(canonical).await?;
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

    /// Returns what the index says of content: its CID and size.
    pub(super) async fn expected(&self, canonical: &CanonicalDigest) -> Result<Option<(Cid, u64)>> {
        let index = &self.registry.index;
        if let Some(row) = index.stored_blob(canonical).await? {
            return Ok(Some((row.cid, row.size)));
        }
        let manifest = index.stored_manifest(canonical).await?;
        Ok(manifest.map(|manifest| (manifest.cid, manifest.bytes.len() as u64)))
    }

    fn condemn(&mut self, canonical: &CanonicalDigest, what: String) {
        self.findings.push(Finding { about: format!("blob {canonical}"), what });
        self.seen.insert(*canonical, None);
    }
}
