//! Salvaging the queue of an index that is given up: the tree may have lost with the power what it
//! still holds.

use super::commit::decode;
use super::intent::Intent;
use super::walk::TREE;
use super::{Registry, RegistryError, Result};
use crate::index::{Entry, Writer};
use crate::oci::Tag;

impl Registry {
    /// Carries out what is in the queue, as at a start, and applies the rest of it to the tree as far
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

    /// Applies to the tree what the queue holds, as far as that is possible, and returns what is not.
    async fn recover_queue(&self) -> Result<Vec<String>> {
        let read = async { entries(&mut self.index.lock().await?).await };
        let entries = match read.await {
            Ok(entries) => entries,
            Err(error) if is_temporary(&error) => return Err(error),
            Err(error) => return Ok(vec![format!("may have lost queued changes: {error}")]),
        };
        let mut lost = Vec::new();
        for entry in entries {
            let why = match &entry.edits {
                None => "it was not acknowledged, and could not be checked".to_owned(),
                Some(edits) => match self.repeat(edits).await {
                    Ok(()) => continue,
                    Err(error) if is_temporary(&error) => return Err(error),
                    Err(error) => error.to_string(),
                },
            };
            lost.push(format!("may have lost {}: {why}", describe(&entry.intent)));
        }
        Ok(lost)
    }

    async fn repeat(&self, edits: &[u8]) -> Result<()> {
        Ok(self.storage.apply(TREE, &decode(edits)?).await?)
    }
}

/// Lists the entries of the queue that the tree may not have, in order.
async fn entries(writer: &mut Writer) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (seq, _) in writer.folding(TREE).await?.edits {
        entries.extend(writer.entry(seq).await?);
    }
    entries.extend(writer.open_entries(u32::MAX).await?);
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
        Err(error) => format!("a change that cannot be read ({error})"),
    }
}
