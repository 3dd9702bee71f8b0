//! Purges that stop between any two steps.

use super::*;
use crate::ipld::raw_cid;
use crate::oci::CanonicalDigest;

fn cid(bytes: &[u8]) -> cid::Cid {
    raw_cid(CanonicalDigest::of(bytes).0)
}

async fn purge(registry: &Registry, image: &Bytes) -> Result<()> {
    let digest = digest_of(image).parse().unwrap();
    registry.purge(&"team/app".parse().unwrap(), &digest).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_was_stopped_anywhere_is_carried_to_its_end() {
    for stop in STEPS.into_iter().map(Some).chain([None]) {
        let (client, folder) = (Client::new(), TempDir::new().unwrap());
        let registry = open(folder.path()).await;
        for blob in [&b"secret"[..], b"base"] {
            client.blob(&registry, blob).await;
        }
        let staying = layered(&[b"base"]);
        client.put(&registry, "base", &staying).await.unwrap();
        let without = registry.root().await.unwrap();
        let oops = layered(&[b"secret", b"base"]);
        client.put(&registry, "oops", &oops).await.unwrap();
        let with = registry.root().await.unwrap();
        *registry.stop.lock().unwrap() = stop;
        let purged = purge(&registry, &oops).await;
        assert_eq!(purged.is_ok(), stop.is_none(), "{stop:?}");
        drop(registry);

        let registry = open(folder.path()).await;
        for bytes in [&b"secret"[..], &oops] {
            let canonical = CanonicalDigest::of(bytes);
            let public = registry.public_block(&cid(bytes)).await.unwrap();
            assert!(public.is_none(), "{stop:?}");
            let stored = registry.storage.contents().await.unwrap();
            assert!(!stored.contains(&canonical), "{stop:?}");
        }
        for bytes in [&b"base"[..], &staying] {
            assert!(registry.public_block(&cid(bytes)).await.unwrap().is_some(), "{stop:?}");
        }
        assert!(registry.public_block(&with).await.unwrap().is_some(), "{stop:?}");
        assert_eq!(registry.root().await.unwrap(), without, "{stop:?}");
        assert_eq!(client.get(&registry, "oops").await, None, "{stop:?}");
        assert_whole(&registry).await;
        // Pushed again on purpose, it is there as before.
        client.blob(&registry, b"secret").await;
        client.put(&registry, "oops", &oops).await.unwrap();
        assert_eq!(registry.root().await.unwrap(), with, "{stop:?}");
        assert!(registry.public_block(&cid(b"secret")).await.unwrap().is_some(), "{stop:?}");
        assert_whole(&registry).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_the_same_after_a_purge_that_stopped_is_whole() {
    for step in [Step::Enqueued, Step::Checked, Step::HalfApplied, Step::Applied] {
        let (client, folder) = (Client::new(), TempDir::new().unwrap());
        let registry = open(folder.path()).await;
        client.blob(&registry, b"secret").await;
        let image = layered(&[b"secret"]);
        client.put(&registry, "tag", &image).await.unwrap();
        let before = registry.root().await.unwrap();
        registry.stop_at(step);
        purge(&registry, &image).await.unwrap_err();
        *registry.stop.lock().unwrap() = None;
        // The repository may have the blob no more by then.
        client.blob(&registry, b"secret").await;
        if client.put(&registry, "tag", &image).await.is_err() {
            client.blob(&registry, b"secret").await;
            client.put(&registry, "tag", &image).await.unwrap();
        }
        drop(registry);
        let registry = open(folder.path()).await;
        assert_eq!(registry.root().await.unwrap(), before, "{step:?}");
        assert!(registry.public_block(&cid(b"secret")).await.unwrap().is_some(), "{step:?}");
        assert_whole(&registry).await;
        purge(&registry, &image).await.unwrap();
        assert!(registry.public_block(&cid(b"secret")).await.unwrap().is_none(), "{step:?}");
        assert_whole(&registry).await;
    }
}
