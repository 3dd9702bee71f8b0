//! Trees: edits, reading, folding.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use roadstead::ipld::Cid;
use roadstead::oci::TreeId::{Private, Public};
use roadstead::storage::{Edit, Kind, Storage, StorageErrorKind, TreePath, fold};

use super::{Subject, noise};

fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

fn put(at: &str, text: &str) -> Edit {
    Edit::put(path(at), text)
}

/// Lists all files of the public tree with their bytes.
async fn files(storage: &dyn Storage) -> Vec<(String, Bytes)> {
    let (mut found, mut folders) = (Vec::new(), vec![TreePath::root()]);
    while let Some(folder) = folders.pop() {
        for (name, kind) in storage.list(Public, &folder).await.unwrap().unwrap() {
            let child = folder.child(&name).unwrap();
            match kind {
                Kind::Directory => folders.push(child),
                Kind::File(size) => {
                    let bytes = storage.read(Public, &child, size).await.unwrap().unwrap();
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
        .apply(Public, &[put("link", "x"), Edit::link(path("data"), &content)])
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
        subject.storage.apply(Public, &edits).await.unwrap();
        let expected = [("a/blobs/data", "hello"), ("a/one/link", "third")];
        let expected = expected.map(|(path, text)| (path.to_owned(), Bytes::from(text)));
        assert_eq!(files(subject.storage.as_ref()).await, expected);
        assert!(subject.storage.is_linked(Public, &path("a/blobs/data"), &content).await.unwrap());
        assert!(!subject.storage.is_linked(Public, &path("a/one/link"), &content).await.unwrap());
        subject.reopen();
    }
    subject.storage.sync().await.unwrap();
    // What stands at a path gives way to content.
    subject.storage.apply(Public, &[Edit::link(path("a/one/link"), &content)]).await.unwrap();
    assert!(subject.storage.is_linked(Public, &path("a/one/link"), &content).await.unwrap());
}

pub(crate) async fn a_removal_takes_the_directories_that_it_empties(subject: &mut Subject) {
    let edits = [put("a/b/c/link", "x"), put("a/b/d/e/link", "y"), put("z", "top")];
    subject.storage.apply(Public, &edits).await.unwrap();
    subject.storage.apply(Public, &[Edit::remove(path("a/b/d/e/link"))]).await.unwrap();
    let names = |listed: Option<Vec<(String, Kind)>>| {
        listed.unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(subject.storage.list(Public, &path("a/b")).await.unwrap()), ["c"]);
    let edits = [Edit::remove(path("a/b")), Edit::remove(path("z"))];
    subject.storage.apply(Public, &edits).await.unwrap();
    assert!(names(subject.storage.list(Public, &TreePath::root()).await.unwrap()).is_empty());
}

pub(crate) async fn a_reader_meets_the_old_file_or_the_new_one(subject: &mut Subject) {
    let texts = ["a".repeat(70), "b".repeat(30)];
    subject.storage.apply(Public, &[put("tag/link", &texts[0])]).await.unwrap();
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
    for turn in 0..500 {
        subject.storage.apply(Public, &[put("tag/link", &texts[turn % 2])]).await.unwrap();
    }
    ended.store(true, Ordering::Relaxed);
    assert!(reader.await.unwrap() > 10);
}

pub(crate) async fn the_two_trees_are_apart(subject: &mut Subject) {
    subject.storage.apply(Public, &[put("same", "public")]).await.unwrap();
    subject.storage.apply(Private, &[put("same", "private")]).await.unwrap();
    subject.storage.apply(Public, &[Edit::remove(path("same"))]).await.unwrap();
    assert_eq!(subject.storage.read(Public, &path("same"), 10).await.unwrap(), None);
    assert_eq!(subject.storage.read(Private, &path("same"), 10).await.unwrap().unwrap(), "private");
}

pub(crate) async fn a_small_file_is_read_up_to_a_limit(subject: &mut Subject) {
    subject.storage.apply(Public, &[put("link", "12345")]).await.unwrap();
    assert_eq!(subject.storage.read(Public, &path("link"), 5).await.unwrap().unwrap(), "12345");
    let error = subject.storage.read(Public, &path("link"), 4).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Damaged);
}

pub(crate) async fn what_is_not_there_is_none(subject: &mut Subject) {
    subject.storage.apply(Public, &[put("a/link", "x")]).await.unwrap();
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
    let kept = subject.take_in("upload", b"kept", 10).await.content;
    let absent =
        roadstead::storage::Content { canonical: roadstead::oci::CanonicalDigest([7; 32]), ..kept };
    let error =
        subject.storage.apply(Public, &[Edit::link(path("data"), &absent)]).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::NotFound);
    assert!(files(subject.storage.as_ref()).await.is_empty());
}

pub(crate) async fn a_file_of_a_tree_can_be_adopted(subject: &mut Subject) {
    let text = String::from_utf8(noise(1, 3000).iter().map(|byte| byte & 0x7f).collect()).unwrap();
    subject.storage.apply(Public, &[put("blobs/data", &text)]).await.unwrap();
    let found = subject.storage.identify(Public, &path("blobs/data")).await.unwrap();
    let kept = subject.storage.contents().await.unwrap();
    assert!(kept.is_empty(), "identifying changes nothing");
    for _ in 0..2 {
        subject.storage.adopt(Public, &path("blobs/data"), &found.content).await.unwrap();
        assert!(subject.storage.contains(&found.content).await.unwrap());
    }
    assert_eq!(subject.storage.verify(&found.content.canonical).await.unwrap(), found.content);
}

pub(crate) async fn an_imported_file_replaces_what_was_stored(subject: &mut Subject) {
    let kept = subject.take_in("upload", b"hello", 10).await.content;
    // The same bytes in a file of its own, as in a copy that has lost its hard links.
    subject.storage.apply(Public, &[put("blobs/data", "hello")]).await.unwrap();
    let is_another = !subject.storage.is_linked(Public, &path("blobs/data"), &kept).await.unwrap();
    assert_eq!(is_another, subject.is_made_of_files());
    for _ in 0..2 {
        let found = subject.storage.identify(Public, &path("blobs/data")).await.unwrap().content;
        assert_eq!(found, kept);
        subject.storage.adopt(Public, &path("blobs/data"), &found).await.unwrap();
        assert!(subject.storage.is_linked(Public, &path("blobs/data"), &kept).await.unwrap());
    }
    assert_eq!(subject.storage.contents().await.unwrap(), [kept.canonical]);
}

pub(crate) async fn a_listing_passes_over_what_goes_meanwhile(subject: &mut Subject) {
    let name = |place: usize| format!("folder/{place}");
    let puts: Vec<Edit> = (0..200).map(|place| put(&name(place), "x")).collect();
    let removals: Vec<Edit> = (1..200).map(|place| Edit::remove(path(&name(place)))).collect();
    let storage = Arc::clone(&subject.storage);
    storage.apply(Public, &puts).await.unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    let writer = tokio::spawn(async move {
        while !flag.load(Ordering::Relaxed) {
            storage.apply(Public, &removals).await.unwrap();
            storage.apply(Public, &puts).await.unwrap();
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
        subject.storage.apply(Public, &batch).await.unwrap();
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
