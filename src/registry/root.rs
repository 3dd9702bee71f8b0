//! The root: the CID of a tree, folded from the edits that came since it was last known.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cid::Cid;
use tokio::task::spawn_blocking;

use super::commit::decode;
use super::former::{Former, leaving};
use super::links::count_links;
use super::tree_nodes::TreeNodes;
use super::{Registry, RegistryError, Result};
use crate::heap;
use crate::index::{Folding, Index, TreeState, Writer};
use crate::oci::TreeId;
use crate::storage::{Edit, Folded, TreeEdit, fold};

/// A fold of so many edits or more returns its memory to the system as soon as it ends.
const MANY: usize = 1000;

impl Registry {
    /// Returns the public root, of all that was acknowledged. Commits under way are waited for.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn root(&self) -> Result<Cid> {
        self.root_of(TreeId::Public).await
    }

    /// Returns the root of a tree, of all that was acknowledged. Commits under way are waited for.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn root_of(&self, tree: TreeId) -> Result<Cid> {
        let _running = self.folds.running.lock().await;
        Box::pin(self.fold_alone(tree)).await
    }

    /// The same, while the caller keeps others of this process from folding.
    pub(super) async fn fold_alone(&self, tree: TreeId) -> Result<Cid> {
        // What is folded is never applied again: it has to be, where a start had no space for it.
        if self.unrecovered.load(Ordering::Acquire) {
            Box::pin(self.recover()).await?;
        }
        let mut writer = self.index.lock().await?;
        self.drain(&mut writer).await?;
        let through = match writer.tree_state(tree).await? {
            TreeState { root: Some(root), last: None } => return Ok(root),
            TreeState { last, .. } => last.unwrap_or_default(),
        };
        drop(writer);
        self.folds.note();
        // A folded entry is never applied again, so it has to be on the disk; not under the lock, for
        // pushes need not wait until all that the machine has written is there.
        self.storage.sync().await?;
        let mut parts = 0;
        loop {
            let mut writer = self.index.lock().await?;
            let folded = self.fold_part(&mut writer, tree, through).await?;
            drop(writer);
            parts += 1;
            if let Some(root) = folded {
                if parts > 1 {
                    drop(spawn_blocking(heap::give_back));
                }
                return Ok(root);
            }
        }
    }

    /// Carries out what waits in the queue and folds it into every tree; bounds what a start has to do again.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn fold_pending(&self) -> Result<()> {
        if self.index.unfolded_entry_count().await? > 0 {
            self.fold_all().await?;
        }
        Ok(())
    }

    /// Folds what was acknowledged into every tree that it edits, and returns the public root.
    pub(super) async fn fold_all(&self) -> Result<Cid> {
        let root = self.root().await?;
        for tree in TreeId::ALL {
            if self.index.tree_state(tree).await?.last.is_some() {
                self.root_of(tree).await?;
            }
        }
        Ok(root)
    }

    /// Folds entries up to that number into a tree, which are on the disk: as many as memory is to hold at a time.
    /// Returns the root when all are folded.
    async fn fold_part(
        &self,
        writer: &mut Writer,
        tree: TreeId,
        through: i64,
    ) -> Result<Option<Cid>> {
        let Folding { root: old, edits } = writer.folding_part(tree, 0, through).await?;
        if let (Some(root), true) = (old, edits.is_empty()) {
            return Ok(Some(root));
        }
        let entries: Vec<i64> = edits.iter().map(|(seq, _)| *seq).collect();
        let (count, folded, former) =
            if let Some((count, folded)) = self.commits.take(tree, old, &entries) {
                (count, folded, Former::default())
            } else {
                let edits = decode_all(tree, edits)?;
                let leaving = if tree.is_public() { leaving(&edits) } else { Vec::new() };
                let folded = fold_edits(self.index.clone(), old, edits).await?;
                (entries.len(), folded, self.former(old, leaving).await?)
            };
        let reached = entries[..count].last().copied().unwrap_or(through);
        writer.begin().await?;
        count_links(writer, tree, old, &folded).await?;
        former.hide(writer).await?;
        writer.set_root(tree, &folded.root, reached).await?;
        writer.commit().await?;
        if reached < through {
            return Ok(None);
        }
        writer.prune(self.grace_began()).await?;
        Ok(Some(folded.root))
    }
}

/// Computes the public root beside a running server, out of one snapshot of the index and without
/// changing anything.
///
/// # Errors
/// Those of the index.
pub async fn peek_root(index: Arc<Index>) -> Result<Cid> {
    Ok(peek(index, TreeId::Public).await?.root)
}

/// As [`peek_root`], of any tree, with the blocks that the index does not have yet.
pub(super) async fn peek(index: Arc<Index>, tree: TreeId) -> Result<Folded> {
    let Folding { root, edits } = index.folding(tree).await?;
    fold_edits(index, root, decode_all(tree, edits)?).await
}

/// Reads the edits of entries that are of a tree.
fn decode_all(tree: TreeId, entries: Vec<(i64, Vec<u8>)>) -> Result<Vec<Edit>> {
    let mut edits = Vec::new();
    for (_, entry) in entries {
        edits.extend(TreeEdit::of_tree(tree, decode(&entry)?));
    }
    Ok(edits)
}

/// Folds edits into a root, out of the nodes of the index.
pub(super) async fn fold_edits(
    index: Arc<Index>,
    root: Option<Cid>,
    edits: Vec<Edit>,
) -> Result<Folded> {
    let mut nodes = TreeNodes::new(index);
    let folded = spawn_blocking(move || {
        let folded = fold(root.as_ref(), &edits, &mut nodes);
        if edits.len() >= MANY {
            drop(edits);
            heap::give_back();
        }
        folded
    })
    .await;
    folded
        .map_err(|error| RegistryError::Record(error.to_string()))?
        .map_err(|error| RegistryError::Record(error.to_string()))
}
