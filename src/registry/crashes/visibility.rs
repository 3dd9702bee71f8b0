//! Changes of who may see a repository, stopped between any two steps, and what others can read of one that they may not
//! see.

use std::collections::HashSet;

use cid::Cid;
use tempfile::TempDir;

use super::super::{Registry, RegistryError, Result};
use super::*;
use crate::index::Event;
use crate::ipld::{Block, raw_cid};
use crate::oci::{CanonicalDigest, TreeId, Visibility};

async fn set(registry: &Registry, client: &Client, visibility: Visibility) -> Result<()> {
    let grant = client.0.visibility(&Caller::anonymous(), client.1.clone()).await.unwrap();
    registry.set_visibility(&grant, visibility).await
}

async fn root(registry: &Registry, tree: TreeId) -> Cid {
    registry.root_of(tree).await.unwrap()
}

async fn visibility(registry: &Registry, client: &Client) -> Visibility {
    registry.index.repository(&client.1).await.unwrap().unwrap().visibility
}

/// Returns the CIDs of all blocks of a tree.
async fn blocks(registry: &Registry, tree: TreeId) -> HashSet<Cid> {
    let mut export = registry.export(tree).await.unwrap();
    let mut cids = HashSet::new();
    while let Some(block) = export.next().await.unwrap() {
        cids.insert(block.cid);
    }
    cids
}

/// Fails if a block that the gateway serves has one of these in it.
async fn assert_hidden(registry: &Registry, cids: &HashSet<Cid>, secrets: &[&[u8]]) {
    for cid in cids {
        let Some(Block { bytes, .. }) = registry.public_block(cid).await.unwrap() else { continue };
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|part| part == *secret);
            assert!(!found, "{cid} has {}", String::from_utf8_lossy(secret));
        }
    }
}

async fn events(registry: &Registry) -> Vec<Event> {
    let events = registry.index.events_after(0, 1000).await.unwrap();
    events.into_iter().filter(|event| event.change.kind == "visibility").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_hidden_and_stops_anywhere_is_whole_and_served_no_more() {
    let (client, other) = (Client::new(), Client::of("team/app/other"));
    for stop in STEPS.into_iter().map(Some).chain([None]) {
        let folder = TempDir::new().unwrap();
        let registry = Box::pin(open(folder.path())).await;
        for client in [&client, &other] {
            client.blob(&registry, b"shared").await;
        }
        let staying = layered(&[b"shared"]);
        other.put(&registry, "open", &staying).await.unwrap();
        let without = root(&registry, TreeId::Public).await;
        client.blob(&registry, b"bytes-of-it").await;
        let gone = layered(&[b"bytes-of-it"]);
        client.put(&registry, "tag-that-went", &gone).await.unwrap();
        let mut once = blocks(&registry, TreeId::Public).await;
        root(&registry, TreeId::Public).await;
        client.delete(&registry, &digest_of(&gone)).await.unwrap();
        let image = layered(&[b"bytes-of-it", b"shared"]);
        client.put(&registry, "tag-of-it", &image).await.unwrap();
        let with = root(&registry, TreeId::Public).await;
        once.extend(blocks(&registry, TreeId::Public).await);

        *registry.stop.lock().unwrap() = stop;
        let hidden = set(&registry, &client, Visibility::Internal).await;
        assert_eq!(hidden.is_ok(), stop.is_none(), "{stop:?}");
        drop(registry);
        let registry = Box::pin(open(folder.path())).await;
        assert_eq!(visibility(&registry, &client).await, Visibility::Internal, "{stop:?}");
        let digests =
            [&b"bytes-of-it"[..], &gone, &image].map(|bytes| CanonicalDigest::of(bytes).hex());
        let mut secrets: Vec<&[u8]> = vec![b"bytes-of-it", b"tag-of-it", b"tag-that-went"];
        secrets.extend(digests.iter().map(String::as_bytes));
        assert_hidden(&registry, &once, &secrets).await;
        assert_hidden(&registry, &blocks(&registry, TreeId::Private).await, &secrets).await;
        // The rest of earlier roots is served on.
        assert!(registry.public_block(&with).await.unwrap().is_some(), "{stop:?}");
        for bytes in [&b"shared"[..], &staying] {
            let cid = raw_cid(CanonicalDigest::of(bytes).0);
            assert!(registry.public_block(&cid).await.unwrap().is_some(), "{stop:?}");
        }
        assert_eq!(root(&registry, TreeId::Public).await, without, "{stop:?}");
        assert_eq!(client.get(&registry, "tag-of-it").await, Some(image.clone()), "{stop:?}");
        assert_whole(&registry).await;
        assert_eq!(events(&registry).await.len(), 1, "{stop:?}");

        // It may be shown again, whatever stops that, and is served as before.
        *registry.stop.lock().unwrap() = stop;
        let shown = set(&registry, &client, Visibility::Public).await;
        assert_eq!(shown.is_ok(), stop.is_none(), "{stop:?}");
        drop(registry);
        let registry = Box::pin(open(folder.path())).await;
        assert_eq!(root(&registry, TreeId::Public).await, with, "{stop:?}");
        let cid = raw_cid(CanonicalDigest::of(b"bytes-of-it").0);
        assert!(registry.public_block(&cid).await.unwrap().is_some(), "{stop:?}");
        for cid in blocks(&registry, TreeId::Public).await {
            assert!(registry.public_block(&cid).await.unwrap().is_some(), "{cid} {stop:?}");
        }
        assert_whole(&registry).await;
        let details: Vec<_> =
            events(&registry).await.into_iter().map(|event| event.change.detail).collect();
        assert_eq!(details, [Some("internal".to_owned()), Some("public".to_owned())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repeating_it_changes_nothing_and_internal_ones_become_private_where_they_are() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let absent = set(&registry, &client, Visibility::Private).await;
    assert!(matches!(absent, Err(RegistryError::NameUnknown(_))), "{absent:?}");
    let image = client.image(&registry, b"config").await;
    client.put(&registry, "tag", &image).await.unwrap();
    for expected in [Visibility::Internal, Visibility::Internal, Visibility::Private] {
        set(&registry, &client, expected).await.unwrap();
        assert_eq!(visibility(&registry, &client).await, expected);
        assert_eq!(client.get(&registry, "tag").await, Some(image.clone()));
        assert_whole(&registry).await;
    }
    assert_eq!(events(&registry).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_by_a_push_is_as_the_setting_and_its_namespace_say() {
    let (image, folder) = (layered(&[b"bytes-of-it"]), TempDir::new().unwrap());
    let registry = open_making(folder.path(), Some(Visibility::Private)).await;
    let actor = crate::index::Actor::default();
    for (name, default) in [("team", Visibility::Internal), ("open", Visibility::Public)] {
        let crate::index::Added::Made(id) =
            registry.index.add_namespace(name, None, &actor, 1).await.unwrap()
        else {
            panic!("{name}")
        };
        let set = registry.index.set_default_visibility(id, Some(default), &actor, 1).await;
        assert_eq!(set.unwrap(), crate::index::Changed::Done);
    }
    let before = root(&registry, TreeId::Public).await;
    for (name, expected) in [
        ("team/app", Visibility::Internal),
        ("other/app", Visibility::Private),
        ("single", Visibility::Private),
        ("open/app", Visibility::Public),
        ("open", Visibility::Public),
    ] {
        let client = Client::of(name);
        if expected.is_public() {
            assert_eq!(root(&registry, TreeId::Public).await, before, "until {name}");
        }
        client.blob(&registry, b"bytes-of-it").await;
        assert_eq!(visibility(&registry, &client).await, expected, "{name}");
        client.put(&registry, "tag-of-it", &image).await.unwrap();
        assert_eq!(visibility(&registry, &client).await, expected, "{name}");
        assert_eq!(client.get(&registry, "tag-of-it").await, Some(image.clone()), "{name}");
        if expected.is_public() {
            break;
        }
        let private = blocks(&registry, TreeId::Private).await;
        assert_hidden(&registry, &private, &[b"bytes-of-it", b"tag-of-it"]).await;
    }
    assert_whole(&registry).await;

    // An image that needs no blob makes its repository by itself.
    let empty = Bytes::from_static(
        br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
    );
    for (name, expected) in [("new/one", Visibility::Private), ("open/two", Visibility::Public)] {
        let client = Client::of(name);
        client.put(&registry, "tag", &empty).await.unwrap();
        assert_eq!(visibility(&registry, &client).await, expected, "{name}");
    }
    assert_whole(&registry).await;

    // Without accounts all that is made is public, whatever namespaces say.
    drop(registry);
    let registry = open_making(folder.path(), None).await;
    let client = Client::of("team/later");
    client.blob(&registry, b"bytes-of-it").await;
    assert_eq!(visibility(&registry, &client).await, Visibility::Public);
    let refused = set(&registry, &client, Visibility::Private).await;
    assert!(matches!(refused, Err(RegistryError::NoAccounts(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_from_a_public_repository_is_not_shown_by_a_private_one() {
    let (public, private) = (Client::new(), Client::of("team/secret"));
    let folder = TempDir::new().unwrap();
    let registry = open_making(folder.path(), Some(Visibility::Private)).await;
    let digest = public.blob(&registry, b"base").await;
    set(&registry, &public, Visibility::Public).await.unwrap();
    public.put(&registry, "tag", &layered(&[b"base"])).await.unwrap();
    let before = root(&registry, TreeId::Public).await;
    let from = public.0.pull(&Caller::anonymous(), public.1.clone()).await.unwrap();
    let mounted = registry.mount_blob(&private.push().await, &from, &digest).await.unwrap();
    assert!(mounted.is_some());
    assert_eq!(visibility(&registry, &private).await, Visibility::Private);
    private.blob(&registry, b"own").await;
    let image = layered(&[b"base", b"own"]);
    private.put(&registry, "tag-of-it", &image).await.unwrap();
    assert_eq!(root(&registry, TreeId::Public).await, before);
    let blocks = blocks(&registry, TreeId::Private).await;
    assert_hidden(&registry, &blocks, &[b"own", b"tag-of-it"]).await;
    // What both have is served as long as the public one has it.
    let base = raw_cid(CanonicalDigest::of(b"base").0);
    assert!(registry.public_block(&base).await.unwrap().is_some());
    set(&registry, &public, Visibility::Private).await.unwrap();
    assert!(registry.public_block(&base).await.unwrap().is_none());
    assert_eq!(private.get(&registry, "tag-of-it").await, Some(image));
    assert_whole(&registry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_makes_nothing_more_visible_and_nothing_less() {
    let folder = TempDir::new().unwrap();
    let registry = open_making(folder.path(), Some(Visibility::Private)).await;
    let all = [
        (Client::of("a/public"), Visibility::Public),
        (Client::of("a/internal"), Visibility::Internal),
        (Client::of("a/private"), Visibility::Private),
    ];
    for (client, expected) in &all {
        let image = client.image(&registry, b"config").await;
        set(&registry, client, *expected).await.unwrap();
        client.put(&registry, "tag", &image).await.unwrap();
    }
    let roots = [root(&registry, TreeId::Public).await, root(&registry, TreeId::Private).await];
    registry.rebuild_index(&Silent).await.unwrap();
    for (client, expected) in &all {
        assert_eq!(visibility(&registry, client).await, *expected);
    }
    // Of an index that was lost, only the tree is left to say it.
    drop(registry);
    for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = fs::remove_file(folder.path().join(name));
    }
    let registry = open_making(folder.path(), Some(Visibility::Public)).await;
    registry.rebuild_index(&Silent).await.unwrap();
    for (client, expected) in &all {
        let expected = if expected.is_public() { Visibility::Public } else { Visibility::Private };
        assert_eq!(visibility(&registry, client).await, expected);
    }
    let after = [root(&registry, TreeId::Public).await, root(&registry, TreeId::Private).await];
    assert_eq!(after, roots);
    assert_whole(&registry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_become_internal_or_public_however_often_that_stops() {
    let folder = TempDir::new().unwrap();
    let registry = open(folder.path()).await;
    let clients = ["a", "b/c", "d"].map(Client::of);
    for client in &clients {
        let image = client.image(&registry, b"config").await;
        client.put(&registry, "tag", &image).await.unwrap();
    }
    let empty_blob_only = Client::of("e");
    empty_blob_only.blob(&registry, b"config").await;
    let before = root(&registry, TreeId::Public).await;
    registry.stop_at(Step::Recorded);
    registry.make_all_internal().await.unwrap_err();
    drop(registry);
    let registry = open(folder.path()).await;
    assert_eq!(registry.make_all_internal().await.unwrap(), 3);
    assert_eq!(
        (registry.make_all_internal().await.unwrap(), registry.non_public_count().await.unwrap()),
        (0, 4)
    );
    let config = raw_cid(CanonicalDigest::of(b"config").0);
    assert!(registry.public_block(&config).await.unwrap().is_none());
    assert_whole(&registry).await;
    set(&registry, &clients[0], Visibility::Private).await.unwrap();
    registry.stop_at(Step::HalfApplied);
    registry.make_all_public().await.unwrap_err();
    drop(registry);
    let registry = open_making(folder.path(), None).await;
    assert_eq!(registry.make_all_public().await.unwrap(), 3);
    assert_eq!(registry.non_public_count().await.unwrap(), 0);
    assert_eq!(root(&registry, TreeId::Public).await, before);
    assert_whole(&registry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_no_reason_to_show_the_rest_on() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let image = client.image(&registry, b"config").await;
    client.put(&registry, "tag", &image).await.unwrap();
    registry.root().await.unwrap();
    registry.storage.forget(&[CanonicalDigest::of(b"config")]).await.unwrap();
    drop(registry);
    // As another process, which remembers nothing of what it stored.
    let registry = open(folder.path()).await;
    set(&registry, &client, Visibility::Private).await.unwrap();
    assert_eq!(client.get(&registry, "tag").await, Some(image));
    let shown = set(&registry, &client, Visibility::Public).await;
    assert!(shown.is_err());
    assert_eq!(visibility(&registry, &client).await, Visibility::Private);
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_beside_its_changes_leave_nothing_behind_in_the_public_tree() {
    let folder = TempDir::new().unwrap();
    let registry = open(folder.path()).await;
    let client = Client::new();
    let empty = root(&registry, TreeId::Public).await;
    client.blob(&registry, b"bytes-of-it").await;
    let pushing = {
        let registry = registry.clone();
        tokio::spawn(async move {
            let client = Client::new();
            for number in 0..30 {
                let tag = format!("tag-of-it-{number}");
                client.put(&registry, &tag, &layered(&[b"bytes-of-it"])).await.unwrap();
                registry.root().await.unwrap();
            }
        })
    };
    let mut once = HashSet::new();
    let mut number = 0;
    while !pushing.is_finished() || number % 2 == 1 {
        let to = [Visibility::Private, Visibility::Public][number % 2];
        set(&registry, &client, to).await.unwrap();
        once.extend(blocks(&registry, TreeId::Public).await);
        number += 1;
    }
    pushing.await.unwrap();
    set(&registry, &client, Visibility::Private).await.unwrap();
    assert_eq!(root(&registry, TreeId::Public).await, empty);
    assert_hidden(&registry, &once, &[b"bytes-of-it", b"tag-of-it"]).await;
    assert_whole(&registry).await;
}
