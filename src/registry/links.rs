//! Counts of links: how many live nodes of a tree link to each node. A node is alive in a tree while something links
//! to it there, and counts its links only then.

use std::cmp::Ordering;
use std::collections::HashMap;

use bytes::Bytes;
use cid::Cid;

use super::link_counts::LinkCounts;
use super::{RegistryError, Result, now};
use crate::index::Writer;
use crate::ipld::{self, Entry};
use crate::oci::TreeId;
use crate::storage::Folded;

/// How many nodes go into one statement at the most, and how many bytes of them, about.
const NODES_AT_ONCE: usize = 1000;
const BYTES_AT_ONCE: usize = 1 << 20;

/// How many changed counts are in memory at the most, about.
const MOST_CHANGES: usize = 20_000;

/// Stores new nodes and counts a tree's links to every node, when it goes from `old` to the folded root. In a
/// transaction.
///
/// # Errors
/// Those of the index, and nodes that cannot be read.
pub(super) async fn count_links(
    writer: &mut Writer,
    tree: TreeId,
    old: Option<Cid>,
    folded: &Folded,
) -> Result<()> {
    count(writer, tree, old, folded, MOST_CHANGES).await
}

async fn count(
    writer: &mut Writer,
    tree: TreeId,
    old: Option<Cid>,
    folded: &Folded,
    most_changes: usize,
) -> Result<()> {
    let added = folded.added.iter().map(|block| (block.cid, &block.bytes)).collect();
    let mut links = Links { added, ..Links::new(writer, tree, most_changes) };
    // Most of it is new, and has no links: only what has some is remembered.
    for part in folded.added.chunks(NODES_AT_ONCE) {
        let cids: Vec<Cid> = part.iter().map(|block| block.cid).collect();
        let counts = links.writer.node_refs(tree, &cids).await?;
        for (cid, count) in counts.iter().filter(|(_, count)| *count != 0) {
            links.counts.set(cid, *count);
        }
    }
    links.replace(old, Some(folded.root)).await
}

/// Takes away one link of the public tree to a root, and those of all that die of it. In a transaction.
///
/// # Errors
/// As [`count_links`].
pub(super) async fn unlink(writer: &mut Writer, root: &Cid) -> Result<()> {
    Links::new(writer, TreeId::Public, MOST_CHANGES).replace(Some(*root), None).await
}

/// Counts on their way to the index.
struct Links<'counting> {
    writer: &'counting mut Writer,
    tree: TreeId,
    /// The nodes that the index may not have.
    added: HashMap<Cid, &'counting Bytes>,
    /// What the index is known to have counted. Of nodes that were added, those that are not here have no link.
    counts: LinkCounts,
    /// What it has yet to add.
    changes: LinkCounts,
    most_changes: usize,
}

impl<'counting> Links<'counting> {
    fn new(writer: &'counting mut Writer, tree: TreeId, most_changes: usize) -> Self {
        let (counts, changes) = (LinkCounts::default(), LinkCounts::default());
        Self { writer, tree, added: HashMap::new(), counts, changes, most_changes }
    }

    /// Replaces a link to one root by a link to another.
    ///
    /// Entries that a new node and the one that it replaces share are skipped: their counts stay. Entries without a
    /// successor are unlinked last, for something else may link to them by then.
    async fn replace(&mut self, old: Option<Cid>, new: Option<Cid>) -> Result<()> {
        let mut replaced = vec![(old, new)];
        let mut gone = Vec::new();
        while let Some((old, new)) =
            replaced.pop().or_else(|| gone.pop().map(|cid| (Some(cid), None)))
        {
            if old == new {
                continue;
            }
            let linked = match new {
                Some(cid) => self.link(&cid).await?,
                None => Vec::new(),
            };
            let unlinked = match old {
                Some(cid) => self.unlink(&cid).await?,
                None => Vec::new(),
            };
            for pair in by_name(unlinked, linked) {
                match pair {
                    (Some(old), None) => gone.push(old),
                    pair => replaced.push(pair),
                }
            }
            if self.changes.len() > self.most_changes {
                self.write().await?;
            }
        }
        self.write().await
    }

    /// Counts a link to a node, and returns the links of one that came alive by it.
    async fn link(&mut self, cid: &Cid) -> Result<Vec<Entry>> {
        let known = self.counts.get(cid);
        let before = known.unwrap_or_default() + self.changes.add(cid, 1) - 1;
        if before != 0 {
            return Ok(Vec::new());
        }
        match self.added.get(cid) {
            Some(bytes) => entries(cid, bytes),
            // Its last link was taken away before, in this call: the index has its bytes.
            None if known.is_some() => self.stored_entries(cid).await,
            // Content, of which the index has no bytes, or a node that lives elsewhere.
            None => Ok(Vec::new()),
        }
    }

    /// Takes a link to a node away, and returns the links of one that died of it.
    async fn unlink(&mut self, cid: &Cid) -> Result<Vec<Entry>> {
        let change = self.changes.add(cid, -1);
        // Only links of the old tree are taken away, each once, and the index has counted them: a node with as many new
        // ones since the last write lives.
        if change >= 0 {
            return Ok(Vec::new());
        }
        let count = if let Some(known) = self.counts.get(cid) {
            known
        } else {
            let found = self.writer.node_refs(self.tree, &[*cid]).await?;
            let count = found.first().map_or(0, |(_, count)| *count);
            self.counts.set(cid, count);
            count
        };
        if count + change == 0 { self.stored_entries(cid).await } else { Ok(Vec::new()) }
    }

    /// Returns the links of a node of the index; content has none there.
    async fn stored_entries(&mut self, cid: &Cid) -> Result<Vec<Entry>> {
        let bytes = self.writer.node(cid).await?;
        bytes.map_or_else(|| Ok(Vec::new()), |bytes| entries(cid, &bytes))
    }

    /// Has the index add what has changed, and store the nodes among it.
    async fn write(&mut self) -> Result<()> {
        let changes = std::mem::take(&mut self.changes);
        let (mut part, mut size) = (Vec::new(), 0);
        for (cid, _) in changes.iter().filter(|(_, change)| *change > 0) {
            let bytes = self.added.get(&cid).map(|bytes| (*bytes).clone());
            size += bytes.as_ref().map_or(0, Bytes::len);
            part.push((cid, bytes));
            if part.len() == NODES_AT_ONCE || size > BYTES_AT_ONCE {
                self.writer.put_nodes(&std::mem::take(&mut part)).await?;
                size = 0;
            }
        }
        self.writer.put_nodes(&part).await?;

        let now = now();
        let mut left = changes.iter();
        loop {
            let part: Vec<_> = left.by_ref().take(NODES_AT_ONCE).collect();
            if part.is_empty() {
                return Ok(());
            }
            self.writer.add_node_refs(self.tree, &part, now).await?;
            for (cid, change) in part {
                let known = self.counts.get(&cid);
                if known.is_some() || self.added.contains_key(&cid) {
                    self.counts.set(&cid, known.unwrap_or_default() + change);
                }
            }
        }
    }
}

/// Puts the links of a node and those of its successor side by side; what both have is left out.
fn by_name(mut old: Vec<Entry>, mut new: Vec<Entry>) -> Vec<(Option<Cid>, Option<Cid>)> {
    let order = |one: &Entry, other: &Entry| (&one.name, &one.cid).cmp(&(&other.name, &other.cid));
    old.sort_by(order);
    new.sort_by(order);
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    let mut pairs = Vec::new();
    loop {
        let first = match (old.peek(), new.peek()) {
            (None, None) => return pairs,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.name.cmp(&new.name),
        };
        let old = if first.is_le() { old.next().map(|entry| entry.cid) } else { None };
        let new = if first.is_ge() { new.next().map(|entry| entry.cid) } else { None };
        if old != new {
            pairs.push((old, new));
        }
    }
}

fn entries(cid: &Cid, bytes: &Bytes) -> Result<Vec<Entry>> {
    ipld::links(cid, bytes).map_err(|error| RegistryError::Record(format!("node {cid}: {error}")))
}

#[cfg(test)]
mod tests;
