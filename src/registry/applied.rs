//! What commits have made of the trees, until a root of the index has it: a storage that computes the root of each
//! commit has it computed once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use cid::Cid;

use crate::ipld::{Block, Directory};
use crate::oci::TreeId;
use crate::storage::{Applied, Folded};

/// How many bytes of new blocks are remembered, for each tree. Beyond that the oldest are dropped, and computed once more.
const MOST: usize = 4 << 20;

/// What a block takes beside its bytes, about.
const OVERHEAD: usize = 200;

/// The commits of this process that no root of the index has yet, the oldest first.
#[derive(Default)]
pub(super) struct Commits(Mutex<BTreeMap<TreeId, Known>>);

#[derive(Default)]
struct Known {
    commits: VecDeque<Commit>,
    bytes: usize,
}

struct Commit {
    /// The entries of the queue whose edits it applied.
    entries: Vec<i64>,
    applied: Applied,
    bytes: usize,
}

impl Commits {
    /// Notes what the edits of these entries have made of a tree, each of which has some in it.
    pub(super) fn note(&self, entries: Vec<i64>, applied: Applied) {
        if entries.is_empty() {
            return;
        }
        let blocks = applied.folded.added.iter();
        let bytes = blocks.map(|block| block.bytes.len() + OVERHEAD).sum::<usize>() + OVERHEAD;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(applied.tree).or_default();
        known.bytes += bytes;
        known.commits.push_back(Commit { entries, applied, bytes });
        while known.bytes > MOST && known.drop_first() {}
    }

    /// Takes out what the first of these entries have made of the tree with that root, and returns it with how many of
    /// them it was; none where this process did not apply them to that root.
    pub(super) fn take(
        &self,
        tree: TreeId,
        root: Option<Cid>,
        entries: &[i64],
    ) -> Option<(usize, Folded)> {
        let nothing = empty();
        let mut at = root.unwrap_or(nothing.cid);
        // The index has no block before its first root, which may be that of an empty tree still: what changes nothing
        // adds nothing.
        let mut added: Vec<Block> = root.is_none().then_some(nothing).into_iter().collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(tree).or_default();
        let (mut count, mut dag_size) = (0, 0);
        while let Some(first) = known.commits.front() {
            let left = &entries[count..];
            if left.starts_with(&first.entries) && first.applied.before == at {
                let Some(Commit { entries, applied, bytes }) = known.commits.pop_front() else {
                    break;
                };
                known.bytes -= bytes;
                count += entries.len();
                (at, dag_size) = (applied.folded.root, applied.folded.dag_size);
                added.extend(applied.folded.added);
            } else if left.first().is_some_and(|next| first.entries[0] < *next) {
                // A root has some of them already.
                known.drop_first();
            } else {
                break;
            }
        }
        (count > 0).then_some((count, Folded { root: at, dag_size, added }))
    }
}

impl Known {
    fn drop_first(&mut self) -> bool {
        let Some(first) = self.commits.pop_front() else { return false };
        self.bytes -= first.bytes;
        true
    }
}

/// The only block of a tree without anything.
fn empty() -> Block {
    let mut blocks = Vec::new();
    Directory::empty().flush(&mut |block| blocks.push(block), &mut |_| ());
    blocks.pop().expect("an empty directory is a block")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use bytes::Bytes;

    use super::*;
    use crate::ipld::Load;
    use crate::storage::{Edit, TreePath, fold};

    struct Store(HashMap<Cid, Bytes>);

    impl Load for Store {
        type Error = Infallible;

        fn load(&mut self, cid: &Cid) -> Result<Bytes, Infallible> {
            Ok(self.0[cid].clone())
        }
    }

    fn edits(number: i64) -> Vec<Edit> {
        let folder = TreePath::root().child("folder").unwrap();
        let path = folder.child(&number.to_string()).unwrap();
        vec![Edit::put(path, number.to_string())]
    }

    /// Applies an entry each to a tree, and returns the roots: the empty one, and one after each.
    fn commit(commits: &Commits, entries: std::ops::Range<i64>) -> Vec<Cid> {
        let (mut store, mut roots) = (Store(HashMap::new()), vec![empty().cid]);
        let nothing = fold(None, &[], &mut store).unwrap().added;
        store.0.extend(nothing.into_iter().map(|block| (block.cid, block.bytes)));
        for entry in entries {
            let before = roots[roots.len() - 1];
            let folded = fold(Some(&before), &edits(entry), &mut store).unwrap();
            let blocks = folded.added.iter().map(|block| (block.cid, block.bytes.clone()));
            store.0.extend(blocks);
            roots.push(folded.root);
            commits.note(vec![entry], Applied { tree: TreeId::Public, before, folded });
        }
        roots
    }

    #[test]
    fn what_was_applied_to_a_root_is_known_without_a_fold() {
        let commits = Commits::default();
        let roots = commit(&commits, 1..4);
        let (count, folded) =
            commits.take(TreeId::Public, None, &[1, 2, 3]).expect("all were noted");
        assert_eq!((count, folded.root), (3, roots[3]));
        assert!(folded.added.iter().any(|block| block.cid == roots[3]));
        assert!(commits.take(TreeId::Public, Some(roots[3]), &[4]).is_none());
    }

    #[test]
    fn the_first_root_has_its_block_where_nothing_was_changed() {
        let commits = Commits::default();
        let nothing = empty();
        let mut store = Store(HashMap::from([(nothing.cid, nothing.bytes.clone())]));
        let gone = Edit::remove(TreePath::root().child("gone").unwrap());
        let folded = fold(Some(&nothing.cid), &[gone], &mut store).unwrap();
        commits.note(vec![1], Applied { tree: TreeId::Public, before: nothing.cid, folded });
        let (_, folded) = commits.take(TreeId::Public, None, &[1]).expect("it was noted");
        assert_eq!(folded.root, nothing.cid);
        assert!(folded.added.iter().any(|block| block.cid == folded.root));
    }

    #[test]
    fn entries_of_others_and_other_roots_are_not_taken_for_known() {
        let commits = Commits::default();
        let roots = commit(&commits, 1..4);
        // Another process carried 3 out, and applied 4 afterwards.
        let (count, folded) = commits.take(TreeId::Public, None, &[1, 2]).expect("two were noted");
        assert_eq!((count, folded.root), (2, roots[2]));
        assert!(
            commits.take(TreeId::Public, Some(roots[1]), &[3, 4]).is_none(),
            "it is another root"
        );
        let (count, folded) =
            commits.take(TreeId::Public, Some(roots[2]), &[3, 4]).expect("one was noted");
        assert_eq!((count, folded.root), (1, roots[3]));

        let roots = commit(&commits, 5..7);
        assert!(commits.take(TreeId::Public, None, &[4, 5, 6]).is_none(), "4 comes first");
        assert!(
            commits.take(TreeId::Public, Some(roots[1]), &[6]).is_some(),
            "a root has 5 already"
        );
        assert_eq!(commits.0.lock().unwrap()[&TreeId::Public].bytes, 0);

        commit(&commits, 8..9);
        assert!(commits.take(TreeId::Private, None, &[8]).is_none(), "it is another tree");
    }

    #[test]
    fn so_many_bytes_are_remembered_and_no_more() {
        let commits = Commits::default();
        for entry in 0..20 {
            let bytes = vec![b'x'; MOST / 10];
            let block = Block::raw(bytes.into());
            let folded = Folded { root: block.cid, dag_size: 0, added: vec![block] };
            commits
                .note(vec![entry], Applied { tree: TreeId::Public, before: empty().cid, folded });
        }
        let all = commits.0.lock().unwrap();
        let known = &all[&TreeId::Public];
        assert!(known.bytes <= MOST && known.commits.len() == 9, "{}", known.commits.len());
    }
}
