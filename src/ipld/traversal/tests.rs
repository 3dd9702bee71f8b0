//! What is found in trees of every making, and what hostile ones come to.

use multihash::Multihash;
use proptest::prelude::*;

use super::super::{Block, Entry, raw_cid, symlink};
use super::trees::{File, Made, Store, Tree, inline, old_form};
use super::*;

/// What a traversal came to.
#[derive(Debug, PartialEq)]
struct Walked {
    target: Target,
    content: Vec<u8>,
    entries: Vec<Entry>,
    requested: Vec<Cid>,
}

fn walk(store: &Store, root: Cid, path: &[String], scope: Scope) -> Result<Walked, TraversalError> {
    let mut traversal = Traversal::new(root, path.iter().cloned(), scope)?;
    let Step { content, mut entries } = traversal.inlined().clone();
    let mut content = content.concat();
    let mut requested = Vec::new();
    let mut foretold = Vec::new();
    while let Some(cid) = traversal.next_cid() {
        assert_eq!(traversal.upcoming(1), [cid]);
        foretold.push((requested.len(), traversal.upcoming(5)));
        requested.push(cid);
        let step = traversal.supply(&store.get(&cid))?;
        content.extend(step.content.concat());
        entries.extend(step.entries);
    }
    assert!(traversal.upcoming(1).is_empty());
    for (at, foretold) in foretold {
        let mut later = requested[at..].iter();
        assert!(foretold.iter().all(|cid| later.any(|requested| requested == cid)), "{foretold:?}");
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    let target = traversal.target().expect("a traversal that is complete has one").clone();
    Ok(Walked { target, content, entries, requested })
}

fn read(store: &Store, root: Cid) -> Result<Vec<u8>, TraversalError> {
    walk(store, root, &[], Scope::Entity(None)).map(|walked| walked.content)
}

fn expected(tree: &Tree, store: &mut Store) -> Target {
    let (cid, _) = tree.make(store);
    match tree {
        Tree::File(file) => Target::File { cid, size: file.content().len() as u64 },
        Tree::Symlink(target) => Target::Symlink { cid, target: target.clone() },
        Tree::Directory(..) => Target::Directory { cid },
    }
}

/// All blocks below one, each time that it is linked to.
fn all(store: &Store, cid: Cid) -> Vec<Cid> {
    if block::inlined(&cid).is_some() {
        return Vec::new();
    }
    let links = links(&cid, &store.get(&cid).bytes).unwrap();
    std::iter::once(cid).chain(links.iter().flat_map(|link| all(store, link.cid))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_file_of_any_making_is_read(file in File::any()) {
        let mut store = Store::default();
        let made = file.make(&mut store);
        let walked = walk(&store, made.cid, &[], Scope::Entity(None)).unwrap();
        prop_assert_eq!(walked.target, Target::File { cid: made.cid, size: made.size });
        prop_assert_eq!(walked.content, file.content());
        prop_assert_eq!(walked.requested, file.needed(0, made.size, 0, &mut store));
    }

    #[test]
    fn a_range_of_a_file_is_that_slice_and_needs_no_other_block(
        file in File::any(),
        from in -80..80_i64,
        to in prop::option::of(-80..80_i64),
    ) {
        let Ok(range) = ByteRange::new(from, to) else { return Ok(()) };
        let mut store = Store::default();
        let made = file.make(&mut store);
        let walked = walk(&store, made.cid, &[], Scope::Entity(Some(range))).unwrap();
        let within = range.within(made.size);
        let slice = usize::try_from(within.start).unwrap()..usize::try_from(within.end).unwrap();
        prop_assert_eq!(walked.content, &file.content()[slice]);
        let needed = file.needed(within.start, within.end, 0, &mut store);
        prop_assert_eq!(walked.requested, needed);
    }

    #[test]
    fn every_path_leads_to_what_is_there_and_no_other_to_anything(tree in Tree::any()) {
        let mut store = Store::default();
        let (root, _) = tree.make(&mut store);
        for (path, there) in tree.paths() {
            let walked = walk(&store, root, &path, Scope::Entity(None)).unwrap();
            prop_assert_eq!(&walked.target, &expected(there, &mut store));
            prop_assert_eq!(&walked.entries, &there.entries(&mut store));
            if let Tree::File(file) = there {
                prop_assert_eq!(&walked.content, &file.content());
            } else {
                prop_assert!(walked.content.is_empty());
            }

            let block = walk(&store, root, &path, Scope::Block).unwrap();
            prop_assert_eq!(&block.target, &walked.target);
            prop_assert!(walked.requested.starts_with(&block.requested));
            prop_assert!(block.content.is_empty() && block.entries.is_empty());

            let everything = walk(&store, root, &path, Scope::All { limit: 100_000 }).unwrap();
            let (cid, _) = there.make(&mut store);
            prop_assert!(everything.requested.starts_with(&block.requested));
            prop_assert!(everything.requested.ends_with(&all(&store, cid)));

            for missing in [&["missing"][..], &["missing", "below"], &["", "a"]] {
                let missing = missing.iter().map(|&name| name.to_owned());
                let path: Vec<String> = path.iter().cloned().chain(missing.clone()).collect();
                let found = path.len() - missing.len();
                for scope in [Scope::Block, Scope::Entity(None), Scope::All { limit: 1000 }] {
                    let walked = walk(&store, root, &path, scope).unwrap();
                    prop_assert_eq!(walked.target, Target::Absent { found });
                    prop_assert!(walked.content.is_empty() && walked.entries.is_empty());
                }
            }
        }
    }

    #[test]
    fn hostile_blocks_never_panic_nor_go_on_without_end(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..4),
        path in prop::collection::vec("[a-z]", 0..3),
        scope in prop_oneof![
            Just(Scope::Block),
            Just(Scope::Entity(None)),
            Just(Scope::All { limit: 100 }),
        ],
    ) {
        let mut traversal = Traversal::new(Block::dag_pb(Bytes::new()).cid, path, scope).unwrap();
        let mut supplied = 0;
        for bytes in blocks.iter().cycle() {
            let Some(cid) = traversal.next_cid() else { break };
            supplied += 1;
            prop_assert!(supplied < 1000);
            if traversal.supply(&Block { cid, bytes: Bytes::copy_from_slice(bytes) }).is_err() {
                break;
            }
        }
    }

    #[test]
    fn a_damaged_block_is_an_error_or_ends_in_bounds(
        tree in Tree::any(),
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let mut store = Store::default();
        let (root, _) = tree.make(&mut store);
        let mut traversal = Traversal::new(root, [], Scope::All { limit: 1000 }).unwrap();
        let which = which.index(5);
        for index in 0.. {
            let Some(cid) = traversal.next_cid() else { break };
            let mut block = store.get(&cid);
            if index == which && !block.bytes.is_empty() {
                let mut bytes = block.bytes.to_vec();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                block.bytes = bytes.into();
                let _ = traversal.supply(&block);
                break;
            }
            traversal.supply(&block).unwrap();
        }
    }
}

#[test]
fn a_part_that_is_not_as_long_as_its_parent_says_is_an_error() {
    let mut store = Store::default();
    let raw = store.leaf(b"hello");
    let node = store.node(&[raw, raw], b"own");
    let inlined = Made { cid: inline(b"hello"), ..raw };
    for part in [raw, node, inlined] {
        for claimed in [part.size - 1, part.size + 1, 1, u64::MAX - 100] {
            let root = store.node(&[raw, Made { size: claimed, ..part }, raw], b"");
            let cid = Box::new(part.cid);
            let length = TraversalError::Length { cid, claimed, actual: part.size };
            assert_eq!(read(&store, root.cid), Err(length));
        }
    }
    // Nothing is read below a part of no length: it adds nothing whatever it is.
    let empty = Made { size: 0, ..node };
    let root = store.node(&[raw, empty, raw], b"");
    assert_eq!(read(&store, root.cid).unwrap(), b"hellohello");
}

#[test]
fn a_part_of_a_file_that_is_none_is_an_error() {
    let mut store = Store::default();
    let leaf = store.leaf(b"hello");
    let directory = store.directory(&[]);
    let link = store.keep(symlink("hello"));
    for cid in [directory, link] {
        let root = store.node(&[leaf, Made { cid, ..leaf }], b"");
        assert_eq!(read(&store, root.cid), Err(TraversalError::NotAFile(Box::new(cid))));
    }
}

#[test]
fn blocks_of_other_codecs_and_hashes_are_never_requested() {
    let mut store = Store::default();
    let leaf = store.leaf(b"hello");
    let hash = *leaf.cid.hash();
    let truncated = Multihash::wrap(0x12, &[1; 16]).unwrap();
    let sha512 = Multihash::wrap(0x13, &[1; 64]).unwrap();
    for cid in [Cid::new_v1(0x71, hash), Cid::new_v1(RAW, truncated), Cid::new_v1(RAW, sha512)] {
        let unsupported = TraversalError::Unsupported(Box::new(cid));
        let refused = Traversal::new(cid, [], Scope::Block);
        assert_eq!(refused.unwrap_err(), unsupported);
        let file = store.node(&[leaf, Made { cid, ..leaf }], b"");
        assert_eq!(read(&store, file.cid), Err(unsupported.clone()));
        let entry = Entry { name: "name".to_owned(), cid, size: 5 };
        let root = store.directory(&[entry]);
        let path = ["name".to_owned()];
        assert_eq!(walk(&store, root, &path, Scope::Block), Err(unsupported.clone()));
        assert_eq!(walk(&store, root, &[], Scope::All { limit: 9 }), Err(unsupported));
        assert!(walk(&store, root, &[], Scope::Entity(None)).is_ok(), "a listing loads none of it");
    }
}

#[test]
fn a_directory_that_could_answer_twice_is_an_error() {
    let mut store = Store::default();
    let entry = |name: &str| Entry { name: name.to_owned(), cid: raw_cid([1; 32]), size: 1 };
    for entries in [vec![entry("a"), entry("b"), entry("a")], vec![entry("")]] {
        let root = store.directory(&entries);
        for path in [&[][..], &["a".to_owned()], &["c".to_owned()]] {
            let walked = walk(&store, root, path, Scope::Entity(None));
            assert!(matches!(walked, Err(TraversalError::Decode { .. })), "{walked:?}");
        }
    }
    let root = store.directory(&[entry("b"), entry("a")]);
    assert!(walk(&store, root, &[], Scope::Entity(None)).is_ok(), "in no order");
}

#[test]
fn another_block_is_refused_and_the_right_one_taken_after_it() {
    let mut store = Store::default();
    let leaf = store.leaf(b"hello");
    let root = store.node(&[leaf, leaf], b"");
    let other = store.leaf(b"other");
    let mut traversal = Traversal::new(root.cid, [], Scope::Entity(None)).unwrap();
    for cid in [root.cid, leaf.cid, leaf.cid] {
        let refused = traversal.supply(&store.get(&other.cid));
        let supplied = Box::new(other.cid);
        assert_eq!(refused, Err(TraversalError::Unwanted { supplied }));
        traversal.supply(&store.get(&cid)).unwrap();
    }
    assert_eq!(traversal.next_cid(), None);
    assert!(traversal.supply(&store.get(&leaf.cid)).is_err(), "one too many");
}

#[test]
fn a_traversal_that_failed_is_never_complete() {
    let mut store = Store::default();
    let leaf = store.leaf(b"hello");
    let root = store.node(&[Made { size: 4, ..leaf }], b"");
    let mut traversal = Traversal::new(root.cid, [], Scope::Entity(None)).unwrap();
    traversal.supply(&store.get(&root.cid)).unwrap();
    for _ in 0..2 {
        let refused = traversal.supply(&store.get(&leaf.cid));
        assert!(matches!(refused, Err(TraversalError::Length { .. })), "{refused:?}");
        assert_eq!((traversal.next_cid(), traversal.target()), (Some(leaf.cid), None));
    }
}

#[test]
fn a_block_is_taken_by_either_form_of_its_name_and_its_bytes_are_not_copied() {
    let mut store = Store::default();
    let leaf = store.leaf(b"hello");
    let root = store.node(&[leaf], b"");
    let mut traversal = Traversal::new(root.cid, [], Scope::Entity(None)).unwrap();
    let bytes = store.get(&root.cid).bytes;
    traversal.supply(&Block { cid: old_form(root.cid), bytes }).unwrap();
    let block = store.get(&leaf.cid);
    let memory = block.bytes.as_ptr();
    let step = traversal.supply(&block).unwrap();
    assert_eq!(step.content[0].as_ptr(), memory);
}

#[test]
fn a_root_that_holds_its_content_needs_no_block() {
    let walked = walk(&Store::default(), inline(b"hello"), &[], Scope::Entity(None)).unwrap();
    assert_eq!((walked.content, walked.requested), (b"hello".to_vec(), Vec::new()));
    let empty = inline(b"");
    let walked = walk(&Store::default(), empty, &[], Scope::Block).unwrap();
    assert_eq!(walked.target, Target::File { cid: empty, size: 0 });
    let path = ["name".to_owned()];
    let walked = walk(&Store::default(), empty, &path, Scope::Entity(None)).unwrap();
    assert_eq!(walked.target, Target::Absent { found: 0 });
}

#[test]
fn files_are_as_deep_as_the_bound_and_no_deeper() {
    let mut store = Store::default();
    let mut chain = store.leaf(b"hello");
    for _ in 0..MAX_FILE_DEPTH {
        chain = store.node(&[chain], b"");
    }
    assert_eq!(read(&store, chain.cid).unwrap(), b"hello");
    chain = store.node(&[chain], b"");
    assert!(matches!(read(&store, chain.cid), Err(TraversalError::Excess { limit: 32, .. })));
}

#[test]
fn paths_are_as_long_as_the_bound_and_no_longer() {
    let mut store = Store::default();
    let mut cid = store.directory(&[]);
    for _ in 0..MAX_PATH {
        cid = store.directory(&[Entry { name: "a".to_owned(), cid, size: 1 }]);
    }
    let mut path = vec!["a".to_owned(); MAX_PATH];
    let walked = walk(&store, cid, &path, Scope::Entity(None)).unwrap();
    assert_eq!(walked.requested.len(), MAX_PATH + 1);
    path.push("a".to_owned());
    let refused = walk(&store, cid, &path, Scope::Entity(None));
    assert!(matches!(refused, Err(TraversalError::Excess { limit: 256, .. })));
    // Without an end: the bound holds before the names are collected.
    assert!(Traversal::new(cid, std::iter::repeat("a".to_owned()), Scope::Block).is_err());
}

#[test]
fn parts_without_length_cost_nothing_and_their_blocks_are_passed_over_in_bounded_number() {
    let mut store = Store::default();
    let (leaf, empty) = (store.leaf(b"hello"), store.leaf(b""));
    let mut parts = vec![empty; 40_000];
    parts.push(leaf);
    let root = store.node(&parts, b"");
    let walked = walk(&store, root.cid, &[], Scope::Entity(None)).unwrap();
    assert_eq!((&walked.content[..], walked.requested.len()), (&b"hello"[..], 2));

    // A gateway may still send them.
    let empty_node = store.node(&[], b"");
    let mut traversal = Traversal::new(root.cid, [], Scope::Entity(None)).unwrap();
    traversal.supply(&store.get(&root.cid)).unwrap();
    for _ in 0..MAX_BARREN_BLOCKS / 4 {
        let inlined = Block { cid: inline(b"inlined"), bytes: "inlined".into() };
        for block in [store.get(&empty.cid), store.get(&empty_node.cid), inlined.clone(), inlined] {
            assert!(traversal.clone().supply(&block).unwrap().is_empty());
            traversal.supply(&block).unwrap();
        }
    }
    let mut ended = traversal.clone();
    let refused = ended.supply(&store.get(&empty.cid));
    assert!(matches!(refused, Err(TraversalError::Excess { limit: 64, .. })));
    assert_eq!(traversal.supply(&store.get(&leaf.cid)).unwrap().content, ["hello"]);
}

#[test]
fn a_graph_of_more_ways_than_blocks_ends_at_the_limit() {
    let mut store = Store::default();
    let mut cid = store.leaf(b"hello").cid;
    for _ in 0..60 {
        let entry = |name: &str| Entry { name: name.to_owned(), cid, size: 1 };
        cid = store.directory(&[entry("a"), entry("b")]);
    }
    let refused = walk(&store, cid, &[], Scope::All { limit: 1000 });
    assert_eq!(refused, Err(TraversalError::Excess { what: "blocks", limit: 1000 }));

    let leaf = store.leaf(b"hello");
    let root = store.node(&[leaf, leaf], b"");
    assert!(walk(&store, root.cid, &[], Scope::All { limit: 3 }).is_ok());
    assert!(walk(&store, root.cid, &[], Scope::All { limit: 2 }).is_err());
    assert!(walk(&store, leaf.cid, &[], Scope::All { limit: 0 }).is_err());
}

#[test]
fn a_file_as_wide_at_every_level_as_a_block_allows_is_refused_before_it_is_remembered() {
    let mut store = Store::default();
    let leaf = store.leaf(b"h");
    let mut root = store.node(&vec![leaf; 40_000], b"");
    for _ in 0..3 {
        let mut parts = vec![root];
        parts.extend(vec![leaf; 40_000]);
        root = store.node(&parts, b"");
    }
    let refused = read(&store, root.cid);
    assert!(matches!(refused, Err(TraversalError::Excess { limit: 131_072, .. })));
    assert!(MAX_WAITING * size_of::<Want>() < 20 << 20, "{}", size_of::<Want>());
}

#[test]
fn the_leaves_of_a_file_are_known_ahead_and_its_nodes_one_at_a_time() {
    let mut store = Store::default();
    let leaves: Vec<Made> = (0..10_u8).map(|byte| store.leaf(&vec![byte; 300_000])).collect();
    let first = store.node(&leaves[..8], b"");
    let second = store.node(&leaves[8..], b"");
    let large = store.node(&[first; 2], b"");
    let root = store.node(&[first, large, second], b"");
    let range = Some("300000:*".parse().unwrap());
    let mut traversal = Traversal::new(root.cid, [], Scope::Entity(range)).unwrap();
    assert_eq!(traversal.upcoming(9), [root.cid]);
    traversal.supply(&store.get(&root.cid)).unwrap();
    assert_eq!(traversal.upcoming(9), [first.cid], "2.4 MB are more than a block");
    traversal.supply(&store.get(&first.cid)).unwrap();
    let mut ahead: Vec<Cid> = leaves[1..8].iter().map(|leaf| leaf.cid).collect();
    assert_eq!(traversal.upcoming(3), ahead[..3]);
    ahead.push(large.cid);
    assert_eq!(traversal.upcoming(9), ahead);
}

#[test]
fn a_shard_that_does_not_prove_the_absence_of_a_name_is_an_error() {
    let mut store = Store::default();
    let file = Tree::File(File::Raw(b"hello".to_vec()));
    let names = (0..600).map(|number| (number.to_string(), file.clone()));
    let (root, _) = Tree::Directory(true, names.collect()).make(&mut store);
    for other in 600..1200 {
        let walked = walk(&store, root, &[other.to_string()], Scope::Block).unwrap();
        assert_eq!(walked.target, Target::Absent { found: 0 }, "{other}");
    }
    let name = ["77".to_owned()];
    let mut traversal = Traversal::new(root, name.clone(), Scope::Block).unwrap();
    traversal.supply(&store.get(&root)).unwrap();
    let shard = traversal.next_cid().unwrap();
    assert_eq!(traversal.target(), None);
    // The root once more, an empty directory and a leaf instead of the shard.
    let directory = store.directory(&[]);
    let others = [store.get(&root).bytes, store.get(&directory).bytes, "leaf".into()];
    for bytes in others {
        let refused = traversal.clone().supply(&Block { cid: shard, bytes });
        assert!(matches!(refused, Err(TraversalError::Decode { .. })), "{refused:?}");
    }
    traversal.supply(&store.get(&shard)).unwrap();
    let walked = walk(&store, root, &name, Scope::Entity(None)).unwrap();
    assert_eq!(walked.requested.len(), 3, "the root, one shard, the file");
    assert_eq!(walked.content, b"hello");
}
