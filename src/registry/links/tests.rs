//! Counts after changes of whatever kind, beside a count from the roots.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::root::fold_edits;
use super::*;
use crate::index::{self, Index};
use crate::ipld::{Block, Directory, Load, raw_cid};
use crate::oci::TreeId;
use crate::storage::{Content, Edit, TreePath};

/// How long the names of one directory are, so that nine hundred of them make it one of shards.
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
    /// Links content, of which the index has no bytes.
    Content {
        app: u8,
        content: u8,
    },
    /// Holds the root as it was before the step, as one that is published; or releases all that are held.
    Hold,
    Release,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (0..3_u8, 0..3_u8, 0..3_u8, 0..2_u8)
            .prop_map(|(team, app, link, text)| Change::Put { team, app, link, text }),
        3 => (0..3_u8, proptest::option::of(0..3_u8), 0..3_u8)
            .prop_map(|(team, app, link)| Change::Remove { team, app, link }),
        1 => (any::<bool>(), 0..1200_u16, 0..1200_u16)
            .prop_map(|(removes, from, count)| Change::Many { removes, from, count }),
        2 => (0..3_u8, 0..2_u8).prop_map(|(app, content)| Change::Content { app, content }),
        1 => Just(Change::Hold),
        1 => Just(Change::Release),
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
        Change::Content { app, content } => {
            let canonical = format!("sha256:{}", format!("{content:02x}").repeat(32));
            let canonical = canonical.parse().unwrap();
            let content = Content { canonical, cid: raw_cid([*content; 32]), size: 1 };
            vec![Edit::link(path(&format!("team0/app{app}/deep/data")), &content)]
        }
        Change::Hold | Change::Release => Vec::new(),
    }
}

/// Counts anew what trees link to, from their roots.
async fn recount(index: &Arc<Index>, roots: &[Cid]) -> HashMap<Cid, i64> {
    let contents = [0, 1].map(|content| raw_cid([content; 32]));
    let (mut counts, mut next) = (HashMap::new(), Vec::new());
    for root in roots {
        let count = counts.entry(*root).or_default();
        *count += 1;
        if *count == 1 {
            next.push(*root);
        }
    }
    while let Some(cid) = next.pop() {
        if contents.contains(&cid) {
            continue;
        }
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
    let index: Arc<Index> = index::open(&url).await.unwrap();
    let mut seen: HashSet<Cid> = [0, 1].map(|content| raw_cid([content; 32])).into();
    let (mut root, mut published) = (None, Vec::<Cid>::new());
    for step in steps {
        let edits = step.iter().flat_map(edits).collect();
        let folded = fold_edits(index.clone(), root, edits).await.unwrap();
        seen.extend(folded.added.iter().map(|block| block.cid));
        let mut writer = index.lock().await.unwrap();
        writer.begin().await.unwrap();
        for change in &step {
            match (change, root) {
                (Change::Hold, Some(root)) if !published.contains(&root) => {
                    writer.add_node_refs(TreeId::Public, &[(root, 1)], 1).await.unwrap();
                    published.push(root);
                }
                (Change::Release, _) => {
                    for root in published.drain(..) {
                        unlink(&mut writer, &root).await.unwrap();
                    }
                }
                _ => {}
            }
        }
        count(&mut writer, TreeId::Public, root, &folded, most_changes).await.unwrap();
        writer.set_root(TreeId::Public, &folded.root, 0).await.unwrap();
        writer.commit().await.unwrap();
        root = Some(folded.root);
        // Nodes without links are deleted.
        writer.prune(i64::MAX).await.unwrap();
        let roots = [&published[..], &[folded.root]].concat();
        let counts = recount(&index, &roots).await;
        let cids: Vec<Cid> = seen.iter().copied().collect();
        for (cid, count) in writer.node_refs(TreeId::Public, &cids).await.unwrap() {
            assert_eq!(count, counts.get(&cid).copied().unwrap_or_default(), "{cid}");
        }
    }
}

#[test]
fn what_a_directory_shares_with_its_predecessor_is_left_out() {
    let entry = |name: usize, content: u8| Entry {
        name: name.to_string(),
        cid: raw_cid([content; 32]),
        size: 1,
    };
    let old = (0..500).map(|name| entry(name, 1)).collect();
    let mut new: Vec<Entry> = (1..501).rev().map(|name| entry(name, 1)).collect();
    new[7] = entry(493, 2);
    let [one, two] = [1, 2].map(|content| Some(raw_cid([content; 32])));
    let mut pairs = by_name(old, new);
    pairs.sort_unstable();
    assert_eq!(pairs, [(None, one), (one, None), (one, two)]);
    // A name that is there twice is two links.
    let pairs = by_name(vec![entry(1, 1)], vec![entry(1, 1), entry(1, 1)]);
    assert_eq!(pairs, [(None, one)]);
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
        let index: Arc<Index> = index::open(&url).await.unwrap();
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
            count_links(&mut writer, TreeId::Public, root, &folded).await.unwrap();
            writer.commit().await.unwrap();
            root = Some(next);
            let expected = [(old, i64::from(next == old)), (moved, 1), (below, 1), (content, 2)];
            let cids = expected.map(|(cid, _)| cid);
            assert_eq!(
                writer.node_refs(TreeId::Public, &cids).await.unwrap(),
                expected,
                "{from} {to}"
            );
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
