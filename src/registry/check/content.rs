//! Reading content: each digest once, whenever somebody first asks for it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use cid::Cid;

use super::super::{Progress, Registry, Result, Steps};
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
    /// The sizes of what the index did not know when it was read.
    unknown: HashMap<CanonicalDigest, u64>,
    /// How much was read.
    pub(super) blobs: usize,
    pub(super) bytes: u64,
    /// What is wrong with it.
    pub(super) findings: Vec<Finding>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(registry: &'a Registry) -> Self {
        Self {
            registry,
            seen: HashMap::new(),
            unknown: HashMap::new(),
            blobs: 0,
            bytes: 0,
            findings: Vec::new(),
        }
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

    /// Tells whether content is there, sound or not; it is read if it was not yet. What is missing is
    /// looked for again each time.
    pub(super) async fn is_there(&mut self, canonical: &CanonicalDigest) -> Result<bool> {
        if self.seen.contains_key(canonical) {
            return Ok(true);
        }
        let found = match self.registry.storage.examine(canonical).await {
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
        if expected.is_none() {
            self.unknown.insert(*canonical, found.size);
        }
        match expected {
            _ if found.canonical != *canonical => {
                self.condemn(canonical, format!("its bytes are {}", found.canonical));
            }
            Some((cid, _)) if cid != found.cid => {
                let what = format!("the index says its CID is {cid}, it is {}", found.cid);
                self.condemn(canonical, what);
            }
            Some((_, size)) if size != found.size => {
                let what = format!("the index says it has {size} bytes, it has {}", found.size);
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

    /// Counts what the index does not know and the tree does not have, with its bytes.
    pub(super) async fn orphans(&self, in_tree: &HashSet<CanonicalDigest>) -> Result<(usize, u64)> {
        let mut orphans: Vec<(CanonicalDigest, u64)> = Vec::new();
        for (canonical, size) in &self.unknown {
            if !in_tree.contains(canonical) && self.expected(canonical).await?.is_none() {
                orphans.push((*canonical, *size));
            }
        }
        if orphans.is_empty() {
            return Ok((0, 0));
        }
        // Content comes before its row.
        tokio::time::sleep(ROW_LIMIT).await;
        let (mut count, mut bytes) = (0, 0);
        for (canonical, size) in orphans {
            if self.expected(&canonical).await?.is_none() {
                count += 1;
                bytes += size;
            }
        }
        Ok((count, bytes))
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
