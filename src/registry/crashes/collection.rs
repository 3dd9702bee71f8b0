//! Collections, stopped between any two steps, and beside what may need the same content.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::index::Actor;
use crate::oci::CanonicalDigest;
use crate::registry::{Amount, Collected};

/// Where a collection can be stopped beside the steps of a commit.
const REMOVALS: [Step; 2] = [Step::Forgotten, Step::SetAside];

pub(super) async fn open_with(data: &Path, grace: Duration) -> Registry {
    let storage = open_embedded(data).unwrap();
    storage.repair().await.unwrap();
    let index =
        index::open(&format!("sqlite:{}", data.join("index.sqlite").display())).await.unwrap();
    let limits = Limits {
        new_visibility: Some(Visibility::Public),
        collection_grace: grace,
        root_grace: Duration::ZERO,
        ..Limits::default()
    };
    let registry = Registry::new(index, storage, limits);
    registry.recover().await.unwrap();
    registry.finish_visibility().await.unwrap();
    registry.finish_purges().await.unwrap();
    registry
}

/// Opens a registry in which nothing stays that nothing names.
pub(super) async fn open_without_grace(data: &Path) -> Registry {
    open_with(data, Duration::ZERO).await
}

pub(super) async fn collect(registry: &Registry) -> Result<Collected> {
    // Times of the index are in milliseconds, and what happened in the same one stays.
    tokio::time::sleep(Duration::from_millis(5)).await;
    Box::pin(registry.collect(Actor::default())).await
}

pub(super) async fn stored(registry: &Registry) -> BTreeSet<String> {
    let contents = registry.storage.contents().await.unwrap();
    contents.iter().map(ToString::to_string).collect()
}

pub(super) fn digests(contents: &[&[u8]]) -> BTreeSet<String> {
    contents.iter().map(|bytes| CanonicalDigest::of(bytes).to_string()).collect()
}

/// Returns how many files are left of what was set aside.
fn aside(data: &Path) -> usize {
    fs::read_dir(data.join("tmp/forgotten")).unwrap().count()
}

async fn has_blob(client: &Client, registry: &Registry, bytes: &[u8]) -> bool {
    let grant = client.0.pull(&Caller::anonymous(), client.1.clone()).await.unwrap();
    let digest = Digest::of(Algorithm::Sha256, bytes);
    let extent = crate::registry::Extent::Nothing;
    Box::pin(registry.repository(&grant).blob(&digest, extent)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stops_anywhere_takes_too_little_and_the_next_one_the_rest() {
    for stop in STEPS.into_iter().chain(REMOVALS).map(Some).chain([None]) {
        let (client, other) = (Client::new(), Client::of("other/app"));
        let folder = TempDir::new().unwrap();
        let registry = Box::pin(open_without_grace(folder.path())).await;
        for blob in [&b"base"[..], b"own", b"solo", b"stray"] {
            client.blob(&registry, blob).await;
        }
        for blob in [&b"base"[..], b"elsewhere"] {
            other.blob(&registry, blob).await;
        }
        let staying = layered(&[b"base", b"own"]);
        client.put(&registry, "stays", &staying).await.unwrap();
        let without = registry.root().await.unwrap();
        let going = layered(&[b"solo", b"base"]);
        client.put(&registry, "goes", &going).await.unwrap();
        client.delete(&registry, &digest_of(&going)).await.unwrap();
        let refused = manifest(Digest::of(Algorithm::Sha256, b"never pushed"), 12);
        client.put(&registry, "refused", &refused).await.unwrap_err();
        registry.root().await.unwrap();

        *registry.stop.lock().unwrap() = stop;
        let collected = collect(&registry).await;
        assert_eq!(collected.is_ok(), stop.is_none(), "{stop:?}: {collected:?}");
        drop(registry);
        let registry = Box::pin(open_without_grace(folder.path())).await;
        assert_whole(&registry).await;
        assert_eq!(client.get(&registry, "stays").await, Some(staying.clone()), "{stop:?}");
        let again = collect(&registry).await.unwrap();
        // A start goes on with what was about to be removed.
        let is_over = stop.is_none_or(|stop| REMOVALS.contains(&stop));
        assert_eq!(is_over, again.is_empty(), "{stop:?}: {again:?}");
        let left = digests(&[b"base", b"own", &staying]);
        assert_eq!(stored(&registry).await, left, "{stop:?}");
        assert_eq!(aside(folder.path()), 0, "{stop:?}");
        assert_eq!(registry.root().await.unwrap(), without, "{stop:?}");
        assert_whole(&registry).await;
        assert!(collect(&registry).await.unwrap().is_empty(), "{stop:?}: there is nothing left");

        // What went is pushed as if it had never been there.
        for blob in [&b"solo"[..], b"base"] {
            other.blob(&registry, blob).await;
        }
        other.put(&registry, "again", &going).await.unwrap();
        assert_eq!(other.get(&registry, "again").await, Some(going.clone()), "{stop:?}");
        collect(&registry).await.unwrap();
        assert_eq!(other.get(&registry, "again").await, Some(going), "{stop:?}");
        assert_whole(&registry).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_again_while_it_goes_stays() {
    for stop in STEPS.into_iter().chain(REMOVALS) {
        let (client, folder) = (Client::new(), TempDir::new().unwrap());
        let registry = open_without_grace(folder.path()).await;
        client.blob(&registry, b"layer").await;
        registry.stop_at(stop);
        collect(&registry).await.unwrap_err();
        *registry.stop.lock().unwrap() = None;
        // The same process goes on.
        client.blob(&registry, b"layer").await;
        let image = layered(&[b"layer"]);
        if client.put(&registry, "tag", &image).await.is_err() {
            // What waited took the blob, whose client had not learned of it since.
            client.blob(&registry, b"layer").await;
            client.put(&registry, "tag", &image).await.unwrap();
        }
        for _ in 0..2 {
            collect(&registry).await.unwrap();
            assert!(has_blob(&client, &registry, b"layer").await, "{stop:?}");
            assert_eq!(stored(&registry).await, digests(&[b"layer", &image]), "{stop:?}");
            assert_whole(&registry).await;
        }
        drop(registry);
        let registry = open_without_grace(folder.path()).await;
        assert!(has_blob(&client, &registry, b"layer").await, "{stop:?}");
        assert_whole(&registry).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_a_client_has_found_stays_for_the_grace() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open_with(folder.path(), Duration::from_hours(24)).await;
    for blob in [&b"found"[..], b"forgotten", b"mounted"] {
        client.blob(&registry, blob).await;
    }
    assert!(collect(&registry).await.unwrap().is_empty(), "all of it is young");
    registry.index.age_unreferenced(100_000_000).await.unwrap();
    assert!(has_blob(&client, &registry, b"found").await);
    let mounting = Client::of("other/app").push().await;
    let from = client.0.pull(&Caller::anonymous(), client.1.clone()).await.unwrap();
    let digest = Digest::of(Algorithm::Sha256, b"mounted");
    assert!(registry.mount_blob(&mounting, &from, &digest).await.unwrap().is_some());
    let collected = collect(&registry).await.unwrap();
    assert_eq!(collected.links, 2, "{collected:?}");
    assert_eq!(collected.blobs, Amount { count: 1, bytes: 9 });
    assert_eq!(collected.retained[0].reason, "grace");
    assert_eq!(collected.retained[0].amount, Amount { count: 2, bytes: 12 });
    assert_eq!(stored(&registry).await, digests(&[b"found", b"mounted"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_manifest_names_stays() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open_with(folder.path(), Duration::ZERO).await;
    for blob in [&b"config"[..], b"foreign", b"cached layer", b"subject only"] {
        client.blob(&registry, blob).await;
    }
    let descriptor = |media_type: &str, bytes: &[u8]| {
        let (digest, size) = (Digest::of(Algorithm::Sha256, bytes), bytes.len());
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    };
    // A layer that need not be here, and is; its media type is written with an escape.
    let foreign =
        descriptor("application/vnd.docker.image.rootfs.\\u0066oreign.diff.tar", b"foreign");
    let config = descriptor("application/json", b"config");
    let windows: Bytes =
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{foreign}]}}"#).into();
    client.put(&registry, "windows", &windows).await.unwrap();
    // A build cache of the older form is an index of layers.
    let layer = descriptor("application/vnd.oci.image.layer.v1.tar", b"cached layer");
    let cache: Bytes = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{layer}]}}"#
    )
    .into();
    client.put(&registry, "cache", &cache).await.unwrap();
    // Without a tag.
    let untagged = layered(&[b"config"]);
    client.put(&registry, &digest_of(&untagged), &untagged).await.unwrap();
    let planned = registry.plan_collection().await.unwrap();
    let collected = collect(&registry).await.unwrap();
    assert_eq!((planned.links, planned.blobs), (collected.links, collected.blobs));
    assert_eq!(collected.links, 1, "{collected:?}");
    let left = digests(&[b"config", b"foreign", b"cached layer", &windows, &cache, &untagged]);
    assert_eq!(stored(&registry).await, left);
    for blob in [&b"config"[..], b"foreign", b"cached layer"] {
        assert!(has_blob(&client, &registry, blob).await);
    }
    assert_whole(&registry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open_without_grace(folder.path()).await;
    client.blob(&registry, b"stray").await;
    let image = client.image(&registry, b"gone").await;
    client.put(&registry, "tag", &image).await.unwrap();
    client.delete(&registry, &digest_of(&image)).await.unwrap();
    registry.root().await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let file = folder.path().join("index.sqlite");
    let wal = folder.path().join("index.sqlite-wal");
    let before = (fs::read(&file).unwrap(), fs::read(&wal).unwrap(), stored(&registry).await);
    let planned = registry.plan_collection().await.unwrap();
    assert!(planned.dry_run);
    assert!((fs::read(&file).unwrap(), fs::read(&wal).unwrap(), stored(&registry).await) == before);
    let collected = collect(&registry).await.unwrap();
    assert_eq!((planned.links, planned.manifests), (collected.links, collected.manifests));
    assert_eq!(planned.blobs, collected.blobs);
    assert_eq!(collected.blobs, Amount { count: 2, bytes: 9 });
    assert!(stored(&registry).await.is_empty());
    let (_, last) = registry.last_collection().await.unwrap().unwrap();
    assert_eq!(last, collected);
    let events = registry.index.events_after(0, 1000).await.unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| &*event.change.kind).collect();
    assert_eq!(kinds[kinds.len() - 4..], ["push", "delete", "collect", "collect"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_root_has_stays_while_that_is_served() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open_without_grace(folder.path()).await;
    let limits = Limits { root_grace: Duration::from_hours(1), ..(*registry.limits).clone() };
    let registry = Registry { limits: limits.into(), ..registry };
    let image = client.image(&registry, b"config").await;
    client.put(&registry, "tag", &image).await.unwrap();
    registry.root().await.unwrap();
    client.delete(&registry, &digest_of(&image)).await.unwrap();
    let collected = collect(&registry).await.unwrap();
    assert_eq!((collected.links, collected.blobs.count, collected.manifests.count), (1, 0, 0));
    assert_eq!(collected.retained[0].reason, "roots");
    assert_eq!(collected.retained[0].amount.count, 2);
    let leaf = crate::ipld::raw_cid(CanonicalDigest::of(b"config").0);
    assert!(registry.public_block(&leaf).await.unwrap().is_some(), "it is served still");
    let limits = Limits { root_grace: Duration::ZERO, ..(*registry.limits).clone() };
    let registry = Registry { limits: limits.into(), ..registry };
    let collected = collect(&registry).await.unwrap();
    assert_eq!((collected.blobs.count, collected.manifests.count), (1, 1));
    assert!(stored(&registry).await.is_empty());
    assert_whole(&registry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_in_no_index_goes_and_expired_uploads_do() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open_without_grace(folder.path()).await;
    let image = client.image(&registry, b"config").await;
    client.put(&registry, "tag", &image).await.unwrap();
    client.blob(&registry, b"never named").await;
    // It forgets what no manifest names, as a crash may.
    registry.rebuild_index(&Silent).await.unwrap();
    let limits = Limits { upload_expiry: Duration::ZERO, ..(*registry.limits).clone() };
    let registry = Registry { limits: limits.into(), ..registry };
    let grant = client.push().await;
    let id = registry.begin_upload(&grant).await.unwrap();
    let mut upload = registry.claim_upload(&grant, &id, None).await.unwrap();
    upload.append(Bytes::from_static(b"half")).await.unwrap();
    upload.save().await.unwrap();
    let collected = collect(&registry).await.unwrap();
    assert_eq!((collected.leaks, collected.uploads), (1, 1), "{collected:?}");
    assert_eq!(stored(&registry).await, digests(&[b"config", &image]));
    assert_eq!(fs::read_dir(folder.path().join("tmp/uploads")).unwrap().count(), 0);
    assert_whole(&registry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_joins_the_first() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open_without_grace(folder.path()).await;
    client.blob(&registry, b"stray").await;
    let lease = registry.index.begin_collecting().await.unwrap().unwrap();
    let (one, two) = (registry.clone(), registry.clone());
    let one = tokio::spawn(async move { collect(&one).await });
    let two = tokio::spawn(async move { collect(&two).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!one.is_finished() && !two.is_finished(), "another process collects");
    lease.end().await.unwrap();
    let (one, two) = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());
    assert_eq!(one, two);
    assert_eq!(one.blobs.count, 1);
}

/// Numbers that are the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// What a repository has, as the test remembers it.
#[derive(Default)]
struct Model {
    blobs: BTreeSet<usize>,
    /// By tag: which layers.
    images: BTreeMap<String, Vec<usize>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_leave_what_the_model_says() {
    const BLOBS: [&[u8]; 8] =
        [b"zero", b"one", b"two", b"three", b"four", b"five", b"six", b"seven"];

    let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("TEST_SEED={seed}");
    let mut numbers = Numbers(seed);
    let folder = TempDir::new().unwrap();
    let mut registry = open_without_grace(folder.path()).await;
    let clients = ["team/one", "team/two", "other"].map(Client::of);
    let mut models = [Model::default(), Model::default(), Model::default()];
    for step in 0..160 {
        let which = numbers.below(3);
        let (client, model) = (&clients[which], &mut models[which]);
        match numbers.below(10) {
            0..=2 => {
                let number = numbers.below(BLOBS.len());
                client.blob(&registry, BLOBS[number]).await;
                model.blobs.insert(number);
            }
            3..=5 if !model.blobs.is_empty() => {
                let known: Vec<usize> = model.blobs.iter().copied().collect();
                let count = 1 + numbers.below(3);
                let layers: Vec<usize> =
                    (0..count).map(|_| known[numbers.below(known.len())]).collect();
                let bytes: Vec<&[u8]> = layers.iter().map(|number| BLOBS[*number]).collect();
                let tag = format!("v{}", numbers.below(3));
                client.put(&registry, &tag, &layered(&bytes)).await.unwrap();
                // The image that the tag pointed to stays without a tag.
                let before = model.images.insert(tag, layers);
                if let Some(before) = before {
                    model.images.insert(format!("untagged-{step}"), before);
                }
            }
            6 => {
                // By its digest: with all its tags, and its earlier ones.
                let Some(tag) = model.images.keys().nth(numbers.below(4)).cloned() else {
                    continue;
                };
                let layers = model.images[&tag].clone();
                let bytes: Vec<&[u8]> = layers.iter().map(|number| BLOBS[*number]).collect();
                client.delete(&registry, &digest_of(&layered(&bytes))).await.unwrap();
                model.images.retain(|_, other| *other != layers);
            }
            7 => {
                let number = numbers.below(BLOBS.len());
                let digest = Digest::of(Algorithm::Sha256, BLOBS[number]);
                let is_named = model.images.values().flatten().any(|layer| *layer == number);
                let deleted = client.delete_blob(&registry, &digest).await;
                assert_eq!(deleted.is_ok(), model.blobs.contains(&number) && !is_named);
                if deleted.is_ok() {
                    model.blobs.remove(&number);
                }
            }
            8 => {
                let from = numbers.below(3);
                let number = numbers.below(BLOBS.len());
                let digest = Digest::of(Algorithm::Sha256, BLOBS[number]);
                let source = &clients[from];
                let source = source.0.pull(&Caller::anonymous(), source.1.clone()).await.unwrap();
                let grant = client.push().await;
                let mounted = registry.mount_blob(&grant, &source, &digest).await.unwrap();
                assert_eq!(mounted.is_some(), models[from].blobs.contains(&number));
                if mounted.is_some() {
                    models[which].blobs.insert(number);
                }
            }
            _ => {
                collect(&registry).await.unwrap();
                let mut left = BTreeSet::new();
                for model in &mut models {
                    let named: BTreeSet<usize> = model.images.values().flatten().copied().collect();
                    model.blobs = named.clone();
                    left.extend(named.iter().map(|it| CanonicalDigest::of(BLOBS[*it]).to_string()));
                    for layers in model.images.values() {
                        let bytes: Vec<&[u8]> = layers.iter().map(|it| BLOBS[*it]).collect();
                        left.insert(digest_of(&layered(&bytes)));
                    }
                }
                assert_eq!(stored(&registry).await, left, "seed {seed}, step {step}");
                if numbers.below(4) == 0 {
                    assert_whole(&registry).await;
                    drop(registry);
                    registry = open_without_grace(folder.path()).await;
                }
            }
        }
    }
    for (client, model) in clients.iter().zip(&models) {
        for (number, blob) in BLOBS.iter().enumerate() {
            let is_there = has_blob(client, &registry, blob).await;
            assert_eq!(is_there, model.blobs.contains(&number), "seed {seed}");
        }
    }
    assert_whole(&registry).await;
}
