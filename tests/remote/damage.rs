//! Files of the cache that were damaged on the disk: none is told under its digest.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use roadstead::oci::CanonicalDigest;
use roadstead::remote::{Cache, RemoteErrorKind, read_cached};
use tempfile::TempDir;

use super::cache::{PLENTY, cached_bytes, fetch};
use super::peer::Peer;
use super::world::World;
use super::{drain, kind, noise, remote, source_of};

fn cached_path(folder: &Path, digest: &CanonicalDigest) -> PathBuf {
    let hex = digest.hex();
    folder.join("sha256").join(&hex[..2]).join(hex)
}

/// Damages one byte, as a disk does: neither length nor time tell.
fn rot(path: &Path) {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    scribble(path);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Damages one byte, as a program does.
fn scribble(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

async fn assert_not_served(length: usize, damage: fn(&Path), is_restarted: bool) {
    let (world, folder) = (World::of(noise(length, 3)), TempDir::new().unwrap());
    let digest = world.digest();
    let mut cache = Cache::open(folder.path(), PLENTY).unwrap();
    let peer = Peer::good(&world).await;
    let remote = remote([source_of(&peer)]);
    let fetched = fetch(&cache, &remote, &world).await.unwrap();
    fetched.whole(Duration::from_mins(1)).await.unwrap();
    assert!(cached_bytes(&cache, &digest).await.unwrap() == world.content);

    damage(&cached_path(folder.path(), &digest));
    if is_restarted {
        cache = Cache::open(folder.path(), PLENTY).unwrap();
    }
    if let Some(cached) = cache.find(&digest).await {
        // Of a long one, whoever was told that it is there gets an error, and no byte.
        assert!(length > 1 << 20, "a small one is looked at at once");
        let (bytes, error) = drain(read_cached(cached.file, 0..cached.size)).await;
        assert!(bytes.is_empty());
        assert_eq!(kind(error), RemoteErrorKind::Failed);
    }
    assert!(cache.find(&digest).await.is_none());
    assert!(!cached_path(folder.path(), &digest).exists());

    let fetched = fetch(&cache, &remote, &world).await.unwrap();
    fetched.whole(Duration::from_mins(1)).await.unwrap();
    assert!(cached_bytes(&cache, &digest).await.unwrap() == world.content);
    assert_eq!(peer.requests().len(), 2);
}

#[tokio::test]
async fn a_file_that_was_written_to() {
    assert_not_served(5000, scribble, false).await;
    assert_not_served(2_000_000, scribble, false).await;
}

#[tokio::test]
async fn a_file_that_was_cut() {
    assert_not_served(5000, truncate, false).await;
    assert_not_served(2_000_000, truncate, false).await;
    assert_not_served(2_000_000, truncate, true).await;
}

#[tokio::test]
async fn a_file_that_was_damaged_while_no_server_ran() {
    assert_not_served(5000, rot, true).await;
    assert_not_served(2_000_000, rot, true).await;
}

#[tokio::test]
async fn a_sound_file_is_served_after_a_restart() {
    for length in [0, 5000, 2_000_000] {
        let (world, folder) = (World::of(noise(length, 3)), TempDir::new().unwrap());
        let cache = Cache::open(folder.path(), PLENTY).unwrap();
        let peer = Peer::good(&world).await;
        let fetched = fetch(&cache, &remote([source_of(&peer)]), &world).await.unwrap();
        fetched.whole(Duration::from_mins(1)).await.unwrap();
        cache.note("name", &world.digest()).unwrap();
        let cache = Cache::open(folder.path(), PLENTY).unwrap();
        assert!(cache.knows("name", &world.digest()));
        let digest = world.digest();
        let (one, other) =
            tokio::join!(cached_bytes(&cache, &digest), cached_bytes(&cache, &digest));
        assert!(one.unwrap() == world.content && other.unwrap() == world.content);
    }
}
