//! Bad peers: alone, each comes to an error of its kind and not one wrong byte; before a good one, to
//! the right bytes.

use std::sync::Arc;
use std::time::Duration;

use roadstead::ipld::{CarEvent, CarReader, Scope};
use roadstead::remote::RemoteErrorKind::{self, Absent, Invalid, NoSource, TimedOut, Unreachable};
use roadstead::remote::Source;

use super::peer::{Manner, Peer};
use super::world::{BEFORE, FILE, LEAF, SHARDS, World};
use super::{
    assert_sound, drain, kind, noise, open, path, read, remote, source_of,
    source_with_short_timeouts,
};

/// Asserts what a bad peer comes to, which tells so many leaves before it fails.
async fn assert_fails(manner: Manner, leaves: usize, expected: RemoteErrorKind) {
    let world = World::new();
    let bad = Peer::start(&world, manner).await;
    let source =
        || if expected == TimedOut { source_with_short_timeouts(&bad) } else { source_of(&bad) };
    let (bytes, error) = read(&remote([source()]), &world).await;
    assert_eq!(kind(error), expected);
    assert!(bytes == world.content[..leaves * LEAF], "{} bytes came", bytes.len());

    assert_replaced(&world, leaves, source).await;
}

/// Asserts that a peer whose connection breaks after so many leaves is asked for the rest when it is alone.
async fn assert_tried_again(manner: Manner, leaves: usize) {
    let world = World::new();
    let bad = Peer::start(&world, manner).await;
    assert_sound(&remote([source_of(&bad)]), &world).await;
    let requests = bad.requests();
    let part = format!("&entity-bytes={}:{}&", leaves * LEAF, world.content.len() - 1);
    assert!(requests.len() == 2 && requests[1].contains(&part), "{requests:?}");
    assert_replaced(&world, leaves, || source_of(&bad)).await;
}

/// Asserts that a good peer is asked for what a bad one before it has not told.
async fn assert_replaced(world: &World, leaves: usize, source: impl Fn() -> Arc<dyn Source>) {
    let good = Peer::good(world).await;
    assert_sound(&remote([source(), source_of(&good)]), world).await;
    let requests = good.requests();
    let part = format!("&entity-bytes={}:{}&", leaves * LEAF, world.content.len() - 1);
    let is_part = requests[0].contains(&part);
    assert_eq!(requests.len(), 1);
    assert!(is_part || (leaves == 0 && !requests[0].contains("entity-bytes")), "{requests:?}");

    // What is no file is found at the second one, too.
    let remote = remote([source(), source_of(&good)]);
    let entries = remote.list(world.root, path(SHARDS), 2500).await.unwrap().unwrap();
    assert!(entries.iter().map(|entry| &entry.name).eq(&world.names));
}

#[tokio::test]
async fn wrong_bytes_in_the_first_block() {
    assert_fails(Manner::Wrong(0), 0, Invalid).await;
}

#[tokio::test]
async fn wrong_bytes_in_the_first_leaf() {
    assert_fails(Manner::Wrong(BEFORE.cast_signed()), 0, Invalid).await;
}

#[tokio::test]
async fn wrong_bytes_in_a_middle_block() {
    assert_fails(Manner::Wrong(BEFORE.cast_signed() + 2), 2, Invalid).await;
}

#[tokio::test]
async fn wrong_bytes_in_the_last_block() {
    assert_fails(Manner::Wrong(-1), 4, Invalid).await;
}

#[tokio::test]
async fn an_archive_that_ends_too_soon() {
    assert_tried_again(Manner::Short(BEFORE + 3), 3).await;
}

#[tokio::test]
async fn an_archive_that_ends_before_anything_is_known_each_time() {
    assert_fails(Manner::Short(1), 0, Unreachable).await;
}

#[tokio::test]
async fn a_connection_that_is_cut() {
    assert_tried_again(Manner::Cut(BEFORE + 3), 3).await;
}

#[tokio::test]
async fn an_archive_of_unwanted_blocks_without_end() {
    assert_fails(Manner::Unwanted(BEFORE + 2), 2, Invalid).await;
}

#[tokio::test]
async fn an_archive_of_empty_blocks_without_end() {
    assert_fails(Manner::Empty(BEFORE + 1), 1, Invalid).await;
}

#[tokio::test]
async fn an_archive_of_inline_blocks_without_end() {
    assert_fails(Manner::Identity(1), 0, Invalid).await;
}

#[tokio::test]
async fn a_header_of_a_gigabyte() {
    assert_fails(Manner::Gigabyte, 0, Invalid).await;
}

#[tokio::test]
async fn a_byte_now_and_then() {
    assert_fails(Manner::Drip, 0, TimedOut).await;
}

#[tokio::test]
async fn nothing_more_after_some_blocks() {
    assert_fails(Manner::Stall(BEFORE + 1), 1, TimedOut).await;
}

#[tokio::test]
async fn no_answer_at_all() {
    assert_fails(Manner::Silent, 0, TimedOut).await;
}

#[tokio::test]
async fn not_found_proves_nothing() {
    assert_fails(Manner::Status(404, String::new()), 0, Absent).await;
}

#[tokio::test]
async fn an_error_of_the_peer() {
    assert_fails(Manner::Status(500, String::new()), 0, Unreachable).await;
}

#[tokio::test]
async fn a_gateway_that_has_no_such_archives_is_tried_for_blocks() {
    let world = World::new();
    for status in [400, 406, 415, 501] {
        let peer = Peer::start(&world, Manner::Status(status, String::new())).await;
        assert_sound(&remote([source_of(&peer)]), &world).await;
        let listed = remote([source_of(&peer)]).list(world.root, path(SHARDS), 2500).await.unwrap();
        assert!(listed.is_some(), "{status}");
        let requests = peer.requests();
        assert!(requests.iter().any(|target| target.contains("format=raw")), "{requests:?}");
    }
}

#[tokio::test]
async fn no_other_answer_is_taken_for_a_lack_of_archives() {
    let world = World::new();
    for (status, expected) in [
        (401, Unreachable),
        (403, Unreachable),
        (404, Absent),
        (405, Unreachable),
        (410, Absent),
        (412, Absent),
        (429, Unreachable),
        (500, Unreachable),
        (502, Unreachable),
        (503, Unreachable),
        (504, Unreachable),
        (204, Unreachable),
    ] {
        let peer = Peer::start(&world, Manner::Status(status, String::new())).await;
        let (_, error) = read(&remote([source_of(&peer)]), &world).await;
        assert_eq!(kind(error), expected, "{status}");
        let requests = peer.requests();
        assert!(
            requests.iter().all(|target| !target.contains("format=raw")),
            "{status}: {requests:?}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let world = World::new();
    let elsewhere = Peer::good(&world).await;
    assert_fails(Manner::Status(302, elsewhere.url()), 0, Unreachable).await;
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn what_stands_below_another_root() {
    let other = World::of(noise(3 * LEAF, 5));
    assert_fails(Manner::Other(Box::new(other)), 0, Invalid).await;
}

#[tokio::test]
async fn ten_megabytes_for_a_block() {
    let world = World::new();
    let bad = Peer::start(&world, Manner::Huge).await;
    assert_fails(Manner::Huge, 0, Invalid).await;
    read(&remote([source_of(&bad)]), &world).await;
    // The first block was enough.
    assert_eq!(bad.requests().len(), 2);
}

#[tokio::test]
async fn no_source_at_all() {
    let world = World::new();
    let (_, error) = read(&remote([]), &world).await;
    assert_eq!(kind(error), NoSource);
}

#[tokio::test]
async fn no_source_at_that_address() {
    let world = World::new();
    let gone = source_of(&Peer::good(&world).await);
    let (_, error) = read(&remote([gone]), &world).await;
    assert_eq!(kind(error), Unreachable);
}

#[tokio::test]
async fn of_several_failures_the_most_specific_is_reported() {
    let world = World::new();
    let absent = || Manner::Status(404, String::new());
    let cases = [
        ([absent(), absent()], Absent),
        ([absent(), Manner::Status(500, String::new())], Unreachable),
        ([Manner::Status(500, String::new()), absent()], Unreachable),
        ([Manner::Silent, absent()], TimedOut),
        ([Manner::Wrong(0), Manner::Silent], Invalid),
        ([Manner::Wrong(-1), absent()], Invalid),
    ];
    for (manners, expected) in cases {
        let mut peers = Vec::new();
        for manner in manners.clone() {
            peers.push(Peer::start(&world, manner).await);
        }
        let sources = peers.iter().zip(&manners).map(|(peer, manner)| match manner {
            Manner::Silent => source_with_short_timeouts(peer),
            _ => source_of(peer),
        });
        let remote = remote(sources);
        assert_eq!(kind(read(&remote, &world).await.1), expected, "{manners:?}");
        let error = remote.list(world.root, path(SHARDS), 2500).await.err();
        assert_eq!(kind(error), expected, "{manners:?}");
    }
}

#[tokio::test]
async fn a_request_that_waits_gets_its_answer_within_its_limit() {
    let world = World::new();
    let silent = Peer::start(&world, Manner::Silent).await;
    // Its time-out is longer than any test.
    let remote = remote([source_of(&silent)]).within(Duration::from_millis(100));
    let (root, file) = (world.root, path(FILE));
    assert_eq!(kind(remote.stat(root, file.clone()).await.err()), TimedOut);
    assert_eq!(kind(remote.read(root, file.clone(), 1 << 20).await.err()), TimedOut);
    assert_eq!(kind(remote.list(root, path(SHARDS), 2500).await.err()), TimedOut);
    assert_eq!(kind(remote.open(root, file, None).await.err()), TimedOut);
}

#[tokio::test]
async fn content_takes_its_time_once_it_is_known_to_exist() {
    let world = World::new();
    let gated = Peer::start(&world, Manner::Gated(LEAF)).await;
    let limit = Duration::from_secs(5);
    let file = open(&remote([source_of(&gated)]).within(limit), &world).await.unwrap();
    tokio::time::sleep(limit).await;
    gated.release();
    let (bytes, error) = drain(file.bytes).await;
    assert!(error.is_none() && bytes == world.content, "{error:?}");
}

#[tokio::test]
async fn the_blocks_of_these_tests_are_those_of_a_sound_archive() {
    let world = World::new();
    let blocks = world.walk(world.root, path(FILE), Scope::Entity(None));
    let mut reader = CarReader::new();
    reader.push(super::world::archive(&world.root, &blocks).into());
    let mut read = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        read.extend(match event {
            CarEvent::Block(block) => Some(block),
            CarEvent::Header { .. } => None,
        });
    }
    assert!(read == blocks);
}
