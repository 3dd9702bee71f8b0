//! What was fetched is kept, once, within a budget, and only when it is what its digest says.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roadstead::oci::CanonicalDigest;
use roadstead::remote::{Cache, Fetch, Remote, RemoteError, RemoteErrorKind, read_cached};
use tempfile::TempDir;

use super::peer::{Manner, Peer};
use super::world::{BEFORE, LEAF, World};
use super::{drain, kind, noise, open, remote, source_of, source_with_short_timeouts, until};

/// More than anything here takes.
pub(crate) const PLENTY: u64 = 1 << 30;

pub(crate) async fn fetch(
    cache: &Arc<Cache>,
    remote: &Remote,
    world: &World,
) -> Result<Arc<Fetch>, RemoteError> {
    cache.fetch(world.root, world.digest(), open(remote, world)).await
}

/// Fetches, and reads all of it.
async fn fetch_all(cache: &Arc<Cache>, world: &World) {
    let peer = Peer::good(world).await;
    let fetch = fetch(cache, &remote([source_of(&peer)]), world).await.unwrap();
    let (bytes, error) = drain(fetch.read(0..fetch.size)).await;
    assert!(error.is_none() && bytes == world.content, "{error:?}");
}

/// Reads what is kept; none if nothing is.
pub(crate) async fn cached_bytes(cache: &Arc<Cache>, digest: &CanonicalDigest) -> Option<Vec<u8>> {
    let cached = cache.find(digest).await?;
    let (bytes, error) = drain(read_cached(cached.file, 0..cached.size)).await;
    assert!(error.is_none(), "{error:?}");
    Some(bytes)
}

fn temporaries(folder: &Path) -> usize {
    fs::read_dir(folder.join("tmp")).unwrap().count()
}

fn small(seed: u64) -> World {
    World::of(noise(100_000, seed))
}

#[tokio::test]
async fn two_who_ask_at_once_fetch_once() {
    let (world, folder) = (World::new(), TempDir::new().unwrap());
    let cache = Cache::open(folder.path(), PLENTY).unwrap();
    let peer = Peer::start(&world, Manner::Slow(Duration::from_millis(100))).await;
    let remote = remote([source_of(&peer)]);
    let (one, other) = tokio::join!(fetch(&cache, &remote, &world), fetch(&cache, &remote, &world));
    let (one, other) = (one.unwrap(), other.unwrap());
    let size = world.content.len() as u64;
    let (one, other) = tokio::join!(drain(one.read(0..size)), drain(other.read(5..size)));
    assert!(one.0 == world.content && other.0 == world.content[5..]);
    assert!(one.1.is_none() && other.1.is_none());
    assert_eq!(peer.requests().len(), 1);
    assert!(cached_bytes(&cache, &world.digest()).await.unwrap() == world.content);
    assert_eq!(temporaries(folder.path()), 0);
}

#[tokio::test]
async fn all_waiters_for_a_silent_source_fail_at_once_and_later_ones_try_again() {
    let (world, folder) = (World::new(), TempDir::new().unwrap());
    let cache = Cache::open(folder.path(), PLENTY).unwrap();
    let peer = Peer::start(&world, Manner::Silent).await;
    let remote = remote([source_with_short_timeouts(&peer)]);
    let ask = async || fetch(&cache, &remote, &world).await.err();
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    for error in [one, two, three] {
        assert_eq!(kind(error), RemoteErrorKind::TimedOut);
    }
    assert_eq!(peer.requests().len(), 1);
    fetch_all(&cache, &world).await;
}

#[tokio::test]
async fn a_waiter_goes_on_when_the_first_reader_leaves() {
    let (world, folder) = (World::new(), TempDir::new().unwrap());
    let cache = Cache::open(folder.path(), PLENTY).unwrap();
    let silent = Peer::start(&world, Manner::Silent).await;
    let (began, wait) = (cache.clone(), remote([source_of(&silent)]));
    let others = world.clone();
    let first = tokio::spawn(async move { fetch(&began, &wait, &others).await.is_ok() });
    until(async || !silent.requests().is_empty()).await;
    let mut second = Box::pin(fetch_all(&cache, &world));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut second).await.is_err());
    first.abort();
    second.await;
}

#[tokio::test]
async fn what_is_slow_below_one_root_does_not_hold_up_the_same_content_below_another() {
    let (world, folder) = (World::new(), TempDir::new().unwrap());
    let cache = Cache::open(folder.path(), PLENTY).unwrap();
    let stalled = Peer::start(&world, Manner::Gated(1000)).await;
    let good = Peer::good(&world).await;
    let (stalled, good) = (remote([source_of(&stalled)]), remote([source_of(&good)]));
    let one = cache.fetch(world.file, world.digest(), open(&stalled, &world)).await.unwrap();
    let other = cache.fetch(world.root, world.digest(), open(&good, &world)).await.unwrap();
    other.whole(Duration::from_mins(1)).await.unwrap();
    assert_eq!(kind(one.whole(Duration::ZERO).await.err()), RemoteErrorKind::TimedOut);
    assert!(cached_bytes(&cache, &world.digest()).await.unwrap() == world.content);
}

#[tokio::test]
async fn a_fetch_that_is_nearly_whole_goes_on_when_its_last_client_has_gone() {
    let (world, folder) = (World::new(), TempDir::new().unwrap());
    let cache = Cache::open(folder.path(), PLENTY).unwrap();
    let peer = Peer::start(&world, Manner::Gated(world.content.len() - LEAF / 2)).await;
    let fetched = fetch(&cache, &remote([source_of(&peer)]), &world).await.unwrap();
    let first = drain(fetched.read(0..1000)).await;
    assert!(first.0 == world.content[..1000]);
    assert_eq!(
        kind(fetched.whole(Duration::from_millis(20)).await.err()),
        RemoteErrorKind::TimedOut
    );
    assert!(cache.find(&world.digest()).await.is_none(), "half of it is kept");
    drop(fetched);
    tokio::time::sleep(Duration::from_secs(2)).await;
    peer.release();
    until(async || cache.find(&world.digest()).await.is_some()).await;
    assert!(cached_bytes(&cache, &world.digest()).await.unwrap() == world.content);
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn a_fetch_ends_when_its_last_client_has_gone() {
    let (world, folder) = (World::new(), TempDir::new().unwrap());
    let cache = Cache::open(folder.path(), PLENTY).unwrap();
    let peer = Peer::start(&world, Manner::Gated(LEAF + LEAF / 2)).await;
    let fetched = fetch(&cache, &remote([source_of(&peer)]), &world).await.unwrap();
    let reading = fetched.read(0..fetched.size);
    drop(fetched);
    // The one that reads is a client too.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((temporaries(folder.path()), peer.ended()), (1, 0));
    drop(reading);
    until(async || temporaries(folder.path()) == 0).await;
    peer.release();
    until(async || peer.ended() == 1).await;
    assert!(peer.sent() < world.content.len());
    assert!(cache.find(&world.digest()).await.is_none());
    fetch_all(&cache, &world).await;
}

#[tokio::test]
async fn a_transfer_that_takes_all_of_the_room_ends_when_one_from_below_another_root_needs_some() {
    let (world, folder) = (World::new(), TempDir::new().unwrap());
    let cache = Cache::open(folder.path(), world.content.len() as u64).unwrap();
    let stalled = Peer::start(&world, Manner::Gated(world.content.len() - LEAF / 2)).await;
    let large = fetch(&cache, &remote([source_of(&stalled)]), &world).await.unwrap();
    let first = drain(large.read(0..1000)).await;
    assert!(first.0 == world.content[..1000]);
    // There is room for this one before a client is told anything.
    fetch_all(&cache, &small(1)).await;
    let ended = large.whole(Duration::from_mins(1)).await;
    assert_eq!(kind(ended.err()), RemoteErrorKind::Busy);
    until(async || temporaries(folder.path()) == 0).await;
}

#[tokio::test]
async fn what_there_is_no_room_for_is_refused_before_any_of_it_comes() {
    let (world, folder) = (World::new(), TempDir::new().unwrap());
    let cache = Cache::open(folder.path(), world.content.len() as u64).unwrap();
    let stalled = Peer::start(&world, Manner::Gated(LEAF)).await;
    let _large = fetch(&cache, &remote([source_of(&stalled)]), &world).await.unwrap();
    // Below the same root nothing makes room.
    let (another, peer) = (small(1), Peer::good(&small(1)).await);
    let remote = remote([source_of(&peer)]);
    let refused = cache.fetch(world.root, another.digest(), open(&remote, &another)).await;
    assert_eq!(kind(refused.err()), RemoteErrorKind::Busy);
    assert_eq!(temporaries(folder.path()), 1);
}

#[tokio::test]
async fn content_with_another_digest_below_a_sound_root_is_neither_served_whole_nor_cached() {
    let (world, folder) = (World::new(), TempDir::new().unwrap());
    let cache = Cache::open(folder.path(), PLENTY).unwrap();
    let peer = Peer::good(&world).await;
    let remote = remote([source_of(&peer)]);
    let digest = CanonicalDigest::of(b"something else");
    for count in 1..=2 {
        let fetch = cache.fetch(world.root, digest, open(&remote, &world)).await.unwrap();
        cache.note("name", &digest).unwrap();
        let (bytes, error) = drain(fetch.read(0..fetch.size)).await;
        assert_eq!(kind(error), RemoteErrorKind::Invalid);
        assert!(bytes.len() < world.content.len() && world.content.starts_with(&bytes));
        let last = fetch.size - 1;
        let (bytes, error) = drain(fetch.read(last..last + 1)).await;
        assert!(bytes.is_empty() && error.is_some());
        assert!(cache.find(&digest).await.is_none() && cache.find(&world.digest()).await.is_none());
        assert!(!cache.knows("name", &digest));
        assert_eq!((peer.requests().len(), temporaries(folder.path())), (count, 0));
    }
    // What is short is not told at all.
    let world = small(1);
    let peer = Peer::good(&World::of(world.content.slice(..60_000))).await;
    let short = World::of(world.content.slice(..60_000));
    let remote = super::remote([source_of(&peer)]);
    let fetch = cache.fetch(short.root, digest, open(&remote, &short)).await.unwrap();
    assert!(drain(fetch.read(0..fetch.size)).await.0.is_empty());
}

#[tokio::test]
async fn an_interrupted_transfer_is_an_error_and_not_cached() {
    let (world, folder) = (World::new(), TempDir::new().unwrap());
    let cache = Cache::open(folder.path(), PLENTY).unwrap();
    let peer = Peer::start(&world, Manner::Wrong(BEFORE.cast_signed() + 2)).await;
    let fetched = fetch(&cache, &remote([source_of(&peer)]), &world).await.unwrap();
    let (bytes, error) = drain(fetched.read(0..fetched.size)).await;
    assert_eq!(kind(error), RemoteErrorKind::Invalid);
    assert!(bytes.len() < world.content.len() && world.content.starts_with(&bytes));
    assert_eq!(temporaries(folder.path()), 0);
    fetch_all(&cache, &world).await;
}

#[tokio::test]
async fn what_was_used_longest_ago_goes_first() {
    let folder = TempDir::new().unwrap();
    let cache = Cache::open(folder.path(), 250_000).unwrap();
    let worlds = [small(1), small(2), small(3)];
    for world in &worlds[..2] {
        fetch_all(&cache, world).await;
        cache.note("name", &world.digest()).unwrap();
        assert!(cache.knows("name", &world.digest()) && !cache.knows("other", &world.digest()));
    }
    assert!(cached_bytes(&cache, &worlds[0].digest()).await.is_some());
    fetch_all(&cache, &worlds[2]).await;
    for (world, stays) in worlds.iter().zip([true, false, true]) {
        assert_eq!(cached_bytes(&cache, &world.digest()).await.is_some(), stays);
    }
    assert!(cache.knows("name", &worlds[0].digest()));
    assert!(!cache.knows("name", &worlds[1].digest()), "that is told while it is kept");

    // A smaller budget holds from the start.
    drop(cache);
    let cache = Cache::open(folder.path(), 150_000).unwrap();
    let mut left = 0;
    for world in &worlds {
        left += usize::from(cache.find(&world.digest()).await.is_some());
    }
    assert_eq!(left, 1);
}

#[tokio::test]
async fn a_file_of_nearly_the_whole_quota_is_cached_alone() {
    let folder = TempDir::new().unwrap();
    let cache = Cache::open(folder.path(), 100_000).unwrap();
    let first = World::of(noise(20_000, 9));
    fetch_all(&cache, &first).await;
    fetch_all(&cache, &small(1)).await;
    assert!(cached_bytes(&cache, &small(1).digest()).await.is_some());
    assert!(cached_bytes(&cache, &first.digest()).await.is_none());
}

#[tokio::test]
async fn what_exceeds_the_budget_is_refused() {
    let folder = TempDir::new().unwrap();
    let cache = Cache::open(folder.path(), 99_999).unwrap();
    let peer = Peer::good(&small(1)).await;
    let refused = fetch(&cache, &remote([source_of(&peer)]), &small(1)).await;
    assert_eq!(kind(refused.err()), RemoteErrorKind::Full);
    assert_eq!(temporaries(folder.path()), 0);
    cache.note("name", &small(1).digest()).unwrap();
    assert!(!cache.knows("name", &small(1).digest()));
}

#[tokio::test]
async fn what_a_crash_left_on_its_way_is_removed() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("tmp")).unwrap();
    fs::write(folder.path().join("tmp/0"), "half").unwrap();
    let cache = Cache::open(folder.path(), PLENTY).unwrap();
    assert_eq!(temporaries(folder.path()), 0);
    fetch_all(&cache, &World::of(Bytes::new())).await;
}
