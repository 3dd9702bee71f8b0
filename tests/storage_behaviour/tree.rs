//! Trees: edits, reading, folding.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use roadstead::ipld::Cid;
use roadstead::ipld::file::CHUNK_SIZE;
use roadstead::oci::TreeId::{Private, Public};
use roadstead::oci::{CanonicalDigest, TreeId};
use roadstead::storage::{
    Applied, Content, Edit, Kind, NewContent, Storage, StorageErrorKind, TreeEdit, TreePath, fold,
};

use super::{EditOneTree, Subject, noise};

fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

fn put(at: &str, text: &str) -> Edit {
    Edit::put(path(at), text)
}

/// Lists all files of the public tree with their bytes.
async fn files(storage: &dyn Storage) -> Vec<(String, Bytes)> {
    files_in(storage, Public).await
}

/// Lists all files of a tree with their bytes.
async fn files_in(storage: &dyn Storage, tree: TreeId) -> Vec<(String, Bytes)> {
    let (mut found, mut folders) = (Vec::new(), vec![TreePath::root()]);
    while let Some(folder) = folders.pop() {
        for (name, kind) in storage.list(tree, &folder).await.unwrap().unwrap() {
            let child = folder.child(&name).unwrap();
            match kind {
                Kind::Directory => folders.push(child),
                Kind::File(size) => {
                    let bytes = storage.read(tree, &child, size).await.unwrap().unwrap();
                    assert_eq!(bytes.len() as u64, size);
                    found.push((child.to_string(), bytes));
                }
            }
        }
    }
    found.sort();
    found
}

pub(crate) async fn tidying_keeps_what_counts(subject: &mut Subject) {
    let content = subject.take_in("finished", b"hello", 10).await.content;
    subject
        .storage
        .edit(Public, &[put("link", "x"), Edit::link(path("data"), &content)])
        .await
        .unwrap();
    let mut ingest = subject.storage.begin("upload").await.unwrap();
    ingest.append(Bytes::from_static(b"half")).await.unwrap();
    let checkpoint = ingest.checkpoint().await.unwrap();
    drop(ingest);
    subject.reopen();
    subject.storage.repair().await.unwrap();
    assert_eq!(files(subject.storage.as_ref()).await.len(), 2);
    assert!(subject.storage.contains(&content).await.unwrap());
    assert_eq!(subject.storage.resume("upload", 4, &checkpoint).await.unwrap().offset(), 4);
    subject.storage.discard("upload").await.unwrap();
}

pub(crate) async fn an_edit_may_be_repeated(subject: &mut Subject) {
    let content = subject.take_in("upload", b"hello", 10).await.content;
    let edits = [
        Edit::link(path("a/blobs/data"), &content),
        put("a/one/link", "first"),
        put("a/two/link", "second"),
        put("a/one/link", "third"),
        Edit::remove(path("a/two")),
        Edit::remove(path("never/there")),
    ];
    for _ in 0..3 {
        subject.storage.edit(Public, &edits).await.unwrap();
        let expected = [("a/blobs/data", "hello"), ("a/one/link", "third")];
        let expected = expected.map(|(path, text)| (path.to_owned(), Bytes::from(text)));
        assert_eq!(files(subject.storage.as_ref()).await, expected);
        assert!(subject.storage.is_linked(Public, &path("a/blobs/data"), &content).await.unwrap());
        assert!(!subject.storage.is_linked(Public, &path("a/one/link"), &content).await.unwrap());
        subject.reopen();
    }
    subject.storage.sync().await.unwrap();
    // What stands at a path gives way to content.
    subject.storage.edit(Public, &[Edit::link(path("a/one/link"), &content)]).await.unwrap();
    assert!(subject.storage.is_linked(Public, &path("a/one/link"), &content).await.unwrap());
}

pub(crate) async fn a_removal_takes_the_directories_that_it_empties(subject: &mut Subject) {
    let edits = [put("a/b/c/link", "x"), put("a/b/d/e/link", "y"), put("z", "top")];
    subject.storage.edit(Public, &edits).await.unwrap();
    subject.storage.edit(Public, &[Edit::remove(path("a/b/d/e/link"))]).await.unwrap();
    let names = |listed: Option<Vec<(String, Kind)>>| {
        listed.unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(subject.storage.list(Public, &path("a/b")).await.unwrap()), ["c"]);
    let edits = [Edit::remove(path("a/b")), Edit::remove(path("z"))];
    subject.storage.edit(Public, &edits).await.unwrap();
    assert!(names(subject.storage.list(Public, &TreePath::root()).await.unwrap()).is_empty());
}

pub(crate) async fn a_reader_meets_the_old_file_or_the_new_one(subject: &mut Subject) {
    let texts = ["a".repeat(70), "b".repeat(30)];
    subject.storage.edit(Public, &[put("tag/link", &texts[0])]).await.unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let (storage, flag, known) = (Arc::clone(&subject.storage), Arc::clone(&ended), texts.clone());
    let reader = tokio::spawn(async move {
        let mut reads = 0;
        while !flag.load(Ordering::Relaxed) {
            let read = storage.read(Public, &path("tag/link"), 100).await.unwrap().unwrap();
            assert!(known.iter().any(|text| text.as_bytes() == read), "met {read:?}");
            reads += 1;
        }
        reads
    });
    for round in 0..500 {
        subject.storage.edit(Public, &[put("tag/link", &texts[round % 2])]).await.unwrap();
    }
    ended.store(true, Ordering::Relaxed);
    assert!(reader.await.unwrap() > 10);
}

pub(crate) async fn the_trees_are_apart(subject: &mut Subject) {
    subject.storage.edit(Public, &[put("same", "public")]).await.unwrap();
    subject.storage.edit(Private, &[put("same", "private")]).await.unwrap();
    subject.storage.edit(Public, &[Edit::remove(path("same"))]).await.unwrap();
    assert_eq!(subject.storage.read(Public, &path("same"), 10).await.unwrap(), None);
    assert_eq!(subject.storage.read(Private, &path("same"), 10).await.unwrap().unwrap(), "private");
}

/// The root of edits that are made in an empty tree.
fn root_of(edits: &[Edit]) -> Cid {
    let mut nothing =
        |_: &Cid| -> Result<Bytes, Infallible> { unreachable!("nothing is loaded for a new tree") };
    fold(None, edits, &mut nothing).unwrap().root
}

/// The root of a tree: that which the node has, or else that of its files.
async fn root_in(storage: &dyn Storage, tree: TreeId) -> Cid {
    if let Some(addressed) = storage.addressed() {
        return addressed.directory_cid(tree, &TreePath::root()).await.unwrap().unwrap();
    }
    let mut edits = Vec::new();
    for (at, bytes) in files_in(storage, tree).await {
        edits.push(put(&at, std::str::from_utf8(&bytes).unwrap()));
    }
    root_of(&edits)
}

pub(crate) async fn edits_of_several_trees_are_one_commit(subject: &mut Subject) {
    let storage = Arc::clone(&subject.storage);
    let both = [put("a/same", "same"), put("b/link", "before")];
    let [public, private] = [Public, Private].map(|tree| TreeEdit::all(tree, both.clone()));
    let applied = apply(storage.as_ref(), &[public, private].concat()).await;
    for tree in TreeId::ALL {
        assert_eq!(root_in(storage.as_ref(), tree).await, root_of(&both), "{tree:?}");
    }
    let moved = [
        TreeEdit { tree: Private, edit: put("c/moved", "before") },
        TreeEdit { tree: Public, edit: Edit::remove(path("b/link")) },
    ];
    for _ in 0..2 {
        let again = apply(storage.as_ref(), &moved).await;
        assert_eq!(again.len(), applied.len());
        subject.reopen();
    }
    let storage = Arc::clone(&subject.storage);
    let public = root_in(storage.as_ref(), Public).await;
    assert_eq!(public, root_of(&both[..1]));
    let whole = [both.to_vec(), vec![put("c/moved", "before")]].concat();
    assert_eq!(root_in(storage.as_ref(), Private).await, root_of(&whole));

    let applied = apply(storage.as_ref(), &TreeEdit::all(Private, [put("d", "more")])).await;
    assert!(applied.iter().all(|applied| applied.tree == Private));
    assert_eq!(root_in(storage.as_ref(), Public).await, public, "it is another tree");
}

/// Applies edits; returns what they have made of the trees, where that is known.
async fn apply(storage: &dyn Storage, edits: &[TreeEdit]) -> Vec<Applied> {
    let Some(addressed) = storage.addressed() else {
        storage.apply(edits).await.unwrap();
        return Vec::new();
    };
    let mut before = HashMap::new();
    for tree in TreeId::ALL {
        before.insert(tree, root_in(storage, tree).await);
    }
    let applied =
        addressed.apply_and_fold(edits, &HashSet::new(), &[], permit(true)).await.unwrap();
    for Applied { tree, before: from, folded } in &applied {
        assert_eq!(*from, before[tree]);
        assert_eq!(folded.root, root_in(storage, *tree).await);
    }
    let edited = TreeId::ALL.into_iter().filter(|tree| edits.iter().any(|edit| edit.tree == *tree));
    assert!(applied.iter().map(|applied| applied.tree).eq(edited));
    applied
}

fn permit(is_given: bool) -> BoxFuture<'static, bool> {
    Box::pin(ready(is_given))
}

pub(crate) async fn new_content_is_stored_with_the_edits_that_link_it(subject: &mut Subject) {
    if subject.storage.addressed().is_none() {
        return;
    }
    let bytes = Bytes::from_static(b"a manifest");
    let new = NewContent::of(CanonicalDigest::of(&bytes), &bytes).unwrap();
    let content = new.content();
    let edits = TreeEdit::all(Public, [Edit::link(path("data"), &content)]);
    let apply = async |storage: Arc<dyn Storage>, new: &[NewContent], is_given| {
        let addressed = storage.addressed().unwrap();
        let nothing = HashSet::new();
        let applied = addressed.apply_and_fold(&edits, &nothing, new, permit(is_given));
        applied.await.map(drop).map_err(|error| error.kind)
    };
    let missing = apply(Arc::clone(&subject.storage), &[], true).await;
    assert_eq!(missing, Err(StorageErrorKind::NotFound));
    // Whatever was prepared meanwhile, nobody sees the edits.
    let given_up = apply(Arc::clone(&subject.storage), std::slice::from_ref(&new), false).await;
    assert_eq!(given_up, Err(StorageErrorKind::Unavailable));
    assert!(files(subject.storage.as_ref()).await.is_empty());
    for _ in 0..2 {
        apply(Arc::clone(&subject.storage), std::slice::from_ref(&new), true).await.unwrap();
        subject.reopen();
        let storage = subject.storage.as_ref();
        assert!(storage.is_linked(Public, &path("data"), &content).await.unwrap());
        assert_eq!(storage.identify(Public, &path("data")).await.unwrap().content, content);
        assert!(storage.contents().await.unwrap().is_empty(), "the tree alone has it");
    }
    let large = Bytes::from(noise(1, CHUNK_SIZE + 1));
    assert_eq!(NewContent::of(CanonicalDigest::of(&large), &large), None, "it is more than a leaf");
}

pub(crate) async fn a_commit_that_fails_for_one_tree_is_seen_in_none(subject: &mut Subject) {
    let stored = subject.take_in("upload", b"hello", 10).await.content;
    let absent = Content { canonical: CanonicalDigest([7; 32]), ..stored };
    let edits = [
        TreeEdit { tree: Public, edit: Edit::link(path("data"), &stored) },
        TreeEdit { tree: Private, edit: Edit::link(path("data"), &absent) },
    ];
    let error = subject.storage.apply(&edits).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::NotFound);
    let storage = subject.storage.as_ref();
    assert!(files_in(storage, Private).await.is_empty());
    // Files have no commit: there the caller repeats all.
    let is_applied = storage.is_linked(Public, &path("data"), &stored).await.unwrap();
    assert_eq!(is_applied, subject.is_made_of_files());
}

pub(crate) async fn a_small_file_is_read_up_to_a_limit(subject: &mut Subject) {
    subject.storage.edit(Public, &[put("link", "12345")]).await.unwrap();
    assert_eq!(subject.storage.read(Public, &path("link"), 5).await.unwrap().unwrap(), "12345");
    let error = subject.storage.read(Public, &path("link"), 4).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Damaged);
}

pub(crate) async fn what_is_not_there_is_none(subject: &mut Subject) {
    subject.storage.edit(Public, &[put("a/link", "x")]).await.unwrap();
    for absent in ["b", "a/c", "a/link/d"] {
        assert_eq!(
            subject.storage.read(Public, &path(absent), 10).await.unwrap(),
            None,
            "{absent}"
        );
        assert_eq!(subject.storage.list(Public, &path(absent)).await.unwrap(), None, "{absent}");
    }
    assert_eq!(
        subject.storage.read(Public, &path("a"), 10).await.unwrap(),
        None,
        "a directory is no file"
    );
    assert_eq!(
        subject.storage.list(Public, &path("a/link")).await.unwrap(),
        None,
        "a file is no directory"
    );
}

pub(crate) async fn linking_content_that_is_missing_fails(subject: &mut Subject) {
    let content = subject.take_in("upload", b"kept", 10).await.content;
    let absent = roadstead::storage::Content {
        canonical: roadstead::oci::CanonicalDigest([7; 32]),
        ..content
    };
    let error =
        subject.storage.edit(Public, &[Edit::link(path("data"), &absent)]).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::NotFound);
    assert!(files(subject.storage.as_ref()).await.is_empty());
}

pub(crate) async fn a_file_of_a_tree_can_be_adopted(subject: &mut Subject) {
    let text = String::from_utf8(noise(1, 3000).iter().map(|byte| byte & 0x7f).collect()).unwrap();
    subject.storage.edit(Public, &[put("blobs/data", &text)]).await.unwrap();
    let found = subject.storage.identify(Public, &path("blobs/data")).await.unwrap();
    let contents = subject.storage.contents().await.unwrap();
    assert!(contents.is_empty(), "identifying changes nothing");
    for _ in 0..2 {
        subject.storage.adopt(Public, &path("blobs/data"), &found.content).await.unwrap();
        assert!(subject.storage.contains(&found.content).await.unwrap());
    }
    assert_eq!(subject.storage.verify(&found.content.canonical).await.unwrap(), found.content);
}

pub(crate) async fn an_imported_file_replaces_what_was_stored(subject: &mut Subject) {
    let content = subject.take_in("upload", b"hello", 10).await.content;
    // The same bytes in a file of its own, as in a copy that has lost its hard links.
    subject.storage.edit(Public, &[put("blobs/data", "hello")]).await.unwrap();
    let is_another =
        !subject.storage.is_linked(Public, &path("blobs/data"), &content).await.unwrap();
    assert_eq!(is_another, subject.is_made_of_files());
    for _ in 0..2 {
        let found = subject.storage.identify(Public, &path("blobs/data")).await.unwrap().content;
        assert_eq!(found, content);
        subject.storage.adopt(Public, &path("blobs/data"), &found).await.unwrap();
        assert!(subject.storage.is_linked(Public, &path("blobs/data"), &content).await.unwrap());
    }
    assert_eq!(subject.storage.contents().await.unwrap(), [content.canonical]);
}

pub(crate) async fn a_listing_passes_over_what_goes_meanwhile(subject: &mut Subject) {
    let name = |number: usize| format!("folder/{number}");
    let puts: Vec<Edit> = (0..200).map(|number| put(&name(number), "x")).collect();
    let removals: Vec<Edit> = (1..200).map(|number| Edit::remove(path(&name(number)))).collect();
    let storage = Arc::clone(&subject.storage);
    storage.edit(Public, &puts).await.unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    let writer = tokio::spawn(async move {
        while !flag.load(Ordering::Relaxed) {
            storage.edit(Public, &removals).await.unwrap();
            storage.edit(Public, &puts).await.unwrap();
        }
    });
    for _ in 0..300 {
        let listed = subject.storage.list(Public, &path("folder")).await.unwrap().unwrap();
        assert!(listed.contains(&("0".to_owned(), Kind::File(1))));
    }
    ended.store(true, Ordering::Relaxed);
    writer.await.unwrap();
}

/// Random edits over few names, so that they meet, and long ones, so that directories are sharded.
fn edits() -> impl Strategy<Value = Vec<(u8, u8, u16, bool)>> {
    prop::collection::vec((0_u8..3, 0_u8..4, 0_u16..1500, prop::bool::weighted(0.8)), 1..400)
}

pub(crate) async fn folding_gives_the_root_of_the_whole_tree(subject: &mut Subject) {
    let mut runner = TestRunner::deterministic();
    let mut nodes: HashMap<Cid, Bytes> = HashMap::new();
    let mut root = None;
    // Reading each file by itself takes long where that is a call.
    let rounds = if subject.is_made_of_files() { 25 } else { 6 };
    for round in 0..rounds {
        let drawn = edits().new_tree(&mut runner).unwrap().current();
        let batch: Vec<Edit> = drawn
            .into_iter()
            .map(|(top, middle, name, is_put)| {
                let name = path(&format!("{top}/{middle}/{}{name}/link", "n".repeat(200)));
                if is_put { Edit::put(name, format!("{round}")) } else { Edit::remove(name) }
            })
            .collect();
        subject.storage.edit(Public, &batch).await.unwrap();
        let mut load = |cid: &Cid| Ok::<_, Infallible>(nodes[cid].clone());
        let folded = fold(root.as_ref(), &batch, &mut load).unwrap();
        nodes.extend(folded.added.into_iter().map(|block| (block.cid, block.bytes)));
        root = Some(folded.root);
        let whole: Vec<Edit> = files(subject.storage.as_ref())
            .await
            .into_iter()
            .map(|(at, bytes)| put(&at, std::str::from_utf8(&bytes).unwrap()))
            .collect();
        let mut nothing = |_: &Cid| -> Result<Bytes, Infallible> {
            unreachable!("nothing is loaded for a new tree")
        };
        assert_eq!(fold(None, &whole, &mut nothing).unwrap().root, folded.root, "round {round}");
    }
}
