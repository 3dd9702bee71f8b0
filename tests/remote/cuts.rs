//! Peers whose connections break before a block has come: they are asked again, a few times.

use roadstead::remote::RemoteErrorKind::Unreachable;

use super::peer::{Manner, Peer};
use super::world::{FILE, LEAF, SHARDS, World};
use super::{assert_sound, kind, path, read, remote, source_of};

/// How many requests a peer gets in all that never gets anywhere.
const ATTEMPTS: usize = 5;

/// After how many bytes connections break: before the head, in the header of an archive, in its first block, and in
/// the first leaf.
const OFFSETS: [usize; 4] = [0, 10, 100, 20_000];

#[tokio::test]
async fn a_peer_whose_connections_break_before_the_first_block_is_tried_again() {
    let world = World::new();
    for offset in OFFSETS {
        let start = || Peer::start(&world, Manner::Breaking(ATTEMPTS - 1, offset));
        let peer = start().await;
        assert_sound(&remote([source_of(&peer)]), &world).await;
        assert_eq!(peer.requests().len(), ATTEMPTS, "{offset}");

        let (root, file) = (world.root, path(FILE));
        let peer = start().await;
        let (_, size) = remote([source_of(&peer)]).stat(root, file.clone()).await.unwrap().unwrap();
        assert_eq!(size, world.content.len() as u64);
        let peer = start().await;
        let read =
            remote([source_of(&peer)]).read(root, file.clone(), size).await.unwrap().unwrap();
        assert!(read.1 == world.content);
        let peer = start().await;
        let part = remote([source_of(&peer)]).open(root, file, Some(1..2)).await.unwrap().unwrap();
        assert_eq!(super::drain(part.bytes).await.0, world.content[1..2]);
        let peer = start().await;
        let listed = remote([source_of(&peer)]).list(root, path(SHARDS), 2500).await;
        assert_eq!(listed.unwrap().unwrap().len(), world.names.len(), "{offset}");
    }
}

#[tokio::test]
async fn an_interrupted_listing_is_requested_again() {
    let world = World::new();
    let peer = Peer::start(&world, Manner::Breaking(2, 100_000)).await;
    let listed = remote([source_of(&peer)]).list(world.root, path(SHARDS), 2500).await;
    assert_eq!(listed.unwrap().unwrap().len(), world.names.len());
    assert_eq!(peer.requests().len(), 3);
}

#[tokio::test]
async fn a_peer_whose_connections_always_break_is_tried_a_few_times_only() {
    let world = World::new();
    for offset in OFFSETS {
        let peer = Peer::start(&world, Manner::Breaking(usize::MAX, offset)).await;
        let (_, error) = read(&remote([source_of(&peer)]), &world).await;
        assert_eq!(kind(error), Unreachable);
        assert_eq!(peer.requests().len(), ATTEMPTS, "{offset}");
        // What is sound beside it is not waited for.
        let good = Peer::good(&world).await;
        assert_sound(&remote([source_of(&peer), source_of(&good)]), &world).await;
    }
}

#[tokio::test]
async fn a_transfer_that_gets_on_is_not_ended_by_the_number_of_its_breaks() {
    let world = World::of(super::noise(70 * LEAF, 3));
    // More breaks than a transfer has that gets nowhere.
    let peer = Peer::start(&world, Manner::Breaking(6, 9 << 20)).await;
    assert_sound(&remote([source_of(&peer)]), &world).await;
    assert_eq!(peer.requests().len(), 7);
}

#[tokio::test]
async fn a_block_whose_connection_breaks_is_requested_again() {
    let world = World::new();
    for offset in [0, 10] {
        let peer = Peer::start(&world, Manner::BreakingBlocks(2, offset)).await;
        assert_sound(&remote([source_of(&peer)]), &world).await;
        let peer = Peer::start(&world, Manner::BreakingBlocks(1, offset)).await;
        let block = remote([source_of(&peer)]).block(world.root).await.unwrap();
        assert_eq!(block.cid, world.root);
        let peer = Peer::start(&world, Manner::BreakingBlocks(usize::MAX, offset)).await;
        let error = remote([source_of(&peer)]).block(world.root).await.err();
        assert_eq!(kind(error), Unreachable);
        assert!(peer.requests().len() <= 4, "{:?}", peer.requests());
    }
}
