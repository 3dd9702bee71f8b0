//! The content of a tree that is restored: fetched where it is not there, several at a time.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use cid::Cid;
use futures_util::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::super::layout::{self, TreeFile};
use super::super::{Progress, Steps};
use super::error::Result;
use super::{BATCH, Restoration, RestoreError, WIDTH, blobs, list, patiently};
use crate::oci::CanonicalDigest;
use crate::remote::{File, Remote};
use crate::storage::{Content, Edit, Finished, Storage, StorageError, StorageErrorKind, TreePath};

/// How many blobs are fetched at a time.
const FETCHES: usize = 8;

/// Content that a tree has.
struct TreeContent {
    canonical: CanonicalDigest,
    /// The directory that it is in, by two names.
    shard: Cid,
    path: TreePath,
}

/// Fetches content.
struct Fetcher<'a> {
    storage: &'a dyn Storage,
    remote: &'a Remote,
    progress: &'a dyn Progress,
    /// What was there at the beginning.
    known: HashSet<CanonicalDigest>,
}

impl Restoration<'_> {
    /// Puts all content into the tree.
    pub(super) async fn take_content(&mut self, directory: Option<Cid>) -> Result<()> {
        let Some(directory) = directory else { return Ok(()) };
        let (targets, bytes) = self.targets(directory).await?;
        let known = self.registry.storage.contents().await?.into_iter().collect();
        self.progress.begin("fetching content", Steps::Bytes(bytes));
        let storage = self.registry.storage.clone();
        let fetcher = Fetcher {
            storage: storage.as_ref(),
            remote: self.content_from,
            progress: self.progress,
            known,
        };
        let mut taking =
            stream::iter(&targets).map(|target| fetcher.take(target)).buffer_unordered(FETCHES);
        while let Some(taken) = taking.next().await {
            let (path, content, fresh) = taken?;
            self.edits.push(Edit::link(path.clone(), &content));
            self.fresh.extend(fresh.map(|finished| (content.canonical, finished)));
            self.apply(BATCH).await?;
        }
        Ok(())
    }

    /// Lists all content, and about how many bytes it has.
    async fn targets(&self, directory: Cid) -> Result<(Vec<TreeContent>, u64)> {
        let remote = self.content_from;
        let shards = list(remote, directory, &blobs()).await?;
        let mut listing = stream::iter(shards)
            .map(|(path, shard)| async move {
                let listed = list(remote, shard.cid, &path).await?;
                Ok::<_, RestoreError>((shard.cid, listed))
            })
            .buffer_unordered(WIDTH);
        let (mut targets, mut bytes) = (Vec::new(), 0_u64);
        while let Some((shard, listed)) = listing.try_next().await? {
            for (folder, entry) in listed {
                let path = folder.child("data").expect("a name of the layout's own");
                let Some(TreeFile::Content(canonical)) = layout::read(&path) else {
                    return Err(RestoreError::unfit(folder.as_str(), "not the name of content"));
                };
                bytes = bytes.saturating_add(entry.size);
                targets.push(TreeContent { canonical, shard, path });
            }
        }
        Ok((targets, bytes))
    }
}

impl Fetcher<'_> {
    /// Makes sure that content is stored.
    async fn take<'w>(
        &self,
        target: &'w TreeContent,
    ) -> Result<(&'w TreePath, Content, Option<Finished>)> {
        if let Some(content) = self.stored(&target.canonical).await? {
            self.progress.advance(content.size);
            return Ok((&target.path, content, None));
        }
        let reported = AtomicU64::new(0);
        let finished = patiently(async || self.fetch(target, &reported).await).await?;
        Ok((&target.path, finished.content, Some(finished)))
    }

    /// Reads what was there at the beginning, if it has that digest.
    async fn stored(&self, canonical: &CanonicalDigest) -> Result<Option<Content>> {
        if !self.known.contains(canonical) {
            return Ok(None);
        }
        let found = self.storage.find(canonical).await?;
        if found.is_some_and(|content| content.canonical != *canonical) {
            self.storage.forget(&[*canonical]).await?;
            return Ok(None);
        }
        Ok(found)
    }

    async fn fetch(&self, target: &TreeContent, reported: &AtomicU64) -> Result<Finished> {
        let TreeContent { canonical, shard, path } = target;
        let below = vec![canonical.hex(), "data".to_owned()];
        let file = self.remote.open(*shard, below, None).await;
        let file = file.map_err(|error| RestoreError::unread(path, error))?;
        let file = file.ok_or_else(|| RestoreError::unfit(path.as_str(), "not a file"))?;
        let cid = file.cid;
        let id = Uuid::now_v7().to_string();
        let taken = self.ingest(&id, file, target, reported).await;
        if taken.is_err() {
            self.storage.discard(&id).await?;
        }
        let finished = taken?;
        if finished.content.cid != cid {
            let why = format!(
                "its blocks are cut differently, so the root would change ({cid} would be {}); use `ipfs get` and \
                 `roadstead adopt` instead",
                finished.content.cid
            );
            return Err(RestoreError::unfit(path.as_str(), why));
        }
        Ok(finished)
    }

    async fn ingest(
        &self,
        id: &str,
        mut file: File,
        target: &TreeContent,
        reported: &AtomicU64,
    ) -> Result<Finished> {
        let TreeContent { canonical, path, .. } = target;
        let mut ingest = self.storage.begin(id).await?;
        loop {
            let piece = file.bytes.try_next().await;
            let Some(piece) = piece.map_err(|error| RestoreError::unread(path, error))? else {
                break;
            };
            ingest.append(piece).await?;
            let came = ingest.offset();
            let before = reported.fetch_max(came, Ordering::Relaxed);
            self.progress.advance(came.saturating_sub(before));
        }
        let finished = ingest.finish(&(*canonical).into()).await;
        finished.map_err(|error| mismatch(path, error))
    }
}

fn mismatch(path: &TreePath, error: StorageError) -> RestoreError {
    if error.kind == StorageErrorKind::DigestMismatch {
        return RestoreError::unfit(path.as_str(), "its content has another digest");
    }
    error.into()
}
