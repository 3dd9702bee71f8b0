//! Removals of repositories, stopped between any two steps.

use tempfile::TempDir;

use super::super::{Registry, RegistryError, Result};
use super::*;
use crate::auth::Meant;
use crate::ipld::raw_cid;
use crate::oci::CanonicalDigest;

async fn remove(registry: &Registry, client: &Client) -> Result<()> {
    let grant = client.0.removal(&Caller::anonymous(), client.1.clone()).await.unwrap();
    registry.remove_repository(&grant).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stops_anywhere_takes_the_whole_repository_and_no_other() {
    // The one below it in the folder shares content with it.
    let (client, other) = (Client::new(), Client::of("team/app/other"));
    for (stop, made) in STEPS
        .into_iter()
        .map(Some)
        .chain([None])
        .flat_map(|stop| [Visibility::Public, Visibility::Private].map(|made| (stop, made)))
    {
        let folder = TempDir::new().unwrap();
        let registry = Box::pin(open_making(folder.path(), Some(made))).await;
        let roots = async |registry: &Registry| {
            let mut roots = Vec::new();
            for tree in crate::oci::TreeId::ALL {
                roots.push(registry.root_of(tree).await.unwrap());
            }
            roots
        };
        other.blob(&registry, b"shared").await;
        let staying = layered(&[b"shared"]);
        other.put(&registry, "stays", &staying).await.unwrap();
        let without = roots(&registry).await;
        for bytes in [b"shared", b"bytes!"] {
            client.blob(&registry, bytes).await;
        }
        client.blob(&registry, b"never named").await;
        let image = layered(&[b"bytes!", b"shared"]);
        for tag in ["one", "two"] {
            client.put(&registry, tag, &image).await.unwrap();
        }
        assert_ne!(roots(&registry).await, without);

        *registry.stop.lock().unwrap() = stop;
        let removed = remove(&registry, &client).await;
        assert_eq!(removed.is_ok(), stop.is_none(), "{stop:?} {made:?}: {removed:?}");
        drop(registry);
        let registry = Box::pin(open_making(folder.path(), Some(made))).await;
        assert_eq!(registry.index.repository(&client.1).await.unwrap(), None, "{stop:?} {made:?}");
        assert_eq!(client.get(&registry, "one").await, None);
        assert_eq!(roots(&registry).await, without, "{stop:?} {made:?}");
        assert_eq!(other.get(&registry, "stays").await, Some(staying.clone()));
        let [gone, shared] =
            [&b"bytes!"[..], b"shared"].map(|it| raw_cid(CanonicalDigest::of(it).0));
        assert!(registry.public_block(&gone).await.unwrap().is_none(), "{stop:?} {made:?}");
        let is_served = registry.public_block(&shared).await.unwrap().is_some();
        assert_eq!(is_served, made.is_public(), "{stop:?} {made:?}");
        assert_whole(&registry).await;
        let events = registry.index.events_after(0, 1000).await.unwrap();
        let kinds = events.iter().filter(|event| event.change.kind == "delete");
        assert_eq!(kinds.count(), 1, "{stop:?} {made:?}");
        let again = remove(&registry, &client).await;
        assert!(matches!(again, Err(RegistryError::NameUnknown(_))), "{again:?}");

        // What is pushed again is there again, and served as before.
        for bytes in [b"shared", b"bytes!"] {
            client.blob(&registry, bytes).await;
        }
        client.put(&registry, "one", &image).await.unwrap();
        registry.root().await.unwrap();
        assert_eq!(client.get(&registry, "one").await, Some(image.clone()));
        let is_served = registry.public_block(&gone).await.unwrap().is_some();
        assert_eq!(is_served, made.is_public(), "{stop:?} {made:?}");
        assert_whole(&registry).await;
    }
}

/// The grant of a request that was allowed while the repository was there.
async fn earlier_push(registry: &Registry, client: &Client) -> PushGrant {
    let record = registry.record(&client.1).await.unwrap();
    assert!(record.is_some());
    let meant = Meant { record, ..client.1.clone().into() };
    client.0.push(&Caller::anonymous(), meant).await.unwrap()
}

async fn earlier_put(registry: &Registry, grant: &PushGrant, image: &Bytes) -> Result<()> {
    let (tag, condition) = ("late".parse().unwrap(), Condition::default());
    let put = registry.put_manifest(grant, &tag, Vec::new(), None, image.clone(), condition);
    Box::pin(put).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_when_it_was_removed_does_not_make_it_again() {
    let (client, other) = (Client::new(), Client::of("team/other"));
    let folder = TempDir::new().unwrap();
    let registry = Box::pin(open_making(folder.path(), Some(Visibility::Private))).await;
    let mounted = other.blob(&registry, b"shared").await;
    client.blob(&registry, b"bytes!").await;
    let image = layered(&[b"bytes!"]);
    client.put(&registry, "one", &image).await.unwrap();
    let digest = |bytes: &[u8]| Digest::of(Algorithm::Sha256, bytes);
    for is_made_again in [false, true] {
        let grant = earlier_push(&registry, &client).await;
        let id = registry.begin_upload(&grant).await.unwrap();
        let mut upload = registry.claim_upload(&grant, &id, None).await.unwrap();
        upload.append(Bytes::from_static(b"upload")).await.unwrap();
        let mut beside = registry.begin_beside(&grant, &digest(b"beside")).await.unwrap();
        beside.append(Bytes::from_static(b"beside")).await.unwrap();

        remove(&registry, &client).await.unwrap();
        // An image without blobs needs nothing but the repository.
        let bare = Bytes::from_static(br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#);
        if is_made_again {
            client.put(&registry, "new", &bare).await.unwrap();
        }
        let before = registry.index.repository(&client.1).await.unwrap();
        assert_eq!(before.is_some(), is_made_again);
        let put = earlier_put(&registry, &grant, &bare).await;
        assert!(matches!(put, Err(RegistryError::NameUnknown(_))), "{put:?}");
        let source = other.0.pull(&Caller::anonymous(), other.1.clone()).await.unwrap();
        assert!(registry.mount_blob(&grant, &source, &mounted).await.unwrap().is_none());
        let ended = upload.finish(&digest(b"upload")).await;
        assert!(matches!(ended, Err(RegistryError::UploadUnknown(_))));
        let ended = beside.finish(&grant, &digest(b"beside")).await;
        assert!(matches!(ended, Err(RegistryError::UploadUnknown(_))));
        // One that begins after the removal, in a request that was allowed before.
        let id = registry.begin_upload(&grant).await.unwrap();
        let mut upload = registry.claim_upload(&grant, &id, None).await.unwrap();
        upload.append(Bytes::from_static(b"upload")).await.unwrap();
        let ended = upload.finish(&digest(b"upload")).await;
        assert!(matches!(ended, Err(RegistryError::UploadUnknown(_))));
        assert_eq!(registry.index.upload_count().await.unwrap(), 0);
        assert_eq!(
            registry.index.repository(&client.1).await.unwrap().map(|it| it.id),
            before.map(|it| it.id)
        );
        let tags = registry.index.tags(&client.1, None, 9).await.unwrap();
        assert_eq!(tags.len(), usize::from(is_made_again), "{tags:?}");
        if !is_made_again {
            // Whoever may make it makes a new one.
            client.blob(&registry, b"bytes!").await;
            client.put(&registry, "one", &image).await.unwrap();
            let record = registry.index.repository(&client.1).await.unwrap();
            assert_eq!(record.map(|record| record.visibility), Some(Visibility::Private));
        }
    }
    assert_whole(&registry).await;
}
