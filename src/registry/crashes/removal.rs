//! Removals of repositories, stopped between any two steps.

use tempfile::TempDir;

use super::super::{Registry, RegistryError, Result};
use super::*;
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
