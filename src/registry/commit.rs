//! The commit of every mutation: a durable queue that the holder of the writer's lock drains.
//!
//! 1. The intent is appended to the queue.
//! 2. The holder of the lock checks waiting entries in order, in a transaction that it rolls back,
//!    and stores their edits, or that they are refused: final from here on, since each was checked
//!    against what those before it came to.
//! 3. The edits are applied, each to its tree.
//! 4. Rows, events and outcomes are written in one transaction, and the request is answered.
//!
//! A crash between any two steps leaves entries that the next holder takes up at the same step and
//! in the same order. When the storage is full or down, entries wait: the client learns so, and
//! they may land later.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedRwLockReadGuard;
use tokio::time::timeout;

use super::documents::{Document, Found};
use super::intent::Intent;
use super::outcomes::Outcome;
use super::step::Step;
use super::walk::LINK_BYTES;
use super::{Registry, RegistryError, Result, collection, layout, now, purge, removal, visibility};
use crate::index::{Actor, Entry, EntryState, StoredManifest, Writer};
use crate::oci::TreeId;
use crate::storage::{Edit, NewContent, StorageErrorKind, TreeEdit};

/// How often a start tries to carry on what a crash left, and after how long again.
const RECOVERIES: usize = 10;
const RECOVERY_PAUSE: Duration = Duration::from_millis(500);

/// How long a request waits while the blocks of a shared storage are collected, which takes as long as it takes.
const COLLECTION_WAIT: Duration = Duration::from_secs(25);

/// How many entries are taken from the queue at a time.
const BATCH: u32 = 256;

/// How many bytes of manifests are read from the queue at a time, about.
const BATCH_BYTES: u64 = 8 << 20;

/// An entry that is being carried out.
pub(super) struct Waiting {
    pub(super) entry: Entry,
    pub(super) intent: Intent,
    pub(super) manifest: Option<Found>,
}

/// A manifest that a request pushes.
pub(super) struct Pushed {
    pub(super) stored: StoredManifest,
    pub(super) document: Arc<Document>,
    /// No process may forget the bytes before the change is enqueued.
    pub(super) storing: OwnedRwLockReadGuard<()>,
}

impl Registry {
    /// Makes a change and returns when it lasts. What was enqueued is carried to its end even if
    /// this future is dropped.
    pub(super) async fn commit(&self, actor: Actor, intent: Intent) -> Result<()> {
        self.commit_stored(actor, intent, None).await
    }

    /// The same with the bytes of the manifest that the change is about, which no process may forget before it is
    /// enqueued.
    pub(super) async fn commit_stored(
        &self,
        actor: Actor,
        intent: Intent,
        pushed: Option<Pushed>,
    ) -> Result<()> {
        let (stored, document) = match pushed {
            Some(Pushed { stored, document, storing }) => (Some((stored, storing)), Some(document)),
            None => (None, None),
        };
        let registry = self.clone();
        let task = self.spawn_uncancellable(async move {
            let record = serde_json::to_vec(&intent)?;
            let manifest = stored.as_ref().map(|(stored, _)| stored);
            let seq = registry.index.enqueue(&actor, &record, manifest, now()).await?;
            drop(stored);
            registry.failpoint(Step::Enqueued)?;
            match registry.settle(seq).await? {
                Ok(()) => {
                    if !matches!(
                        intent,
                        Intent::PutManifest { .. }
                            | Intent::DeleteTag { .. }
                            | Intent::Collect { .. }
                    ) {
                        registry.deletions.notify_one();
                    }
                    Ok(())
                }
                Err(refusal) => Err(refusal.explain(&intent)),
            }
        });
        let mut task = pin!(task);
        let wait = self.limits.commit_wait;
        let mut committed = timeout(wait.min(COLLECTION_WAIT), &mut task).await;
        if committed.is_err() && wait > COLLECTION_WAIT && !self.is_collected().await {
            committed = timeout(wait.saturating_sub(COLLECTION_WAIT), task).await;
        }
        // It is known as long as its client waits; afterwards a commit reads it from the index.
        drop(document);
        committed.unwrap_or(Err(RegistryError::Waiting))
    }

    /// Tells whether any process collects from a storage that others wait for meanwhile.
    async fn is_collected(&self) -> bool {
        if self.storage.block_collector().is_none() {
            return false;
        }
        matches!(self.index.begin_collecting().await, Ok(None))
    }

    /// Waits until the entry is carried out: by the task that has the lock, or, once this one has it, by this one.
    async fn settle(&self, seq: i64) -> Result<Outcome> {
        let mut closing = self.outcomes.expect(seq);
        let mut writer = tokio::select! {
            biased;
            outcome = closing.outcome() => return Ok(outcome),
            writer = self.index.lock() => writer?,
        };
        loop {
            // It may have been closed before anyone waited for it, or by another process.
            let entry = writer.entry(seq).await?;
            let entry = entry
                .ok_or_else(|| RegistryError::Record(format!("queue entry {seq} is missing")))?;
            if let Some(outcome) = entry.outcome {
                return Ok(serde_json::from_slice(&outcome)?);
            }
            self.drain_batch(&mut writer).await?;
            if let Some(outcome) = closing.now() {
                return Ok(outcome);
            }
        }
    }

    /// Carries out all that is in the queue, and applies again what may not have reached the disk
    /// before a crash. To be called at start.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn recover(&self) -> Result<()> {
        for _ in 1..RECOVERIES {
            match Box::pin(self.recover_once()).await {
                // A shared storage may still be at the last commit of a process that was killed.
                Err(RegistryError::Storage(error))
                    if error.kind == StorageErrorKind::Unavailable =>
                {
                    tracing::warn!(%error, "failed to complete the changes in the queue; trying again");
                    tokio::time::sleep(RECOVERY_PAUSE).await;
                }
                recovered => return recovered,
            }
        }
        Box::pin(self.recover_once()).await
    }

    async fn recover_once(&self) -> Result<()> {
        self.unrecovered.store(true, Ordering::Release);
        let mut writer = self.index.lock().await?;
        if self.storage.addressed().is_none() {
            self.apply_again(&mut writer).await?;
        }
        self.unrecovered.store(false, Ordering::Release);
        self.drain(&mut writer).await?;
        self.settle_links(&mut writer).await
    }

    /// Applies what was carried out and not folded yet: it may not have reached the disk. Trees that have CIDs are
    /// durable when their edits are applied.
    async fn apply_again(&self, writer: &mut Writer) -> Result<()> {
        for tree in TreeId::ALL {
            let mut after = 0;
            while let Some(again) = next_unfolded(writer, tree, &mut after).await? {
                self.storage.apply(&TreeEdit::all(tree, again)).await?;
            }
        }
        Ok(())
    }

    /// Notes which links of an earlier version's blobs the tree has. What cannot be read counts as linked.
    async fn settle_links(&self, writer: &mut Writer) -> Result<()> {
        loop {
            let links = writer.unsettled_links(BATCH).await?;
            if links.is_empty() {
                return Ok(());
            }
            let mut found = Vec::with_capacity(links.len());
            for (repository, digest) in links {
                let path = layout::layer_link(&repository, &digest);
                // Those versions wrote no other tree.
                let is_there = match self.storage.read(TreeId::Public, &path, LINK_BYTES).await {
                    Ok(link) => link.is_some(),
                    Err(error) => {
                        tracing::warn!(%path, %error, "failed to read a link of the tree");
                        true
                    }
                };
                found.push((repository, digest, is_there));
            }
            writer.begin().await?;
            for (repository, digest, is_there) in found {
                writer.set_linked(&repository, &[digest], is_there).await?;
            }
            writer.commit().await?;
        }
    }

    /// Carries out all that is in the queue.
    pub(super) async fn drain(&self, writer: &mut Writer) -> Result<()> {
        while self.drain_batch(writer).await? {}
        Ok(())
    }

    /// Carries out the head of the queue, and tells who waits; returns false where there was nothing.
    async fn drain_batch(&self, writer: &mut Writer) -> Result<bool> {
        let entries = writer.open_entries(BATCH).await?;
        if entries.is_empty() {
            return Ok(false);
        }
        let batch = self.read(writer, entries).await?;
        let (planned, present) = self.plan_soundly(writer, &batch).await?;

        let (mut accepted, mut outcomes) = (Vec::with_capacity(planned.len()), Vec::new());
        for (waiting, plan) in batch.iter().zip(planned) {
            let outcome = plan.map(|edits| accepted.push((waiting, edits)));
            outcomes.push((waiting.entry.seq, outcome));
        }
        let edits: Vec<TreeEdit> = accepted.iter().flat_map(|(_, edits)| edits).cloned().collect();
        let mut checked = Ok(());
        let storing = async {
            checked = self.store_checked(writer, &accepted, &outcomes).await;
            checked.is_ok()
        };
        let applied = if let Some(tree) = self.storage.addressed() {
            let new = accepted.iter().filter_map(|(waiting, _)| self.new_content(waiting));
            let new: Vec<NewContent> = new.collect();
            // No reader sees the edits before they are final.
            let applied = tree.apply_and_fold(&edits, &present, &new, Box::pin(storing)).await;
            checked?;
            applied?
        } else {
            storing.await;
            checked?;
            self.apply(&edits).await?;
            Vec::new()
        };
        self.failpoint(Step::Applied)?;

        writer.begin().await?;
        removal::begin_all(writer, accepted.iter().map(|(waiting, _)| &waiting.intent)).await?;
        let mut linked = Vec::new();
        for (Waiting { entry, intent, manifest }, edits) in &accepted {
            let size = manifest.as_ref().and_then(Found::size);
            let event = intent.event(entry.actor.clone(), size);
            let mut event = Some(intent.with_what_goes(writer, event).await?);
            if let Intent::Collect { before, blobs, contents } = intent {
                writer.end_withdrawal(&mem::take(&mut linked)).await?;
                let taken = collection::record(writer, *before, blobs, contents).await?;
                intent.record_links(writer, edits).await?;
                event = taken.event(entry.actor.clone());
            } else if let Intent::Purge { repository, contents, .. } = intent {
                writer.end_withdrawal(&mem::take(&mut linked)).await?;
                intent.record(writer, manifest.as_ref(), edits).await?;
                purge::withdraw(writer, repository, contents).await?;
            } else if let Intent::SetVisibility { .. } | Intent::RemoveRepository { .. } = intent {
                writer.end_withdrawal(&mem::take(&mut linked)).await?;
                intent.record(writer, manifest.as_ref(), edits).await?;
                visibility::withhold(writer, edits).await?;
            } else {
                intent.record(writer, manifest.as_ref(), edits).await?;
            }
            let public = edits.iter().filter(|edit| edit.tree.is_public());
            linked.extend(public.filter_map(|edit| Some(edit.edit.content()?.canonical)));
            if let Some(event) = event {
                writer.add_event(&event, now()).await?;
            }
            close(writer, entry.seq, &Ok(())).await?;
        }
        writer.end_withdrawal(&linked).await?;
        writer.commit().await?;
        let editing = |tree| {
            let is_of = move |edits: &[TreeEdit]| edits.iter().any(|edit| edit.tree == tree);
            accepted.iter().filter(move |(_, edits)| is_of(edits))
        };
        for applied in applied {
            let entries = editing(applied.tree).map(|(waiting, _)| waiting.entry.seq);
            self.commits.note(entries.collect(), applied);
        }
        let changes = editing(TreeId::Public).count();
        self.root_changes.fetch_add(changes as u64, Ordering::Relaxed);
        self.failpoint(Step::Recorded)?;
        self.outcomes.publish(outcomes);
        Ok(true)
    }

    /// Stores the edits of entries that were checked, from where on they are final, and closes those that are refused.
    async fn store_checked(
        &self,
        writer: &mut Writer,
        accepted: &[(&Waiting, Vec<TreeEdit>)],
        outcomes: &[(i64, Outcome)],
    ) -> Result<()> {
        writer.begin().await?;
        for (Waiting { entry, .. }, edits) in accepted {
            if entry.state == EntryState::Waiting {
                let is_edited = |tree: &TreeId| edits.iter().any(|edit| edit.tree == *tree);
                let trees: Vec<TreeId> = TreeId::ALL.into_iter().filter(is_edited).collect();
                let record = serde_json::to_vec(edits)?;
                writer.set_checked(entry.seq, &trees, &record).await?;
            }
        }
        for (seq, outcome) in outcomes.iter().filter(|(_, outcome)| outcome.is_err()) {
            close(writer, *seq, outcome).await?;
        }
        writer.commit_to_queue().await?;
        self.failpoint(Step::Checked)
    }

    async fn apply(&self, edits: &[TreeEdit]) -> Result<()> {
        #[cfg(test)]
        if self.stops_at(Step::HalfApplied) {
            self.storage.apply(&edits[..edits.len() / 2]).await?;
            self.failpoint(Step::HalfApplied)?;
        }
        Ok(self.storage.apply(edits).await?)
    }

    /// Reads the first entries, with the manifests that they put: as many as memory is to hold at a time.
    async fn read(&self, writer: &mut Writer, entries: Vec<Entry>) -> Result<Vec<Waiting>> {
        let (mut batch, mut bytes) = (Vec::with_capacity(entries.len()), 0);
        for entry in entries {
            let intent: Intent = serde_json::from_slice(&entry.intent)?;
            let manifest = self.documents.find(writer, &intent).await?;
            if let Some(Found::Parsed(document)) = &manifest {
                bytes += document.content.size;
            }
            batch.push(Waiting { entry, intent, manifest });
            if bytes > BATCH_BYTES {
                break;
            }
        }
        Ok(batch)
    }

    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "only tests stop between steps"
    )]
    pub(super) fn failpoint(&self, _step: Step) -> Result<()> {
        Ok(())
    }
}

/// Reads the next edits of a tree that are carried out and not folded into it, behind the entry `after`; none where
/// there are no more. What is folded is in no other answer: later edits may have changed it.
pub(super) async fn next_unfolded(
    writer: &mut Writer,
    tree: TreeId,
    after: &mut i64,
) -> Result<Option<Vec<Edit>>> {
    let part = writer.folding_part(tree, *after, i64::MAX).await?.edits;
    let Some((last, _)) = part.last() else { return Ok(None) };
    *after = *last;
    let mut edits = Vec::new();
    for (_, record) in part {
        edits.extend(TreeEdit::of_tree(tree, decode(&record)?));
    }
    Ok(Some(edits))
}

/// Closes an entry with what it came to.
async fn close(writer: &mut Writer, seq: i64, outcome: &Outcome) -> Result<()> {
    let state = if outcome.is_ok() { EntryState::Done } else { EntryState::Refused };
    Ok(writer.set_outcome(seq, state, &serde_json::to_vec(outcome)?).await?)
}

/// Reads edits as the queue stores them.
pub(super) fn decode(edits: &[u8]) -> Result<Vec<TreeEdit>> {
    Ok(serde_json::from_slice(edits)?)
}
