//! Repositories in another tree than the public one, and changes of several trees.

use std::collections::HashMap;
use std::fs;

use bytes::Bytes;
use cid::Cid;
use tempfile::TempDir;

use super::super::intent::Intent;
use super::super::walk::PassedOver;
use super::super::{Registry, RegistryError};
use super::{Client, Silent, assert_whole, digest_of, layered, open, recovered};
use crate::index::Actor;
use crate::ipld::Block;
use crate::oci::{CanonicalDigest, TreeId, Visibility};
use crate::storage::{Content, Edit, TreeEdit, TreePath};

/// Says that the client's repository is private, before anything was pushed to it.
async fn make_private(registry: &Registry, client: &Client) {
    let mut writer = registry.index.lock().await.unwrap();
    writer.set_visibility(&client.1, Visibility::Private, 1).await.unwrap();
}

/// The edits that take all that a tree has to another one: content first, as in a push, then its links.
async fn moving(registry: &Registry, from: TreeId, to: TreeId) -> Vec<TreeEdit> {
    let mut known: HashMap<CanonicalDigest, Content> = HashMap::new();
    for canonical in registry.storage.contents().await.unwrap() {
        known.insert(canonical, registry.storage.verify(&canonical).await.unwrap());
    }
    let mut passed = PassedOver::default();
    let known = |canonical: &CanonicalDigest| known.get(canonical).copied();
    let mut edits = registry.tree_edits(from, &known, &mut passed).await;
    passed.expect_readable().unwrap();
    edits.sort_by_key(|edit| !matches!(edit, Edit::Link { .. }));
    let gone: Vec<Edit> = (edits.iter().rev())
        .map(|edit| match edit {
            Edit::Link { path, .. } | Edit::Put { path, .. } | Edit::Remove { path } => {
                Edit::remove(path.clone())
            }
        })
        .collect();
    [TreeEdit::all(to, edits), TreeEdit::all(from, gone)].concat()
}

async fn root(registry: &Registry, tree: TreeId) -> Cid {
    registry.root_of(tree).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_a_private_repository_is_not_seen_in_the_public_tree() {
    let (public, private) = (Client::of("team/app"), Client::of("team/secret"));
    let folder = TempDir::new().unwrap();
    let registry = open(folder.path()).await;
    make_private(&registry, &private).await;
    let open_image = public.image(&registry, b"config").await;
    public.put(&registry, "tag", &open_image).await.unwrap();
    let before = root(&registry, TreeId::Public).await;

    let secret = private.image(&registry, b"secret").await;
    private.put(&registry, "tag", &secret).await.unwrap();
    assert_eq!(root(&registry, TreeId::Public).await, before);
    let hidden = root(&registry, TreeId::Private).await;
    assert_ne!(hidden, before);
    for cid in [hidden, Block::raw(secret.clone()).cid, Block::raw(b"secret"[..].into()).cid] {
        assert!(registry.public_block(&cid).await.unwrap().is_none(), "{cid}");
    }
    assert_eq!(private.get(&registry, "tag").await, Some(secret.clone()));
    assert_whole(&registry).await;

    // What both have goes from the one tree alone.
    private.blob(&registry, b"config").await;
    private.put(&registry, "same", &open_image).await.unwrap();
    private.delete(&registry, &digest_of(&open_image)).await.unwrap();
    assert_eq!(root(&registry, TreeId::Private).await, hidden);
    assert_eq!(root(&registry, TreeId::Public).await, before);
    let shared = Block::raw(open_image.clone()).cid;
    assert!(registry.public_block(&shared).await.unwrap().is_some());
    private.put(&registry, "same", &open_image).await.unwrap();
    public.delete(&registry, &digest_of(&open_image)).await.unwrap();
    assert_eq!(private.get(&registry, "same").await, Some(open_image));
    assert_whole(&registry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_private_repository_has_is_withdrawn_from_the_public_tree_and_stays_there() {
    let (public, private) = (Client::new(), Client::of("team/secret"));
    let folder = TempDir::new().unwrap();
    let registry = open(folder.path()).await;
    make_private(&registry, &private).await;
    for client in [&public, &private] {
        client.blob(&registry, b"secret").await;
        client.put(&registry, "tag", &layered(&[b"secret"])).await.unwrap();
    }
    let hidden = root(&registry, TreeId::Private).await;
    let image = layered(&[b"secret"]);
    let purged = registry.purge(&public.1, &digest_of(&image).parse().unwrap()).await.unwrap();
    assert_eq!(purged.withdrawn.len(), 2);
    for bytes in [&b"secret"[..], &image] {
        let cid = Block::raw(Bytes::copy_from_slice(bytes)).cid;
        assert!(registry.public_block(&cid).await.unwrap().is_none());
    }
    assert_eq!(root(&registry, TreeId::Private).await, hidden);
    assert_eq!(private.get(&registry, "tag").await, Some(image.clone()));
    assert_whole(&registry).await;
    // A push there does not publish it again.
    private.put(&registry, "again", &image).await.unwrap();
    assert!(registry.public_block(&Block::raw(image).cid).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_finds_each_repository_in_its_tree() {
    let (public, private) = (Client::new(), Client::of("team/secret"));
    let folder = TempDir::new().unwrap();
    let registry = open(folder.path()).await;
    make_private(&registry, &private).await;
    for (client, config) in [(&public, &b"config"[..]), (&private, b"secret")] {
        client.blob(&registry, b"shared").await;
        let image = client.image(&registry, config).await;
        client.put(&registry, "image", &image).await.unwrap();
        client.put(&registry, "shared", &layered(&[b"shared"])).await.unwrap();
    }
    let mut roots = Vec::new();
    for tree in TreeId::ALL {
        roots.push(root(&registry, tree).await);
    }
    let before = registry.check(&Silent).await.unwrap();
    assert_eq!((before.findings.len(), before.repositories), (0, 2));
    let planned = registry.plan_rebuild(&Silent).await.unwrap();
    let rebuilt = registry.rebuild_index(&Silent).await.unwrap();
    assert_eq!(rebuilt, planned);
    assert_eq!((rebuilt.repositories, rebuilt.manifests, rebuilt.tags), (2, 4, 4));
    assert_eq!((rebuilt.dropped.len(), rebuilt.left.len(), rebuilt.leftovers), (0, 0, 0));
    assert_eq!(registry.check(&Silent).await.unwrap(), before);
    for (tree, before) in TreeId::ALL.into_iter().zip(roots) {
        assert_eq!(root(&registry, tree).await, before);
    }
    let record = registry.index.repository(&private.1).await.unwrap().unwrap();
    assert_eq!((record.visibility, record.tree), (Visibility::Private, TreeId::Private));
    // It is still counted what links to what.
    let secret = Block::raw(b"secret"[..].into()).cid;
    assert!(registry.public_block(&secret).await.unwrap().is_none());
    let shared = Block::raw(b"shared"[..].into()).cid;
    assert!(registry.public_block(&shared).await.unwrap().is_some());

    // Which of them counts, no program can know.
    let edits = moving(&registry, TreeId::Private, TreeId::Public).await;
    let copies: Vec<_> = edits.into_iter().filter(|edit| edit.tree.is_public()).collect();
    registry.storage.apply(&copies).await.unwrap();
    let refused = registry.rebuild_index(&Silent).await;
    assert!(matches!(refused, Err(RegistryError::Record(_))), "{refused:?}");
    assert_eq!(private.get(&registry, "image").await.map(|_| ()), Some(()));
    assert!(!registry.check(&Silent).await.unwrap().findings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_what_is_wrong_in_the_private_tree() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    make_private(&registry, &client).await;
    let image = client.image(&registry, b"config").await;
    client.put(&registry, "tag", &image).await.unwrap();
    let link = "docker/registry/v2/repositories/team/app/_manifests/tags/tag/current/link";
    fs::remove_file(folder.path().join("private").join(link)).unwrap();
    let report = registry.check(&Silent).await.unwrap();
    let about: Vec<&str> = report.findings.iter().map(|finding| finding.about.as_str()).collect();
    assert!(about.contains(&format!("private/{link}").as_str()), "{about:?}");
    assert!(about.contains(&"the private root"), "{about:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_the_private_tree_has_the_blocks_of_the_same_public_one() {
    let client = Client::new();
    let mut exports = Vec::new();
    for tree in TreeId::ALL {
        let folder = TempDir::new().unwrap();
        let registry = open(folder.path()).await;
        if !tree.is_public() {
            make_private(&registry, &client).await;
        }
        let image = client.image(&registry, b"config").await;
        client.put(&registry, "tag", &image).await.unwrap();
        let mut export = registry.export(tree).await.unwrap();
        let mut cids = vec![export.root];
        while let Some(block) = export.next().await.unwrap() {
            cids.push(block.cid);
        }
        assert_eq!(export.root, root(&registry, tree).await);
        exports.push(cids);
    }
    assert!(exports[0].len() > 5);
    assert_eq!(exports[0], exports[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_tree_has_folded_is_not_applied_to_it_again() {
    let (client, other, folder) = (Client::new(), Client::of("other"), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let image = client.image(&registry, b"config").await;
    client.put(&registry, "tag", &image).await.unwrap();
    let intent =
        Intent::SetVisibility { repository: client.1.clone(), visibility: Visibility::Private };
    registry.commit(Actor::default(), intent).await.unwrap();
    // What was taken out of the public tree comes back into it.
    other.blob(&registry, b"config").await;
    other.put(&registry, "tag", &image).await.unwrap();
    registry.root().await.unwrap();
    drop(registry);
    // The private tree may have lost with the power what the public one has for certain.
    let path = TreePath::parse(&format!(
        "docker/registry/v2/blobs/sha256/{}/{}/data",
        &CanonicalDigest::of(b"config").hex()[..2],
        CanonicalDigest::of(b"config").hex()
    ));
    let path = path.unwrap();
    fs::remove_file(folder.path().join("private").join(path.as_str())).unwrap();
    // As a start does it, but for what it folds.
    let registry = recovered(folder.path()).await;
    for tree in TreeId::ALL {
        let found = registry.storage.read(tree, &path, 10).await.unwrap();
        assert_eq!(found.as_deref(), Some(&b"config"[..]), "{tree:?}");
    }
    assert!(registry.index.unfolded_entry_count().await.unwrap() > 0);
    registry.fold_pending().await.unwrap();
    assert_eq!(registry.index.unfolded_entry_count().await.unwrap(), 0);
    assert_whole(&registry).await;
}
