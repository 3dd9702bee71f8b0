//! What a good peer is asked for.

use roadstead::ipld::Scope;

use super::peer::{Manner, Peer};
use super::world::{BEFORE, FILE, LEAF, SHARDS, World, archive};
use super::{assert_sound, drain, kind, path, read, remote, source_of};
use roadstead::remote::RemoteErrorKind;

#[tokio::test]
async fn a_file_is_read_by_its_path_with_one_request() {
    let world = World::new();
    let peer = Peer::good(&world).await;
    assert_sound(&remote([source_of(&peer)]), &world).await;
    let target = format!("/ipfs/{}/docker/a%20b%25%C3%A9?format=car&dag-scope=entity", world.root);
    assert_eq!(peer.requests(), [target + "&car-order=dfs&car-dups=y"]);
}

#[tokio::test]
async fn a_range_is_that_slice_and_no_other_leaf_is_sent() {
    let world = World::new();
    let cases =
        [0..1, 5..LEAF + 7, LEAF - 1..LEAF, 4 * LEAF + 90..9 * LEAF, 7 * LEAF..8 * LEAF, 5..5];
    for part in cases {
        let peer = Peer::good(&world).await;
        let remote = remote([source_of(&peer)]);
        let range = part.start as u64..part.end as u64;
        let file = remote.open(world.root, path(FILE), Some(range)).await.unwrap().unwrap();
        assert_eq!((file.cid, file.size), (world.file, world.content.len() as u64));
        let (bytes, error) = drain(file.bytes).await;
        assert!(error.is_none(), "{part:?}: {error:?}");
        let end = part.end.min(world.content.len());
        assert!(bytes == world.content[part.start.min(end)..end], "{part:?}");
        assert!(peer.sent() < (part.len() / LEAF + 2) * LEAF + 500_000, "{part:?}");
    }
}

#[tokio::test]
async fn the_length_of_a_file_is_read_without_its_content() {
    let world = World::new();
    let peer = Peer::good(&world).await;
    let found = remote([source_of(&peer)]).stat(world.root, path(FILE)).await.unwrap();
    assert_eq!(found, Some((world.file, world.content.len() as u64)));
    assert!(peer.sent() < LEAF);
}

#[tokio::test]
async fn a_directory_of_shards_is_listed_within_a_limit() {
    let world = World::new();
    let peer = Peer::good(&world).await;
    let remote = remote([source_of(&peer)]);
    let entries = remote.list(world.root, path(SHARDS), 2500).await.unwrap().unwrap();
    assert!(entries.iter().map(|entry| &entry.name).eq(&world.names));
    let error = remote.list(world.root, path(SHARDS), 2499).await.err();
    assert_eq!(kind(error), RemoteErrorKind::Invalid);
}

#[tokio::test]
async fn an_absent_path_is_proved() {
    let world = World::new();
    let peer = Peer::good(&world).await;
    let remote = remote([source_of(&peer)]);
    for absent in
        ["nothing", "docker/nothing", "docker/shards/7", "docker/a b%é/x", "docker/..", "./docker"]
    {
        assert!(remote.open(world.root, path(absent), None).await.unwrap().is_none(), "{absent}");
        assert_eq!(remote.stat(world.root, path(absent)).await.unwrap(), None, "{absent}");
        assert_eq!(remote.read(world.root, path(absent), 10).await.unwrap(), None, "{absent}");
        assert_eq!(remote.list(world.root, path(absent), 10).await.unwrap(), None, "{absent}");
    }
    assert!(remote.open(world.root, path("docker"), None).await.unwrap().is_none());
}

#[tokio::test]
async fn a_peer_that_does_not_tell_the_order_of_an_archive_is_read_block_by_block() {
    let world = World::new();
    let peer = Peer::start(&world, Manner::Unordered).await;
    let remote = remote([source_of(&peer)]);
    assert_sound(&remote, &world).await;
    let blocks = world.walk(world.root, path(FILE), Scope::Entity(None));
    assert_eq!(blocks.len(), BEFORE + 5);
    let mut requests = peer.requests();
    assert!(requests.remove(0).contains("format=car"));
    let mut expected = blocks.iter().map(|block| format!("/ipfs/{}?format=raw", block.cid));
    assert!(expected.all(|target| requests.contains(&target)) && requests.len() == blocks.len());
    let entries = remote.list(world.root, path(SHARDS), 2500).await.unwrap().unwrap();
    assert!(entries.iter().map(|entry| &entry.name).eq(&world.names));
    assert_eq!(remote.stat(world.root, path("docker/nothing")).await.unwrap(), None);
}

#[tokio::test]
async fn a_small_read_takes_no_more_than_its_limit() {
    let world = World::new();
    let peer = Peer::good(&world).await;
    let remote = remote([source_of(&peer)]);
    let size = world.content.len() as u64;
    let (cid, bytes) = remote.read(world.root, path(FILE), size).await.unwrap().unwrap();
    assert!(cid == world.file && bytes == world.content);
    let error = remote.read(world.root, path(FILE), size - 1).await.err();
    assert_eq!(kind(error), RemoteErrorKind::Invalid);
}

#[tokio::test]
async fn a_file_that_is_longer_than_its_parent_says_is_refused() {
    let world = World::lying();
    let peer = Peer::good(&world).await;
    let (bytes, error) = read(&remote([source_of(&peer)]), &world).await;
    assert_eq!(kind(error), RemoteErrorKind::Invalid);
    assert!(bytes.is_empty());
    let peer = Peer::start(&world, Manner::Unordered).await;
    let (bytes, error) = read(&remote([source_of(&peer)]), &world).await;
    assert_eq!(kind(error), RemoteErrorKind::Invalid);
    assert!(bytes.is_empty());
}

#[tokio::test]
async fn what_follows_the_last_block_is_not_waited_for() {
    let world = World::new();
    let all = world.walk(world.root, path(FILE), Scope::Entity(None));
    assert!(archive(&world.root, &all).len() > world.content.len());
    for manner in [Manner::Unwanted(all.len()), Manner::Stall(all.len())] {
        let peer = Peer::start(&world, manner).await;
        assert_sound(&remote([source_of(&peer)]), &world).await;
    }
}
