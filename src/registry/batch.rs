//! Checking entries of the queue: what each would come to, against the rows, the entries before it and the storage.

use std::collections::{HashMap, HashSet};

use super::commit::{Waiting, decode};
use super::documents::Found;
use super::intent::{Intent, Planned, Refusal};
use super::references::{self, Lost};
use super::{Registry, Result, removal};
use crate::index::{EntryState, Writer};
use crate::oci::CanonicalDigest;
use crate::storage::{Content, Edit, NewContent, TreeEdit};

impl Registry {
    /// Checks entries as [`plan`](Self::plan) does, and that all content which they link is in the storage; returns
    /// that content too. The storage is called between transactions, never inside of one: others could not write for
    /// as long.
    pub(super) async fn plan_soundly(
        &self,
        writer: &mut Writer,
        batch: &[Waiting],
    ) -> Result<(Vec<Planned>, HashSet<CanonicalDigest>)> {
        let (mut seen, mut lost) = (HashSet::new(), HashMap::new());
        loop {
            writer.begin().await?;
            let planned = async {
                removal::begin_all(writer, batch.iter().map(|waiting| &waiting.intent)).await?;
                self.plan(writer, batch, &lost).await
            };
            let planned = planned.await;
            let planned = match planned {
                Ok(planned) => planned,
                Err(error) => {
                    writer.rollback().await?;
                    return Err(error);
                }
            };
            let (mut own, mut linked) = (HashSet::new(), Vec::new());
            for (waiting, plan) in batch.iter().zip(&planned) {
                if let (EntryState::Waiting, Ok(edits)) = (waiting.entry.state, plan) {
                    own.extend(self.new_content(waiting).map(|new| new.content().canonical));
                    linked.extend(edits.iter().filter_map(|edit| edit.edit.content()));
                }
            }
            linked.retain(|content| {
                !own.contains(&content.canonical) && seen.insert(content.canonical)
            });
            let removable = self.removable(writer, &linked).await;
            writer.rollback().await?;
            let removable = removable?;
            let mut fresh = references::lost(self.storage.as_ref(), linked, &removable).await?;
            for Waiting { intent, .. } in batch {
                // Another process may have purged the same manifest between the two steps of its push.
                if let Some(own) = intent.manifest()
                    && fresh.contains_key(own)
                    && self.keep_again(writer, own).await?
                {
                    fresh.remove(own);
                }
            }
            if fresh.is_empty() {
                seen.retain(|canonical| !lost.contains_key(canonical));
                seen.extend(own);
                return Ok((planned, seen));
            }
            lost.extend(fresh);
        }
    }

    /// Returns which content another process may have removed although there is a row for it: what was withdrawn.
    async fn removable(
        &self,
        writer: &mut Writer,
        linked: &[Content],
    ) -> Result<HashSet<CanonicalDigest>> {
        if self.storage.shared().is_none() || linked.is_empty() {
            return Ok(HashSet::new());
        }
        let digests: Vec<CanonicalDigest> =
            linked.iter().map(|content| content.canonical).collect();
        Ok(writer.withdrawn_among(&digests).await?)
    }

    /// Returns what is to be stored together with the edits of an entry.
    pub(super) fn new_content(&self, waiting: &Waiting) -> Option<NewContent> {
        let Some(Found::Parsed(document)) = &waiting.manifest else { return None };
        self.stored_with_edits(document.content.canonical, &document.bytes)
    }

    /// Checks entries in order, each seeing the rows of those before it. One that cannot be carried
    /// out whatever happens is refused, or all later ones would wait for it; those behind it are left for
    /// the next batch, since a transaction in which something failed is of no more use.
    async fn plan(
        &self,
        writer: &mut Writer,
        batch: &[Waiting],
        lost: &Lost,
    ) -> Result<Vec<Planned>> {
        let mut planned = Vec::with_capacity(batch.len());
        for waiting in batch {
            let plan = match self.plan_entry(writer, waiting, lost).await {
                Err(error) if waiting.entry.state == EntryState::Waiting && !error.may_pass() => {
                    let seq = waiting.entry.seq;
                    tracing::error!(seq, %error, "refused an impossible change");
                    planned.push(Err(Refusal::Failed(error.to_string())));
                    break;
                }
                plan => plan?,
            };
            planned.push(plan);
        }
        Ok(planned)
    }

    async fn plan_entry(
        &self,
        writer: &mut Writer,
        waiting: &Waiting,
        lost: &Lost,
    ) -> Result<Planned> {
        let Waiting { entry, intent, manifest } = waiting;
        // What was checked before is final.
        let quota = match intent {
            Intent::PutManifest { repository, .. } if entry.edits.is_none() => {
                writer.quota_of(repository).await?
            }
            _ => None,
        };
        if quota.is_some() {
            writer.set_savepoint().await?;
        }
        let plan = if let Some(edits) = &entry.edits {
            Ok(decode(edits)?)
        } else {
            let plan = intent.plan(writer, manifest.as_ref(), lost, self.limits.sparse_indexes);
            match plan.await? {
                Ok(edits) if self.shows_all() && edits.iter().any(is_hidden) => {
                    Err(Refusal::MustBePublic)
                }
                plan => plan,
            }
        };
        if let Ok(edits) = &plan {
            intent.record(writer, manifest.as_ref(), edits).await?;
            writer.flush().await?;
        }
        let Some(before) = quota else { return Ok(plan) };
        if plan.is_ok()
            && let Some(repository) = intent.repository()
            && let Some(after) = writer.quota_of(repository).await?
            && let Some(exceeded) = before.exceeded_by(&after.usage)
        {
            writer.undo_to_savepoint().await?;
            return Ok(Err(Refusal::OverQuota(exceeded)));
        }
        writer.release_savepoint().await?;
        Ok(plan)
    }
}

/// Tells whether an edit puts something where not everybody may see it.
fn is_hidden(TreeEdit { tree, edit }: &TreeEdit) -> bool {
    !tree.is_public() && !matches!(edit, Edit::Remove { .. })
}
