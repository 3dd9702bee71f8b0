//! Salvaging the queue of an index that is given up: the trees may have lost with the power what it
//! still holds.

use std::collections::{BTreeMap, HashSet};
use std::future::ready;

use super::commit::decode;
use super::intent::Intent;
use super::{Registry, RegistryError, Result};
use crate::index::{Entry, Writer};
use crate::oci::{Tag, TreeId};

impl Registry {
    /// Carries out what is in the queue, as at a start, and applies the rest of it to the trees as far
    /// as that is possible and can be read. Returns what may be lost, a sentence each.
    ///
    /// # Errors
    /// Those that pass when there is space or a database again: until then nothing is lost.
    pub async fn carry_out_queue(&self) -> Result<Vec<String>> {
        match self.recover().await {
            Ok(()) => Ok(Vec::new()),
            // With the queue would go what only waits for space.
            Err(error) if is_temporary(&error) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "failed to complete all changes in the queue");
                self.recover_queue().await
            }
        }
    }

    /// Applies to the trees what the queue holds, as far as that is possible, and returns what is not.
    async fn recover_queue(&self) -> Result<Vec<String>> {
        let is_durable = self.storage.addressed().is_some();
        let read = async { entries(&mut self.index.lock().await?, is_durable).await };
        let entries = match read.await {
            Ok(entries) => entries,
            Err(error) if is_temporary(&error) => return Err(error),
            Err(error) => return Ok(vec![format!("may have lost queued changes: {error}")]),
        };
        let mut lost = Vec::new();
        for entry in entries {
            let Unapplied { entry, trees } = entry;
            let why = match &entry.edits {
                None => "it was not acknowledged, and could not be checked".to_owned(),
                Some(edits) => match self.repeat(&entry.intent, edits, &trees).await {
                    Ok(()) => continue,
                    Err(error) if is_temporary(&error) => return Err(error),
                    Err(error) => error.to_string(),
                },
            };
            lost.push(format!("may have lost {}: {why}", describe(&entry.intent)));
        }
        Ok(lost)
    }

    async fn repeat(&self, intent: &[u8], edits: &[u8], trees: &[TreeId]) -> Result<()> {
        let mut edits = decode(edits)?;
        edits.retain(|edit| trees.contains(&edit.tree));
        let Some(tree) = self.storage.addressed() else {
            return Ok(self.storage.apply(&edits).await?);
        };
        let mut new = Vec::new();
        if let Ok(intent) = serde_json::from_slice::<Intent>(intent)
            && let Some(manifest) = intent.manifest()
            && let Some(stored) = self.index.stored_manifest(manifest).await?
        {
            new.extend(self.stored_with_edits(*manifest, &stored.bytes));
        }
        tree.apply_and_fold(&edits, &HashSet::new(), &new, Box::pin(ready(true))).await?;
        Ok(())
    }
}

/// An entry of the queue, and the trees that may not have its edits.
struct Unapplied {
    entry: Entry,
    trees: Vec<TreeId>,
}

/// Lists the entries of the queue that a tree may not have, in order. Where trees are durable at once they have what is
/// done, and what came after it.
async fn entries(writer: &mut Writer, is_durable: bool) -> Result<Vec<Unapplied>> {
    let mut unfolded: BTreeMap<i64, Vec<TreeId>> = BTreeMap::new();
    for tree in TreeId::ALL.into_iter().filter(|_| !is_durable) {
        for (seq, _) in writer.folding(tree).await?.edits {
            unfolded.entry(seq).or_default().push(tree);
        }
    }
    let mut entries = Vec::new();
    for (seq, trees) in unfolded {
        entries.extend(writer.entry(seq).await?.map(|entry| Unapplied { entry, trees }));
    }
    let open = writer.open_entries(u32::MAX).await?;
    entries.extend(open.into_iter().map(|entry| Unapplied { entry, trees: TreeId::ALL.into() }));
    Ok(entries)
}

/// Returns whether the same may succeed later, as when there is space again. Not
/// [`RegistryError::may_pass`], for which every fault of the storage may: content that is gone would
/// end a rebuild, which is what mends that.
fn is_temporary(error: &RegistryError) -> bool {
    match error {
        RegistryError::Storage(error) => error.is_retryable(),
        RegistryError::Index(error) => error.is_retryable(),
        _ => false,
    }
}

/// Says what a change was.
fn describe(intent: &[u8]) -> String {
    match serde_json::from_slice::<Intent>(intent) {
        Ok(Intent::PutManifest { repository, digest, tags, .. }) => {
            let tagged = if tags.is_empty() { "" } else { " as " };
            let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
            format!("the push of {digest} to `{repository}`{tagged}{}", tags.join(", "))
        }
        Ok(Intent::DeleteTag { repository, tag, .. }) => {
            format!("the deletion of tag `{repository}:{tag}`")
        }
        Ok(Intent::DeleteManifest { repository, digest, .. }) => {
            format!("the deletion of manifest {digest} of `{repository}`")
        }
        Ok(Intent::DeleteBlob { repository, digest, .. }) => {
            format!("the deletion of blob {digest} of `{repository}`")
        }
        Ok(Intent::Purge { repository, digest, .. }) => {
            format!("the purge of {digest} of `{repository}`")
        }
        Ok(Intent::SetVisibility { repository, visibility }) => {
            format!("the change of `{repository}` to {}", visibility.as_str())
        }
        Ok(Intent::RemoveRepository { repository }) => format!("the removal of `{repository}`"),
        Ok(Intent::Collect { .. }) => "a collection of garbage".to_owned(),
        Err(error) => format!("a change that cannot be read ({error})"),
    }
}
