//! Garbage collection, beside everything else that goes on, through any process.
//!
//! 1. Uploads that have expired go.
//! 2. Blobs that no manifest of their repository has named for the grace are listed, and taken by entries of the queue
//!    (`entry.rs`), which look again: so each comes before or after any push, never in its midst.
//! 3. Content that no repository has, and no root that is still served, is noted as withdrawn by such entries.
//! 4. Bytes of withdrawn content are set aside while nothing else is stored (`withdrawal.rs`), and forgotten afterwards.
//! 5. What is stored and in no index goes, as a crash leaves it (`leaks.rs`).
//!
//! Names go before content, so a crash leaves too much and never too little; the next collection finds it.

mod dry;
mod entry;
mod leaks;
mod report;
mod running;
mod slice;
mod suspects;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::time::sleep;

use super::intent::Intent;
use super::{Registry, RegistryError, Result};
use crate::index::{Actor, LastCollection};
use crate::oci::{CanonicalDigest, RepositoryName};

pub(super) use entry::{foreign_layers, plan, record};
pub use report::{Amount, Collected, Retained};
pub(super) use running::{Collections, lag};
use slice::{LISTED, SLICE};

/// How often it is looked whether another process has ended its collection.
const PAUSE: Duration = Duration::from_millis(100);

impl Registry {
    /// Collects garbage; returns when it is done. Where a collection runs already, by whatever process, this is its
    /// outcome. It goes on if this future is dropped.
    ///
    /// # Errors
    /// Those of the index and the storage; what was taken by then is gone, and the rest is for the next one.
    pub async fn collect(&self, actor: Actor) -> Result<Collected> {
        let running = {
            let mut running =
                self.collections.running.lock().unwrap_or_else(PoisonError::into_inner);
            match &*running {
                Some(under_way) if under_way.peek().is_none() => under_way.clone(),
                _ => {
                    let registry = self.clone();
                    let task = self.runtime.spawn(async move { registry.run(actor).await });
                    let outcome = async move {
                        let ended = task.await;
                        let ended = ended.map_err(|error| RegistryError::Record(error.to_string()));
                        ended.flatten().map_err(Arc::new)
                    };
                    running.insert(outcome.boxed().shared()).clone()
                }
            }
        };
        running.await.map_err(RegistryError::Collection)
    }

    /// Tells when the last collection of any process ended, by the clock of the index, how long ago that is, and what it
    /// came to; none if there was none.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn last_collection(&self) -> Result<Option<(Duration, Collected)>> {
        let Some(last) = self.index.last_collection().await? else { return Ok(None) };
        let age = self.index.now().await?.saturating_sub(last.ended);
        let age = Duration::from_millis(u64::try_from(age).unwrap_or_default());
        Ok(Some((age, read(&last)?)))
    }

    /// Collects as the only one of all processes.
    async fn run(&self, actor: Actor) -> Result<Collected> {
        let before = self.index.last_collection().await?.map(|last| last.ended);
        let lease = loop {
            if let Some(lease) = self.index.begin_collecting().await? {
                break lease;
            }
            match self.index.last_collection().await? {
                Some(last) if before != Some(last.ended) => return read(&last),
                _ => sleep(PAUSE).await,
            }
        };
        let began = self.index.now().await?;
        let timer = Instant::now();
        let mut collected = Collected { began, ..Collected::default() };
        match self.take(&actor, &mut collected).await {
            // What it has done by then it need not do again.
            Err(error) if error.is_full() && self.storage.release_reserve().await? => {
                tracing::warn!(%error, "the disk is full: collecting garbage in the space that was reserved for that");
                self.take(&actor, &mut collected).await?;
            }
            taken => taken?,
        }
        collected.milliseconds = u64::try_from(timer.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.index.set_last_collection(&serde_json::to_vec(&collected)?).await?;
        lease.end().await?;
        tracing::info!(
            uploads = collected.uploads,
            links = collected.links,
            blobs = collected.blobs.count,
            manifests = collected.manifests.count,
            leaks = collected.leaks,
            bytes = collected.bytes(),
            milliseconds = collected.milliseconds,
            "collected garbage"
        );
        Ok(collected)
    }

    async fn take(&self, actor: &Actor, collected: &mut Collected) -> Result<()> {
        // Of all that is done here this needs the least space.
        let uploads = self.purge_uploads(self.limits.upload_expiry, false).await?;
        collected.uploads += uploads as u64;
        self.storage.clean().await?;
        self.fold_all().await?;
        self.index.lock().await?.prune(self.grace_began()).await?;

        let before = self.collected_before(collected.began);
        self.take_blobs(actor, before, collected).await?;
        self.withdraw_unowned(actor, before).await?;
        for forgotten in self.forget_in_slices().await? {
            let amount =
                if forgotten.is_manifest { &mut collected.manifests } else { &mut collected.blobs };
            amount.add(forgotten.size);
        }
        collected.leaks += self.forget_leaks().await?;
        self.storage.clean().await?;
        if let Some(blocks) = self.storage.block_collector() {
            blocks.collect_blocks().await?;
        }
        collected.retained = self.retained(before).await?;
        Ok(())
    }

    /// Returns since when something has to be named by nothing to go, for a collection that began then.
    fn collected_before(&self, began: i64) -> i64 {
        let grace = self.limits.collection_grace;
        let stays = grace.saturating_add(lag(grace));
        began.saturating_sub(i64::try_from(stays.as_millis()).unwrap_or(i64::MAX))
    }

    /// Takes old blobs from repositories whose manifests do not name them.
    async fn take_blobs(
        &self,
        actor: &Actor,
        before: i64,
        collected: &mut Collected,
    ) -> Result<()> {
        let mut next = None;
        loop {
            let page = self.index.unreferenced_blobs(before, next.as_ref(), SLICE).await?;
            let pairs: HashSet<(RepositoryName, CanonicalDigest)> =
                page.blobs.into_iter().map(|row| (row.repository, row.canonical)).collect();
            let blobs: Vec<_> = pairs.into_iter().collect();
            if !blobs.is_empty() {
                let intent = Intent::Collect { before, blobs: blobs.clone(), contents: Vec::new() };
                self.commit(actor.clone(), intent).await?;
                let left = self.index.unreferenced_among(&blobs).await?;
                collected.candidates += blobs.len() as u64;
                collected.links += (blobs.len() as u64).saturating_sub(left);
            }
            if page.next.is_none() {
                return Ok(());
            }
            next = page.next;
        }
    }

    /// Notes what no repository has: its bytes are to go.
    async fn withdraw_unowned(&self, actor: &Actor, before: i64) -> Result<()> {
        let mut last = None;
        loop {
            let contents = self.index.unowned_content(before, last.as_ref(), LISTED).await?;
            let Some(end) = contents.last().copied() else { return Ok(()) };
            for part in contents.chunks(SLICE as usize) {
                let (blobs, contents) = (Vec::new(), part.to_vec());
                self.commit(actor.clone(), Intent::Collect { before, blobs, contents }).await?;
            }
            last = Some(end);
        }
    }
}

fn read(last: &LastCollection) -> Result<Collected> {
    Ok(serde_json::from_slice(&last.record)?)
}
