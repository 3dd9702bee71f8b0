//! Two registries on one node: each has its own folder and its own locks, so one links while the other
//! cleans.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use roadstead::ipld::Block;
use roadstead::kubo::{CallTimeout, Kubo};
use roadstead::oci::{Algorithm, CanonicalDigest, Digest};
use roadstead::storage::Storage;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::common::KuboNode;
use crate::kubo::storage;

/// How many tasks link in one registry.
const WRITERS: usize = 8;

/// How often each of them does.
const LINKS: usize = 400;

/// The folder of the registry that only links.
const LINKING: &str = "/one/registry";

/// Keeps one small content.
async fn keep(storage: &Arc<dyn Storage>, word: &str) -> CanonicalDigest {
    let mut ingest = storage.begin(word).await.unwrap();
    ingest.append(word.as_bytes().to_vec().into()).await.unwrap();
    let digest = Digest::of(Algorithm::Sha256, word.as_bytes());
    ingest.finish(&digest).await.unwrap().content.canonical
}

/// Keeps and forgets, which cleans, until it is told to stop; returns what is to be there, and what is not.
async fn keep_and_forget(storage: Arc<dyn Storage>, name: &str, is_over: Arc<AtomicBool>) -> Known {
    let (mut stored, mut gone) = (Vec::new(), Vec::new());
    while !is_over.load(Ordering::Relaxed) {
        let number = stored.len();
        stored.push(keep(&storage, &format!("{name} keeps {number}")).await);
        let digest = keep(&storage, &format!("{name} forgets {number}")).await;
        storage.forget(&[digest]).await.unwrap();
        storage.clean().await.unwrap();
        gone.push(digest);
    }
    (stored, gone)
}

#[test]
fn what_one_registry_links_outlasts_what_another_cleans() {
    let Some(mut node) = KuboNode::start() else { return };
    let runtime = Runtime::new().unwrap();
    let (stored, cleaned) = runtime.block_on(link_and_clean(&node));
    assert!(cleaned.iter().all(|(_, (_, gone))| gone.len() > 5), "too little was cleaned");
    for moment in ["while the node runs", "after it was killed"] {
        runtime.block_on(async {
            let storage = storage::open(&node, LINKING).await;
            assert_there(&storage, &stored, &[], moment).await;
            for (mfs_root, (stored, gone)) in &cleaned {
                let storage = storage::open(&node, mfs_root).await;
                assert_there(&storage, stored, gone, moment).await;
            }
        });
        node.kill();
        node.start_again();
    }
}

/// What is to be there, and what is not.
type Known = (Vec<CanonicalDigest>, Vec<CanonicalDigest>);

/// Returns what the first registry has linked, and what the others, by their folders.
async fn link_and_clean(node: &KuboNode) -> (Vec<CanonicalDigest>, Vec<(String, Known)>) {
    let linking = storage::open(node, LINKING).await;
    let is_over = Arc::<AtomicBool>::default();
    let mut cleaners = JoinSet::new();
    for name in ["two", "three", "four"] {
        // One of them stands beside the first in a folder, the others do not.
        let mfs_root = if name == "two" { "/one/two".to_owned() } else { format!("/{name}") };
        let storage = storage::open(node, &mfs_root).await;
        let is_over = Arc::clone(&is_over);
        cleaners.spawn(async move { (mfs_root, keep_and_forget(storage, name, is_over).await) });
    }
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let storage = Arc::clone(&linking);
        writers.spawn(async move {
            let mut stored = Vec::new();
            for number in 0..LINKS {
                stored.push(keep(&storage, &format!("{writer} keeps {number}")).await);
            }
            stored
        });
    }
    let stored = writers.join_all().await.concat();
    is_over.store(true, Ordering::Relaxed);
    (stored, cleaners.join_all().await)
}

/// Checks what is listed, and that what is there can be read.
async fn assert_there(
    storage: &Arc<dyn Storage>,
    stored: &[CanonicalDigest],
    gone: &[CanonicalDigest],
    moment: &str,
) {
    let found = storage.contents().await.unwrap();
    let lost: Vec<_> = stored.iter().filter(|digest| !found.contains(digest)).collect();
    let back: Vec<_> = gone.iter().filter(|digest| found.contains(digest)).collect();
    assert!(lost.is_empty() && back.is_empty(), "{moment}: lost {lost:?}, back {back:?}");
    assert_eq!(found.len(), stored.len(), "{moment}");
}

/// The folder of a new registry is made at the top, where the node drops what it knows of every folder there.
#[test]
fn what_one_registry_links_outlasts_the_folders_that_others_make() {
    let Some(mut node) = KuboNode::start() else { return };
    let runtime = Runtime::new().unwrap();
    let stored = runtime.block_on(async {
        let storage = storage::open(&node, "/first").await;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let storage = Arc::clone(&storage);
            writers.spawn(async move {
                let mut stored = Vec::new();
                for number in 0..LINKS / 4 {
                    stored.push(keep(&storage, &format!("{writer} keeps {number}")).await);
                }
                stored
            });
        }
        let mut stored = Vec::new();
        let mut number = 0;
        while !writers.is_empty() {
            drop(storage::open(&node, &format!("/other{number}")).await);
            number += 1;
            while let Some(written) = writers.try_join_next() {
                stored.extend(written.unwrap());
            }
        }
        assert!(number > 5, "only {number} folders were made");
        stored
    });
    for moment in ["while the node runs", "after it was killed"] {
        runtime.block_on(async {
            let storage = storage::open(&node, "/first").await;
            assert_there(&storage, &stored, &[], moment).await;
        });
        node.kill();
        node.start_again();
    }
}

/// The same with nothing between the client and the node: no pauses, and a removal every few
/// milliseconds.
#[test]
fn names_in_one_folder_outlast_removals_in_another() {
    let Some(mut node) = KuboNode::start() else { return };
    let kubo = {
        let (api, gateway) = (node.api().parse().unwrap(), node.gateway().parse().unwrap());
        Arc::new(Kubo::new(api, gateway, None).unwrap())
    };
    for folder in ["/a/held", "/b/held", "/a/c/held"] {
        node.ipfs(["files", "mkdir", "-p", folder]);
    }
    let runtime = Runtime::new().unwrap();
    let (names, removed) = runtime.block_on(link_and_remove(&kubo));
    assert!(removed.iter().all(|count| *count > 100), "{removed:?}");
    for moment in ["while the node runs", "after it was killed"] {
        let list = |folder| runtime.block_on(kubo.list(folder)).unwrap();
        let found = list("/a/held").unwrap();
        let missing = names.iter().filter(|name| !found.contains(name)).count();
        assert_eq!(missing, 0, "{moment}, of {}, beside {removed:?}", names.len());
        for folder in ["/b/held", "/a/c/held"] {
            assert_eq!(list(folder), Some(vec![]), "{moment}: {folder}");
        }
        node.kill();
        node.start_again();
    }
}

/// Returns the names that were linked, and how often something was removed elsewhere meanwhile.
async fn link_and_remove(kubo: &Arc<Kubo>) -> (Vec<String>, Vec<usize>) {
    kubo.flush("/").await.unwrap();
    let left = Arc::new(AtomicUsize::new(WRITERS));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (kubo, left) = (Arc::clone(kubo), Arc::clone(&left));
        writers.spawn(async move {
            let mut names = Vec::new();
            for number in 0..LINKS {
                let name = format!("{writer}-{number}");
                let block = Block::raw(Bytes::from(name.clone()));
                kubo.put(&block).await.unwrap();
                let path = format!("/a/held/{name}");
                kubo.copy(&block.cid, &path, CallTimeout::Limited).await.unwrap();
                names.push(name);
            }
            left.fetch_sub(1, Ordering::Relaxed);
            names
        });
    }
    let mut cleaners = JoinSet::new();
    for folder in ["/b", "/a/c"] {
        let (kubo, left) = (Arc::clone(kubo), Arc::clone(&left));
        cleaners.spawn(async move {
            let mut removed = 0;
            while left.load(Ordering::Relaxed) > 0 {
                let block = Block::raw(Bytes::from(format!("{folder}{removed}")));
                kubo.put(&block).await.unwrap();
                let path = format!("{folder}/held/{removed}");
                kubo.copy(&block.cid, &path, CallTimeout::Limited).await.unwrap();
                kubo.remove(&[path]).await.unwrap();
                kubo.flush(folder).await.unwrap();
                removed += 1;
            }
            removed
        });
    }
    let names = writers.join_all().await.concat();
    (names, cleaners.join_all().await)
}
