//! Commits: the snapshot that counts, and the next one.
//!
//! A snapshot is a directory of all trees, built here, block by block, and made the registry's by
//! one name: `roots/<seq>`. Since a name can be taken only once, two writers cannot both make the same
//! commit; the highest number is the registry, and one that comes late below it counts for nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::super::fold::FoldError;
use super::super::{Applied, Edit, Folded, Result, StorageError, StorageErrorKind, TreeEdit, fold};
use super::blocks::Blocks;
use super::mfs_paths;
use super::node::{Node, ended_early, outrun};
use crate::ipld::{Block, Cid, Directory, Entry, PIN_NODE_LINKS};
use crate::oci::TreeId;

/// How often the current snapshot is looked for again when it was replaced and cleaned away meanwhile.
const LOOKS: usize = 10;

/// How many blocks of a commit are sent by one call, unless it has more than [`PARTS`] times that, and how many calls
/// are made at a time. The node syncs the small files of one call one after the other: 65 blocks, as the commit of ten
/// layers has, take three times as long by one call as by four or more.
const PART: usize = 8;
const PARTS: usize = 8;

/// A snapshot of the registry.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// Its number; 0 stands for a registry in which nothing was ever done.
    pub(super) seq: u64,
    /// The root of each tree.
    trees: BTreeMap<TreeId, Entry>,
}

impl Snapshot {
    /// The root of a tree.
    pub(super) fn tree(&self, tree: TreeId) -> &Entry {
        self.trees.get(&tree).expect("a snapshot is made with every tree")
    }
}

/// The snapshots of one registry.
pub(super) struct Snapshots {
    node: Arc<Node>,
    blocks: Arc<Blocks>,
    /// The last that was seen, and the highest number that is known to outlast the node.
    known: Mutex<Known>,
    empty: Entry,
}

#[derive(Default)]
struct Known {
    latest: Option<Snapshot>,
    durable: u64,
}

impl Snapshots {
    pub(super) fn new(node: Arc<Node>, blocks: Arc<Blocks>) -> Self {
        let mut nothing = Vec::new();
        let empty = mfs_paths::directory(&[], &mut nothing);
        blocks.remember(&nothing);
        Self { node, blocks, known: Mutex::default(), empty }
    }

    /// Finds the snapshot that counts.
    pub(super) async fn current(&self) -> Result<Snapshot> {
        let Node { kubo, paths, .. } = self.node.as_ref();
        for _ in 0..LOOKS {
            let roots = paths.roots();
            let Some(names) = kubo.list(&roots).await? else {
                let what = format!("{roots} is missing on the node");
                return Err(StorageError::new(StorageErrorKind::Unusable, what));
            };
            let Some(seq) = names.iter().filter_map(|name| name.parse().ok()).max() else {
                let trees = TreeId::ALL.map(|tree| (tree, self.empty.clone())).into();
                return Ok(Snapshot { seq: 0, trees });
            };
            let known = self.known().latest.clone();
            if let Some(latest) = known.filter(|latest| latest.seq == seq) {
                return Ok(latest);
            }
            if let Some(stat) = kubo.stat(&paths.snapshot(seq)).await? {
                let snapshot = self.open(seq, stat.cid).await?;
                self.known().latest = Some(snapshot.clone());
                return Ok(snapshot);
            }
        }
        let what = "the registry changes too fast to be read";
        Err(StorageError::new(StorageErrorKind::Unavailable, what))
    }

    async fn open(&self, seq: u64, cid: Cid) -> Result<Snapshot> {
        let mut loader = self.blocks.loader();
        let opened = spawn_blocking(move || {
            let directory = Directory::open(&cid, &mut loader)?;
            let mut trees = BTreeMap::new();
            for tree in TreeId::ALL {
                let entry = directory.get(tree.as_str(), &mut loader)?;
                trees.extend(entry.map(|entry| (tree, entry)));
            }
            Ok::<_, crate::ipld::Error<StorageError>>(trees)
        });
        let trees = opened.await.map_err(ended_early)?.map_err(unreadable)?;
        if let Some(tree) = TreeId::ALL.into_iter().find(|tree| !trees.contains_key(tree)) {
            let what = format!("snapshot {seq} ({cid}) does not have the {} tree", tree.as_str());
            return Err(StorageError::new(StorageErrorKind::Damaged, what));
        }
        Ok(Snapshot { seq, trees })
    }

    /// Applies edits as a whole, whichever trees they are of: no reader meets a half of them, nor any if the `check`
    /// that is made meanwhile fails. The blocks of `new` content are stored with those of the trees, which name it.
    ///
    /// # Errors
    /// [`StorageErrorKind::Unavailable`] when another process commits too; those of the check.
    pub(super) async fn apply(
        &self,
        edits: &[TreeEdit],
        new: &[Block],
        check: impl Future<Output = Result<()>>,
    ) -> Result<Vec<Applied>> {
        let begun = Instant::now();
        let before = self.current().await?;
        let looked = begun.elapsed();
        let (mut applied, mut blocks) = (Vec::new(), Vec::new());
        let mut after = Snapshot { seq: before.seq + 1, ..before.clone() };
        for tree in TreeId::ALL {
            let edits = TreeEdit::of_tree(tree, edits.iter().cloned());
            if edits.is_empty() {
                continue;
            }
            let root = before.tree(tree).cid;
            let folded = self.fold(root, edits).await?;
            if folded.root != root {
                let entry = Entry { name: String::new(), cid: folded.root, size: folded.dag_size };
                after.trees.insert(tree, entry);
                blocks.extend_from_slice(&folded.added);
            }
            applied.push(Applied { tree, before: root, folded });
        }
        if applied.iter().all(|applied| applied.folded.root == applied.before) {
            // The trees name the new content already. It is sent in case the node has lost it.
            let sending = async {
                if !new.is_empty() {
                    self.node.kubo.import(new).await?;
                }
                Ok(())
            };
            tokio::try_join!(sending, check)?;
            self.outlasts(before.seq).await?;
            return Ok(applied);
        }
        let (seq, sent) = (after.seq, blocks.len() + new.len());
        let folding = begun.elapsed().saturating_sub(looked);
        self.commit(after, blocks, new, check).await?;
        let took = begun.elapsed();
        tracing::debug!(
            seq,
            edits = edits.len(),
            blocks = sent,
            ?looked,
            ?folding,
            ?took,
            "committed"
        );
        Ok(applied)
    }

    async fn fold(&self, root: Cid, edits: Vec<Edit>) -> Result<Folded> {
        self.blocks.warm(root, &edits).await;
        let mut loader = self.blocks.loader();
        let folded = spawn_blocking(move || fold(Some(&root), &edits, &mut loader));
        folded.await.map_err(ended_early)?.map_err(|error| match error {
            FoldError::Block(error) => unreadable(error),
            FoldError::Edit(error) => error,
        })
    }

    async fn commit(
        &self,
        after: Snapshot,
        mut blocks: Vec<Block>,
        new: &[Block],
        check: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let trees: Vec<_> = (after.trees.iter())
            .map(|(tree, entry)| (tree.as_str().to_owned(), entry.clone()))
            .collect();
        // A tree may have become empty, or never been anything else.
        mfs_paths::directory(&[], &mut blocks);
        let snapshot = mfs_paths::directory(&trees, &mut blocks).cid;
        let session = Uuid::new_v4().simple().to_string();
        let all = [&blocks[..], new].concat();
        let sending = async {
            for (number, blocks) in all.chunks(PIN_NODE_LINKS).enumerate() {
                let parts = blocks.len().div_ceil(PART).min(PARTS);
                let name = mfs_paths::commit(after.seq, &session, number);
                self.node.send(&name, blocks, parts).await?;
            }
            Ok(())
        };
        tokio::try_join!(sending, check)?;
        self.node.commit(snapshot, after.seq).await?;
        self.blocks.remember(&blocks);
        let seq = after.seq;
        // It need not be read from the node to be known, if it is the last one.
        self.known().latest = Some(after);
        if self.current().await?.seq != seq {
            return Err(outrun(seq));
        }
        let mut known = self.known();
        known.durable = known.durable.max(seq);
        Ok(())
    }

    /// Makes sure that a snapshot outlasts the node: its writer may not have got an answer.
    async fn outlasts(&self, seq: u64) -> Result<()> {
        if self.known().durable >= seq {
            return Ok(());
        }
        self.node.alone(async || Ok(())).await?;
        let mut known = self.known();
        known.durable = known.durable.max(seq);
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says why a tree could not be read.
pub(super) fn unreadable(error: crate::ipld::Error<StorageError>) -> StorageError {
    match error {
        crate::ipld::Error::Load { source, .. } => source,
        other => StorageError::wrap(StorageErrorKind::Damaged, "cannot read a tree", other),
    }
}
