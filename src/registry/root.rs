//! The root: the CID of a tree, folded from the edits that came since it was last known.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use bytes::Bytes;
use cid::Cid;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::commit::decode;
use super::{Registry, RegistryError, Result, now};
use crate::index::{Folding, Index, Writer};
use crate::ipld::{self, Load};
use crate::oci::Visibility;
use crate::storage::{Edit, Folded, fold};

impl Registry {
    /// Returns the public root, of all that was acknowledged. Commits under way are waited for.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn root(&self) -> Result<Cid> {
        let mut writer = self.index.lock().await?;
        self.drain(writer.as_mut()).await?;
        let Folding { root, edits } = writer.folding(Visibility::Public).await?;
        let through = match (root, edits.last()) {
            (Some(root), None) => return Ok(root),
            (_, last) => last.map_or(0, |(seq, _)| *seq),
        };
        drop(writer);
        // A folded entry is never applied again, so it has to be on the disk; not under the lock, for
        // pushes need not wait until all that the machine has written is there.
        self.storage.sync().await?;
        let mut writer = self.index.lock().await?;
        self.fold(writer.as_mut(), through).await
    }

    /// Carries out what waits in the queue and folds it; bounds what a start has to do again.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn keep_up(&self) -> Result<()> {
        if self.index.unfolded_entry_count().await? > 0 {
            self.root().await?;
        }
        Ok(())
    }

    /// Folds entries up to that number, which are on the disk.
    async fn fold(&self, writer: &mut dyn Writer, through: i64) -> Result<Cid> {
        let Folding { root: old, mut edits } = writer.folding(Visibility::Public).await?;
        edits.retain(|(seq, _)| *seq <= through);
        if let (Some(root), true) = (old, edits.is_empty()) {
            return Ok(root);
        }
        let folded = fold_entries(self.index.clone(), old, edits).await?;
        writer.begin().await?;
        count_links(writer, old, &folded).await?;
        writer.set_root(Visibility::Public, &folded.root, through).await?;
        writer.commit().await?;
        writer.prune(self.grace_began()).await?;
        Ok(folded.root)
    }
}

/// Computes the public root beside a running server, out of one snapshot of the index and without
/// changing anything.
///
/// # Errors
/// Those of the index.
pub async fn peek_root(index: Arc<dyn Index>) -> Result<Cid> {
    Ok(peek(index).await?.root)
}

/// As [`peek_root`], with the blocks that the index does not have yet.
pub(super) async fn peek(index: Arc<dyn Index>) -> Result<Folded> {
    let Folding { root, edits } = index.folding(Visibility::Public).await?;
    fold_entries(index, root, edits).await
}

async fn fold_entries(
    index: Arc<dyn Index>,
    root: Option<Cid>,
    entries: Vec<(i64, Vec<u8>)>,
) -> Result<Folded> {
    let mut edits = Vec::new();
    for (_, entry) in entries {
        edits.extend(decode(&entry)?);
    }
    fold_edits(index, root, edits).await
}

/// Folds edits into a root, out of the nodes of the index.
pub(super) async fn fold_edits(
    index: Arc<dyn Index>,
    root: Option<Cid>,
    edits: Vec<Edit>,
) -> Result<Folded> {
    let mut nodes = Nodes { index, runtime: Handle::current() };
    let folded = spawn_blocking(move || fold(root.as_ref(), &edits, &mut nodes)).await;
    folded
        .map_err(|error| RegistryError::Record(error.to_string()))?
        .map_err(|error| RegistryError::Record(error.to_string()))
}

/// The nodes of the index as a source of blocks for code that may block.
struct Nodes {
    index: Arc<dyn Index>,
    runtime: Handle,
}

impl Load for Nodes {
    type Error = RegistryError;

    fn load(&mut self, cid: &Cid) -> Result<Bytes> {
        let node = self.runtime.block_on(self.index.node(cid))?;
        node.ok_or_else(|| {
            RegistryError::Record(format!("node {cid} is missing: run `roadstead index rebuild`"))
        })
    }
}

/// Stores new nodes and counts the links to every node, when the tree goes from `old` to the folded
/// root. A node counts its links only while it is alive, that is, while something links to it.
pub(super) async fn count_links(
    writer: &mut dyn Writer,
    old: Option<Cid>,
    folded: &Folded,
) -> Result<()> {
    if old == Some(folded.root) {
        return Ok(());
    }
    let added: HashMap<Cid, &Bytes> =
        folded.added.iter().map(|block| (block.cid, &block.bytes)).collect();
    let known: Vec<Cid> = added.keys().copied().collect();
    let mut counts: HashMap<Cid, i64> = writer.node_refs(&known).await?.into_iter().collect();
    let mut deltas: HashMap<Cid, i64> = HashMap::new();
    let mut content = Vec::new();

    let mut born = vec![folded.root];
    while let Some(cid) = born.pop() {
        let delta = deltas.entry(cid).or_default();
        *delta += 1;
        let was_alive = counts.get(&cid).copied().unwrap_or_default() > 0;
        if *delta != 1 || was_alive {
            continue;
        }
        match added.get(&cid) {
            Some(bytes) => born.extend(links(&cid, bytes)?),
            None => content.push((cid, None)),
        }
    }

    die(writer, old.into_iter().collect(), &mut deltas, &mut counts).await?;

    deltas.retain(|_, delta| *delta != 0);
    let nodes = added.iter().map(|(cid, bytes)| (*cid, Some((*bytes).clone())));
    let nodes: Vec<_> = nodes
        .chain(content)
        .filter(|(cid, _)| deltas.get(cid).is_some_and(|delta| *delta > 0))
        .collect();
    writer.put_nodes(&nodes).await?;
    let deltas: Vec<_> = deltas.into_iter().collect();
    writer.add_node_refs(&deltas, now()).await?;
    Ok(())
}

/// Takes away one link to a root, and those of all that die of it. In a transaction.
pub(super) async fn unlink(writer: &mut dyn Writer, root: &Cid) -> Result<()> {
    let mut deltas = HashMap::new();
    die(writer, vec![*root], &mut deltas, &mut HashMap::new()).await?;
    let deltas: Vec<_> = deltas.into_iter().collect();
    writer.add_node_refs(&deltas, now()).await?;
    Ok(())
}

/// Takes one link away from each node, and those of all that die of it. `counts` is what is known of the
/// links that there are.
async fn die(
    writer: &mut dyn Writer,
    mut dying: Vec<Cid>,
    deltas: &mut HashMap<Cid, i64>,
    counts: &mut HashMap<Cid, i64>,
) -> Result<()> {
    while let Some(cid) = dying.pop() {
        let delta = deltas.entry(cid).or_default();
        *delta -= 1;
        if *delta >= 0 {
            continue;
        }
        let count = match counts.entry(cid) {
            Slot::Occupied(known) => *known.get(),
            Slot::Vacant(unknown) => {
                let found = writer.node_refs(&[cid]).await?;
                *unknown.insert(found.first().map_or(0, |(_, count)| *count))
            }
        };
        if count + *delta == 0
            && let Some(bytes) = writer.node(&cid).await?
        {
            dying.extend(links(&cid, &bytes)?);
        }
    }
    Ok(())
}

fn links(cid: &Cid, bytes: &Bytes) -> Result<Vec<Cid>> {
    let links = ipld::links(cid, bytes)
        .map_err(|error| RegistryError::Record(format!("node {cid}: {error}")))?;
    Ok(links.into_iter().map(|entry| entry.cid).collect())
}
