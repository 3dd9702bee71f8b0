//! Counts of links: how many live nodes of the public tree link to each node. A node is alive while something links
//! to it, and counts its links only then.

use std::cmp::Ordering;
use std::collections::HashMap;

use bytes::Bytes;
use cid::Cid;

use super::link_counts::LinkCounts;
use super::{RegistryError, Result, now};
use crate::index::Writer;
use crate::ipld::{self, Entry};
use crate::storage::Folded;

/// How many nodes go into one statement at the most, and how many bytes of them, about.
const NODES_AT_ONCE: usize = 1000;
const BYTES_AT_ONCE: usize = 1 << 20;

/// How many changed counts are in memory at the most, about.
const MOST_CHANGES: usize = 20_000;

/// Stores new nodes and counts the links to every node, when the tree goes from `old` to the folded root. In a
/// transaction.
///
/// # Errors
/// Those of the index, and nodes that cannot be read.
pub(super) async fn count_links(
    writer: &mut dyn Writer,
    old: Option<Cid>,
    folded: &Folded,
) -> Result<()> {
    count(writer, old, folded, MOST_CHANGES).await
}

async fn count(
    writer: &mut dyn Writer,
    old: Option<Cid>,
    folded: &Folded,
    most_changes: usize,
) -> Result<()> {
    let added = folded.added.iter().map(|block| (block.cid, &block.bytes)).collect();
    let mut links = Links { added, ..Links::new(writer, most_changes) };
    // Most of it is new, and has no links: only what has some is remembered.
    for part in folded.added.chunks(NODES_AT_ONCE) {
        let cids: Vec<Cid> = part.iter().map(|block| block.cid).collect();
        let counts = links.writer.node_refs(&cids).await?;
        for (cid, count) in counts.iter().filter(|(_, count)| *count != 0) {
            links.counts.set(cid, *count);
        }
    }
    links.replace(old, Some(folded.root)).await
}

/// Takes away one link to a root, and those of all that die of it. In a transaction.
///
/// # Errors
/// As [`count_links`].
pub(super) async fn unlink(writer: &mut dyn Writer, root: &Cid) -> Result<()> {
    Links::new(writer, MOST_CHANGES).replace(Some(*root), None).await
}

/// Counts on their way to the index.
struct Links<'counting> {
    writer: &'counting mut dyn Writer,
    /// The nodes that the index may not have.
    added: HashMap<Cid, &'counting Bytes>,
    /// What the index is known to have counted. Of nodes that were added, those that are not here have no link.
    counts: LinkCounts,
    /// What it has yet to add.
    changes: LinkCounts,
    most_changes: usize,
}

impl<'counting> Links<'counting> {
    fn new(writer: &'counting mut dyn Writer, most_changes: usize) -> Self {
        let (counts, changes) = (LinkCounts::default(), LinkCounts::default());
        Self { writer, added: HashMap::new(), counts, changes, most_changes }
    }

    /// Puts a link to one root in the place of a link to another.
    ///
    /// A directory mostly has what its predecessor had. What a new node and one that goes for it have in common keeps
    /// its number, and is passed over. Whatever else goes is counted last: it may be linked to somewhere else by then.
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
            // It went a moment ago.
            None if known.is_some() => self.stored_entries(cid).await,
            // Content, of which the index has no bytes, or a node that lives elsewhere.
            None => Ok(Vec::new()),
        }
    }

    /// Takes a link to a node away, and returns the links of one that died of it.
    async fn unlink(&mut self, cid: &Cid) -> Result<Vec<Entry>> {
        let change = self.changes.add(cid, -1);
        // What is taken away was counted.
        if change >= 0 {
            return Ok(Vec::new());
        }
        let count = if let Some(known) = self.counts.get(cid) {
            known
        } else {
            let found = self.writer.node_refs(&[*cid]).await?;
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
            self.writer.add_node_refs(&part, now).await?;
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
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::root::fold_edits;
    use super::*;
    use crate::index::{self, Index};
    use crate::ipld::{Block, Directory, Load, raw_cid};
    use crate::oci::Visibility;
    use crate::storage::{Edit, TreePath};

    /// How long the names of one directory are, so that a few hundred of them make it one of shards.
    const LONG: usize = 240;

    /// A change of a tree, in which directories come to be equal, go, come back and become others' predecessors.
    #[derive(Debug, Clone)]
    enum Change {
        /// Puts one of a few texts.
        Put {
            team: u8,
            app: u8,
            link: u8,
            text: u8,
        },
        Remove {
            team: u8,
            app: Option<u8>,
            link: u8,
        },
        /// Puts, or removes, many names of one directory.
        Many {
            removes: bool,
            from: u16,
            count: u16,
        },
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            8 => (0..3_u8, 0..3_u8, 0..3_u8, 0..2_u8)
                .prop_map(|(team, app, link, text)| Change::Put { team, app, link, text }),
            3 => (0..3_u8, proptest::option::of(0..3_u8), 0..3_u8)
                .prop_map(|(team, app, link)| Change::Remove { team, app, link }),
            1 => (any::<bool>(), 0..1200_u16, 0..1200_u16)
                .prop_map(|(removes, from, count)| Change::Many { removes, from, count }),
        ]
    }

    fn path(text: &str) -> TreePath {
        text.split('/').fold(TreePath::root(), |path, part| path.child(part).unwrap())
    }

    fn edits(change: &Change) -> Vec<Edit> {
        match change {
            Change::Put { team, app, link, text } => {
                vec![Edit::put(path(&format!("team{team}/app{app}/deep/{link}")), text.to_string())]
            }
            Change::Remove { team, app: Some(app), link } => {
                vec![Edit::remove(path(&format!("team{team}/app{app}/deep/{link}")))]
            }
            Change::Remove { team, app: None, .. } => {
                vec![Edit::remove(path(&format!("team{team}")))]
            }
            Change::Many { removes, from, count } => (*from..from + count)
                .map(|number| {
                    let path = path(&format!("many/{number:0LONG$}/deep/link"));
                    if *removes {
                        Edit::remove(path)
                    } else {
                        Edit::put(path, (number % 3).to_string())
                    }
                })
                .collect(),
        }
    }

    /// Counts anew what the tree links to, from its root.
    async fn recount(index: &Arc<dyn Index>, root: Cid) -> HashMap<Cid, i64> {
        let mut counts = HashMap::from([(root, 1)]);
        let mut next = vec![root];
        while let Some(cid) = next.pop() {
            let bytes = index.node(&cid).await.unwrap().expect("a node is missing");
            for entry in entries(&cid, &bytes).unwrap() {
                let count = counts.entry(entry.cid).or_default();
                *count += 1;
                if *count == 1 {
                    next.push(entry.cid);
                }
            }
        }
        counts
    }

    async fn check(steps: Vec<Vec<Change>>, most_changes: usize) {
        let data = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", data.path().join("index.sqlite").display());
        let index: Arc<dyn Index> = index::open(&url).await.unwrap();
        let (mut root, mut seen) = (None, HashSet::new());
        for step in steps {
            let edits = step.iter().flat_map(edits).collect();
            let folded = fold_edits(index.clone(), root, edits).await.unwrap();
            seen.extend(folded.added.iter().map(|block| block.cid));
            let mut writer = index.lock().await.unwrap();
            writer.begin().await.unwrap();
            count(writer.as_mut(), root, &folded, most_changes).await.unwrap();
            writer.set_root(Visibility::Public, &folded.root, 0).await.unwrap();
            writer.commit().await.unwrap();
            root = Some(folded.root);
            let counts = recount(&index, folded.root).await;
            let cids: Vec<Cid> = seen.iter().copied().collect();
            for (cid, count) in writer.node_refs(&cids).await.unwrap() {
                assert_eq!(count, counts.get(&cid).copied().unwrap_or_default(), "{cid}");
            }
            drop(writer);
        }
    }

    /// Makes a directory of these entries.
    fn directory(entries: &[(&str, Cid)], blocks: &mut Vec<Block>) -> Cid {
        let mut directory = Directory::empty();
        for (name, cid) in entries {
            let entry = Entry { name: (*name).to_owned(), cid: *cid, size: 1 };
            directory.insert(entry, &mut Nothing).unwrap();
        }
        directory.flush(&mut |block| blocks.push(block), &mut |_| ()).0
    }

    /// Small directories are made of nothing that is stored.
    struct Nothing;

    impl Load for Nothing {
        type Error = std::io::Error;

        fn load(&mut self, cid: &Cid) -> std::io::Result<Bytes> {
            Err(std::io::Error::other(cid.to_string()))
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_directory_that_moves_keeps_what_it_links_to() {
        for (from, to) in [("a", "b"), ("b", "a")] {
            let data = tempfile::tempdir().unwrap();
            let url = format!("sqlite:{}", data.path().join("index.sqlite").display());
            let index: Arc<dyn Index> = index::open(&url).await.unwrap();
            let content = raw_cid([1; 32]);
            let (mut first, mut second) = (Vec::new(), Vec::new());
            let below = directory(&[("file", content)], &mut first);
            let moved = directory(&[("below", below)], &mut first);
            let old = directory(&[("old", content)], &mut first);
            let old = directory(&[(from, moved), (to, old)], &mut first);
            // Its block is not among those of the second root: the first has it.
            let other = directory(&[("new", content)], &mut second);
            let new = directory(&[("deep", moved)], &mut second);
            let new = directory(&[(from, other), (to, new)], &mut second);
            let mut root = None;
            for (next, added) in [(old, first), (new, second)] {
                let mut writer = index.lock().await.unwrap();
                writer.begin().await.unwrap();
                let folded = Folded { root: next, dag_size: 1, added };
                count_links(writer.as_mut(), root, &folded).await.unwrap();
                writer.commit().await.unwrap();
                root = Some(next);
                let expected =
                    [(old, i64::from(next == old)), (moved, 1), (below, 1), (content, 2)];
                let cids = expected.map(|(cid, _)| cid);
                assert_eq!(writer.node_refs(&cids).await.unwrap(), expected, "{from} {to}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn counts_are_those_of_the_tree_whatever_changes(
            steps in proptest::collection::vec(proptest::collection::vec(change(), 1..12), 1..10),
            most_changes in prop_oneof![Just(0_usize), 1..50_usize, Just(MOST_CHANGES)],
        ) {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(check(steps, most_changes));
        }
    }
}
