//! Counting and evicting what is in the cache, while it goes on serving.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use roadstead::oci::CanonicalDigest;
use roadstead::remote::{Cache, CacheLimits};
use tempfile::TempDir;

use super::cache::cached_bytes;
use super::peer::Peer;
use super::world::World;
use super::{noise, open, remote, source_of, until};

/// Longer than anything takes that does not wait for files to be counted or removed.
const FAULT: Duration = Duration::from_secs(5);

/// The content of the file of that number.
fn content(number: usize) -> Vec<u8> {
    format!("small file {number}").into_bytes()
}

fn path(folder: &Path, digest: &CanonicalDigest) -> PathBuf {
    let hex = digest.hex();
    folder.join("sha256").join(&hex[..2]).join(hex)
}

/// Fills a cache that nobody has open; each file was used a second after the one before it.
fn fill(folder: &Path, files: usize) -> Vec<CanonicalDigest> {
    let first = SystemTime::now() - Duration::from_secs(files as u64 + 3600);
    let mut digests = Vec::new();
    for number in 0..files {
        let digest = CanonicalDigest::of(&content(number));
        let path = path(folder, &digest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content(number)).unwrap();
        let used = first + Duration::from_secs(number as u64);
        File::open(&path).unwrap().set_modified(used).unwrap();
        digests.push(digest);
    }
    digests
}

fn file_count(folder: &Path) -> usize {
    let shards = fs::read_dir(folder.join("sha256")).unwrap();
    shards.map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}

/// Runs beside others on the one worker of a test, and notes how long it could not.
fn watch_the_worker() -> Arc<AtomicU64> {
    let longest = Arc::new(AtomicU64::new(0));
    let noted = Arc::clone(&longest);
    tokio::spawn(async move {
        loop {
            let begun = Instant::now();
            tokio::time::sleep(Duration::from_millis(1)).await;
            let took = u64::try_from(begun.elapsed().as_millis()).unwrap();
            noted.fetch_max(took, Ordering::Relaxed);
        }
    });
    longest
}

fn assert_never_blocked(longest: &AtomicU64) {
    let longest = Duration::from_millis(longest.load(Ordering::Relaxed));
    assert!(longest < FAULT, "the worker stood still for {longest:?}");
}

#[tokio::test]
async fn many_files_are_evicted_oldest_first_while_others_are_found() {
    let folder = TempDir::new().unwrap();
    let digests = fill(folder.path(), 20_000);
    let longest = watch_the_worker();
    let limits = CacheLimits { files: 5000, ..CacheLimits::bytes(1 << 40) };
    let cache = Cache::open_within(folder.path(), limits).unwrap();
    let found = AtomicU64::new(0);
    until(async || {
        // The newest are found all the time.
        let begun = Instant::now();
        assert!(cache.find(digests.last().unwrap()).await.is_some());
        assert!(begun.elapsed() < FAULT);
        found.fetch_add(1, Ordering::Relaxed);
        file_count(folder.path()) <= 4500
    })
    .await;
    assert_never_blocked(&longest);
    assert!(found.into_inner() > 0);
    let (old, new) = digests.split_at(15_500);
    assert!(old.iter().all(|digest| !path(folder.path(), digest).exists()));
    assert!(new.iter().all(|digest| path(folder.path(), digest).exists()));
    assert_eq!(cache.totals().1, 4500);
}

#[tokio::test]
async fn small_files_count_what_they_take_on_the_disk() {
    let folder = TempDir::new().unwrap();
    let digests = fill(folder.path(), 300);
    // By their lengths they would take some 5 KB.
    let cache = Cache::open(folder.path(), 200 * 8192).unwrap();
    until(async || file_count(folder.path()) <= 180).await;
    assert!(cache.find(&digests[299]).await.is_some() && cache.find(&digests[0]).await.is_none());
    until(async || cache.totals() == (180 * 8192, 180)).await;
}

/// Fetches content as of a root of that name.
async fn fetch_for(cache: &Arc<Cache>, name: &str, world: &World) {
    let peer = Peer::good(world).await;
    let remote = remote([source_of(&peer)]);
    let opening = open(&remote, world);
    let fetch = cache.fetch_for(name, world.root, world.digest(), opening).await.unwrap();
    fetch.whole(Duration::from_mins(1)).await.unwrap();
}

#[tokio::test]
async fn one_root_that_fills_its_part_of_the_cache_evicts_its_own_content_alone() {
    let folder = TempDir::new().unwrap();
    let limits = CacheLimits { root_bytes: 350_000, ..CacheLimits::bytes(1 << 30) };
    let mut cache = Cache::open_within(folder.path(), limits).unwrap();
    let world = |seed| World::of(noise(100_000, seed));
    fetch_for(&cache, "good.example", &world(1)).await;
    for seed in 2..6 {
        fetch_for(&cache, "greedy.example", &world(seed)).await;
        if seed == 3 {
            // It is known also after a restart.
            drop(cache);
            cache = Cache::open_within(folder.path(), limits).unwrap();
        }
    }
    until(async || !path(folder.path(), &world(2).digest()).exists()).await;
    assert!(cached_bytes(&cache, &world(1).digest()).await.is_some(), "it is another root's");
    assert!(cached_bytes(&cache, &world(5).digest()).await.is_some(), "it is the newest");
}

#[tokio::test]
async fn what_is_discarded_at_the_start_is_removed_in_the_background() {
    let folder = TempDir::new().unwrap();
    for name in ["tmp", "discarded-1-0"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("half"), "half").unwrap();
    }
    let _cache = Cache::open(folder.path(), 1 << 30).unwrap();
    assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    until(async || {
        let names = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name());
        names.into_iter().all(|name| !name.to_string_lossy().starts_with("discarded-"))
    })
    .await;
}
