//! Directories: whatever the edits, the result is the directory built at once, and the work is bounded.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use bytes::Bytes;
use proptest::prelude::*;
use roadstead::ipld::{Block, Cid, Directory, Entry, Load, Node, describe, links, raw_cid};

/// The blocks that are stored, checked to be those and only those of one directory.
#[derive(Clone, Default)]
struct Store {
    blocks: HashMap<Cid, Bytes>,
    loads: usize,
}

#[derive(Debug, PartialEq)]
struct Missing(Cid);

impl Load for Store {
    type Error = Missing;

    fn load(&mut self, cid: &Cid) -> Result<Bytes, Missing> {
        self.loads += 1;
        self.blocks.get(cid).cloned().ok_or(Missing(*cid))
    }
}

impl Store {
    /// Stores what a directory hands out. Nothing may be added twice or removed without being there.
    fn flush(&mut self, directory: &mut Directory) -> (Cid, u64) {
        let mut removed = Vec::new();
        let mut added = Vec::new();
        let flushed = directory.flush(&mut |block| added.push(block), &mut |cid| removed.push(cid));
        for Block { cid, bytes } in added {
            assert_eq!(self.blocks.insert(cid, bytes), None, "{cid} was added twice");
        }
        for cid in removed {
            assert!(self.blocks.remove(&cid).is_some(), "{cid} was removed, but not there");
        }
        flushed
    }

    /// The loads that something took.
    fn loads_of<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> (usize, T) {
        let before = self.loads;
        let outcome = act(self);
        (self.loads - before, outcome)
    }

    /// All nodes that the root reaches, by their links alone.
    fn reachable(&self, root: Cid) -> HashSet<Cid> {
        let mut seen = HashSet::new();
        let mut unseen = vec![root];
        while let Some(cid) = unseen.pop() {
            if let Some(bytes) = self.blocks.get(&cid) {
                seen.insert(cid);
                unseen.extend(links(&cid, bytes).unwrap().into_iter().map(|link| link.cid));
            }
        }
        seen
    }

    fn is_sharded(&self, root: &Cid) -> bool {
        matches!(describe(root, &self.blocks[root]), Ok(Node::Shard(_)))
    }
}

fn entry(name: &str, version: u32, size: u64) -> Entry {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&version.to_be_bytes());
    Entry { name: name.to_owned(), cid: raw_cid(digest), size }
}

/// A name of 240 bytes or a few more: 262,144 bytes hold some nine hundred.
fn long_name(index: usize) -> String {
    format!("{index:05}{}", "n".repeat(235 + index % 5))
}

fn at_once<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> (Cid, u64, Store) {
    let mut store = Store::default();
    let mut directory = Directory::empty();
    for entry in entries {
        assert_eq!(directory.insert(entry.clone(), &mut store).unwrap(), None);
    }
    let (cid, size) = store.flush(&mut directory);
    assert_eq!(store.loads, 0);
    (cid, size, store)
}

#[derive(Debug, Clone)]
enum Edit {
    Insert(usize, u64),
    Remove(usize),
    Flush,
    Reopen,
}

/// Edits of names from a narrow range, so that many hit what is there.
fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let name = 860..960_usize;
    let size = prop_oneof![Just(1), 1..1_000_000_000_u64];
    let edit = prop_oneof![
        5 => (name.clone(), size).prop_map(|(name, size)| Edit::Insert(name, size)),
        5 => name.prop_map(Edit::Remove),
        1 => Just(Edit::Flush),
        1 => Just(Edit::Reopen),
    ];
    prop::collection::vec(edit, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The threshold lies within the range from which the directory starts and moves about.
    #[test]
    fn edits_in_any_order_make_the_directory_that_is_built_at_once(
        start in 900..925_usize,
        edits in edits(),
    ) {
        let mut model: BTreeMap<String, Entry> =
            (0..start).map(|index| (long_name(index), entry(&long_name(index), 0, 1))).collect();
        let (mut root, mut size, mut store) = at_once(model.values());
        let mut directory = Directory::open(&root, &mut store).unwrap();
        for (version, edit) in (1..).zip(edits.into_iter().chain([Edit::Flush])) {
            match edit {
                Edit::Insert(index, size) => {
                    let entry = entry(&long_name(index), version, size);
                    let old = directory.insert(entry.clone(), &mut store).unwrap();
                    prop_assert_eq!(old, model.insert(entry.name.clone(), entry.clone()));
                    let found = directory.get(&entry.name, &mut store).unwrap();
                    prop_assert_eq!(found, Some(entry));
                }
                Edit::Remove(index) => {
                    let old = directory.remove(&long_name(index), &mut store).unwrap();
                    prop_assert_eq!(old, model.remove(&long_name(index)));
                    prop_assert_eq!(directory.get(&long_name(index), &mut store).unwrap(), None);
                }
                Edit::Flush => (root, size) = store.flush(&mut directory),
                Edit::Reopen => {
                    (root, size) = store.flush(&mut directory);
                    directory = Directory::open(&root, &mut store).unwrap();
                }
            }
        }
        let expected = at_once(model.values());
        prop_assert_eq!((root, size), (expected.0, expected.1));
        prop_assert_eq!(&store.blocks, &expected.2.blocks);
        prop_assert_eq!(store.reachable(root).len(), store.blocks.len());
        let entries = directory.entries(&mut store).unwrap();
        prop_assert_eq!(entries, model.into_values().collect::<Vec<_>>());
    }
}

proptest! {
    /// The blocks are damaged behind the back of the hashes that protect them.
    #[test]
    fn damaged_blocks_never_panic(
        count in prop_oneof![Just(3_usize), Just(930)],
        damage in prop::collection::vec((any::<usize>(), any::<usize>(), any::<u8>()), 1..8),
    ) {
        let (root, _, mut store) = AT_ONCE[usize::from(count > 3)].clone();
        let mut cids: Vec<Cid> = store.blocks.keys().copied().collect();
        cids.sort_unstable_by_key(|cid| (*cid != root, *cid));
        for (block, at, byte) in damage {
            let cid = cids[block % cids.len() % 4];
            let mut bytes = store.blocks[&cid].to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            store.blocks.insert(cid, bytes.into());
        }
        let Ok(mut directory) = Directory::open(&root, &mut store) else { return Ok(()) };
        let _ = directory.entries(&mut store);
        for index in (0..count).step_by(29) {
            let name = long_name(index);
            let _ = directory.get(&name, &mut store);
            let _ = directory.insert(entry(&format!("{name}+"), 1, 1), &mut store);
            let _ = directory.remove(&name, &mut store);
        }
        let _ = directory.flush(&mut drop, &mut drop);
    }
}

static AT_ONCE: LazyLock<[(Cid, u64, Store); 2]> =
    LazyLock::new(|| [3, 930].map(|count| at_once(&entries(count))));

#[test]
fn a_directory_crosses_the_threshold_and_comes_back() {
    let entries: Vec<Entry> = (0..1000).map(|index| entry(&long_name(index), 0, 1)).collect();
    let mut store = Store::default();
    let mut directory = Directory::empty();
    let mut roots = Vec::new();
    for entry in &entries {
        directory.insert(entry.clone(), &mut store).unwrap();
        roots.push(store.flush(&mut directory));
    }
    let (last, _) = roots[999];
    assert!(store.is_sharded(&last));
    for (index, entry) in entries.iter().enumerate().rev() {
        assert_eq!(store.flush(&mut directory), roots[index]);
        let (root, _) = roots[index];
        assert_eq!(store.is_sharded(&root), store.blocks.len() > 1);
        assert_eq!(directory.remove(&entry.name, &mut store).unwrap().as_ref(), Some(entry));
    }
    assert!(directory.is_empty());
    let (empty, size) = store.flush(&mut directory);
    let expected = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";
    assert_eq!((empty.to_string().as_str(), size), (expected, 4));
    assert_eq!(store.blocks.len(), 1);
}

#[test]
fn edits_that_undo_each_other_hand_out_nothing() {
    for count in [10, 1000] {
        let entries: Vec<Entry> = (0..count).map(|index| entry(&long_name(index), 0, 1)).collect();
        let (root, size, mut store) = at_once(&entries);
        let mut directory = Directory::open(&root, &mut store).unwrap();
        directory.insert(entry("one more", 1, 1), &mut store).unwrap();
        directory.remove(&entries[3].name, &mut store).unwrap();
        directory.remove("one more", &mut store).unwrap();
        directory.insert(entries[3].clone(), &mut store).unwrap();
        assert_eq!(flush_of_nothing(&mut directory), (root, size));
    }
}

#[test]
fn a_conversion_that_is_undone_hands_out_nothing() {
    let is_sharded = |count| {
        let (root, _, store) = at_once(&entries(count));
        store.is_sharded(&root)
    };
    let first = (900..925).find(|&count| is_sharded(count)).unwrap();
    let name = long_name(first - 1);

    let (root, size, mut store) = at_once(&entries(first));
    let mut directory = Directory::open(&root, &mut store).unwrap();
    let removed = directory.remove(&name, &mut store).unwrap().unwrap();
    directory.insert(removed, &mut store).unwrap();
    assert_eq!(flush_of_nothing(&mut directory), (root, size));

    let (root, size, mut store) = at_once(&entries(first - 1));
    assert!(!store.is_sharded(&root));
    let mut directory = Directory::open(&root, &mut store).unwrap();
    directory.insert(entry(&name, 0, 1), &mut store).unwrap();
    directory.remove(&name, &mut store).unwrap();
    assert_eq!(flush_of_nothing(&mut directory), (root, size));
}

fn flush_of_nothing(directory: &mut Directory) -> (Cid, u64) {
    let mut added = |block: Block| panic!("{} was added", block.cid);
    directory.flush(&mut added, &mut |cid| panic!("{cid} was removed"))
}

fn entries(count: usize) -> Vec<Entry> {
    (0..count).map(|index| entry(&long_name(index), 0, 1)).collect()
}

#[test]
fn an_edit_of_a_hundred_thousand_entries_loads_a_path_and_a_removal_a_few_shards_more() {
    let name = |index: u32| format!("sha256-{index:06}-of-many");
    let mut directory = Directory::empty();
    let mut store = Store::default();
    for index in 0..100_000 {
        directory.insert(entry(&name(index), index, 40), &mut store).unwrap();
    }
    let (root, _) = store.flush(&mut directory);
    assert_eq!(store.loads, 0);
    assert!(store.blocks.len() > 10_000, "{}", store.blocks.len());

    for index in (0..100_000).step_by(7919) {
        let name = name(index);
        let (opened, mut directory) =
            store.loads_of(|store| Directory::open(&root, store).unwrap());
        assert_eq!(opened, 1);

        let (got, found) = store.loads_of(|store| directory.get(&name, store).unwrap());
        assert!(found.is_some() && got <= 4, "{got}");

        let longer = entry(&name, 7, 1 << 40);
        let (replaced, _) = store.loads_of(|store| directory.insert(longer, store).unwrap());
        assert!(replaced <= 4, "{replaced}");

        let new = entry(&format!("{name}-and-more"), 7, 1);
        let (inserted, _) = store.loads_of(|store| directory.insert(new, store).unwrap());
        assert!(inserted <= 4, "{inserted}");

        // A path, and shards of some 15,000 bytes until they exceed 262,144.
        let (removed, old) = store.loads_of(|store| directory.remove(&name, store).unwrap());
        assert!(old.is_some() && removed <= 4 + 16, "{removed}");

        let (more, [first, second]) = store.loads_of(|store| {
            [index + 1, index + 2].map(|index| {
                let name = format!("sha256-{index:06}-of-many");
                directory.remove(&name, store).unwrap()
            })
        });
        assert!(first.is_some() && second.is_some());
        // What the last removal saw serves the next ones.
        assert!(more <= 2 * 4, "{more}");

        let mut added = Vec::new();
        let mut removed = Vec::new();
        directory.flush(&mut |block| added.push(block), &mut |cid| removed.push(cid));
        assert!(added.len() <= 5 * 4 && removed.len() <= 5 * 4);
    }
}

#[test]
fn a_failed_load_leaves_the_directory_as_it_was() {
    let entries = entries(1000);
    let (root, size, mut store) = at_once(&entries);
    let name = &entries[17].name;
    let blocks = store.blocks.clone();
    let mut directory = Directory::open(&root, &mut store).unwrap();
    store.blocks.retain(|cid, _| *cid == root);
    for attempt in [
        directory.remove(name, &mut store),
        directory.insert(entry(name, 9, 0), &mut store),
        directory.get(name, &mut store),
    ] {
        assert!(matches!(attempt, Err(roadstead::ipld::Error::Load { .. })), "{attempt:?}");
    }
    assert!(directory.entries(&mut store).is_err());
    assert_eq!(store.flush(&mut directory), (root, size));

    store.blocks = blocks;
    assert_eq!(directory.remove(name, &mut store).unwrap().as_ref(), Some(&entries[17]));
    let rest = entries.iter().filter(|entry| entry.name != *name);
    assert_eq!(store.flush(&mut directory).0, at_once(rest).0);
}
