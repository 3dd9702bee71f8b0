//! Layers that need not be in the registry, and are.

use std::time::Duration;

use super::collection::{collect, digests, open_with, stored};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_one_stays_for_the_grace_after_its_manifest() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open_with(folder.path(), Duration::from_hours(24)).await;
    for blob in [&b"config"[..], b"foreign", b"stray"] {
        client.blob(&registry, blob).await;
    }
    let [config, layer] = [&b"config"[..], b"foreign"].map(|bytes| {
        format!(r#""digest":"{}","size":{}"#, Digest::of(Algorithm::Sha256, bytes), bytes.len())
    });
    let windows: Bytes = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/json",{config}}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar",{layer}}}]}}"#
    )
    .into();
    client.put(&registry, "windows", &windows).await.unwrap();
    registry.root().await.unwrap();
    // Long after they were pushed.
    registry.index.age_unreferenced(100_000_000).await.unwrap();
    client.delete(&registry, &digest_of(&windows)).await.unwrap();
    registry.root().await.unwrap();
    assert_eq!(collect(&registry).await.unwrap().links, 1, "the stray one");
    assert_eq!(stored(&registry).await, digests(&[b"config", b"foreign", &windows]));
    registry.index.age_unreferenced(100_000_000).await.unwrap();
    assert_eq!(collect(&registry).await.unwrap().links, 2);
    assert!(stored(&registry).await.is_empty());
}
