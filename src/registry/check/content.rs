//! Reading content: each digest once, when it is first needed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use cid::Cid;

use super::super::{Progress, Registry, Result, Steps};
use super::look::Look;
use super::{Finding, cannot_read};
use crate::oci::CanonicalDigest;
use crate::storage::{Content, StorageErrorKind};

/// How long the row of an upload that was just finished may take.
const ROW_LIMIT: Duration = Duration::from_secs(1);

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
        let found = match self.registry.storage.verify(canonical).await {
            Ok(found) => found,
            Err(error) if error.kind == StorageErrorKind::NotFound => return Ok(false),
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

    /// Returns content that was read and is what it should be.
    pub(super) fn sound(&self, canonical: &CanonicalDigest) -> Option<Content> {
        self.seen.get(canonical).copied().flatten()
    }

    /// Counts what no repository has and the tree does not have either, with its bytes.
    pub(super) async fn orphans(&self, look: &Look) -> Result<(usize, u64)> {
        let (mut orphans, mut unsure) = (Vec::new(), Vec::new());
        for (canonical, size) in self.sizes() {
            if look.in_tree.contains(&canonical) || look.referenced.contains(&canonical) {
                continue;
            }
            let is_known = self.expected(&canonical).await?.is_some();
            if !is_known {
                unsure.push((canonical, size));
            } else if !self.has_repository(&canonical).await? {
                orphans.push(size);
            }
        }
        if !unsure.is_empty() {
            // Content comes before its row.
            tokio::time::sleep(ROW_LIMIT).await;
        }
        for (canonical, size) in unsure {
            if self.expected(&canonical).await?.is_none() {
                orphans.push(size);
            }
        }
        Ok((orphans.len(), orphans.iter().sum()))
    }

    /// Counts what no manifest names, with its bytes.
    pub(super) fn unreferenced(&self, look: &Look) -> (usize, u64) {
        let sizes = self.sizes().filter(|(canonical, _)| !look.referenced.contains(canonical));
        sizes.fold((0, 0), |(count, bytes), (_, size)| (count + 1, bytes + size))
    }

    /// Counts what the tree has although no manifest names it, with the bytes of content among it.
    pub(super) fn leftovers(&self, look: &Look) -> (usize, u64) {
        let linked: HashSet<&CanonicalDigest> =
            look.leftover_links.iter().map(|(_, canonical)| canonical).collect();
        let (mut count, mut bytes) = (look.leftover_links.len(), 0);
        for canonical in look.in_tree.difference(&look.referenced) {
            count += usize::from(!linked.contains(canonical));
            bytes += self.sound(canonical).map_or(0, |content| content.size);
        }
        (count, bytes)
    }

    fn sizes(&self) -> impl Iterator<Item = (CanonicalDigest, u64)> {
        self.seen.iter().filter_map(|(canonical, found)| Some((*canonical, (*found)?.size)))
    }

    async fn has_repository(&self, canonical: &CanonicalDigest) -> Result<bool> {
        let digest = (*canonical).into();
        Ok(!self.registry.index.repositories_with_blob(&digest, 1).await?.is_empty())
    }

    /// Returns what the index says of content: its CID and size.
    async fn expected(&self, canonical: &CanonicalDigest) -> Result<Option<(Cid, u64)>> {
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
