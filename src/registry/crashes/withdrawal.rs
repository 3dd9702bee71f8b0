//! What withdrawn content takes with it, and what not: other things of the same bytes, and other withdrawn content.

use super::collection::{collect, digests, open_without_grace, stored};
use super::*;
use crate::ipld::{Block, raw_cid};
use crate::oci::CanonicalDigest;
use crate::storage::Content;

/// The bytes of a link to content, which a client can upload as a blob.
fn link_to(content: &[u8]) -> &'static [u8] {
    Digest::of(Algorithm::Sha256, content).to_string().leak().as_bytes()
}

async fn is_served(registry: &Registry, bytes: &[u8]) -> bool {
    let cid = Block::raw(Bytes::copy_from_slice(bytes)).cid;
    registry.public_block(&cid).await.unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_collected_hides_no_link_of_the_same_text() {
    let (client, other) = (Client::new(), Client::of("other/app"));
    let folder = TempDir::new().unwrap();
    let registry = open_without_grace(folder.path()).await;
    let link = link_to(b"layer");
    let blob = client.blob(&registry, link).await;
    client.delete_blob(&registry, &blob).await.unwrap();
    assert_eq!(collect(&registry).await.unwrap().blobs.count, 1);

    let layer = other.blob(&registry, b"layer").await;
    other.put(&registry, "tag", &layered(&[b"layer"])).await.unwrap();
    registry.root().await.unwrap();
    assert_eq!(layer.to_string().as_bytes(), link);
    assert!(is_served(&registry, link).await);
    // Nor does it once it is there.
    client.blob(&registry, link).await;
    client.delete_blob(&registry, &blob).await.unwrap();
    collect(&registry).await.unwrap();
    assert!(is_served(&registry, link).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_withdraws_hides_no_link_of_others_of_the_same_text() {
    for act in ["purge", "hide", "remove"] {
        let (client, other) = (Client::new(), Client::of("other/app"));
        let folder = TempDir::new().unwrap();
        let registry = open_without_grace(folder.path()).await;
        let link = link_to(b"layer");
        for _ in 0..2 {
            other.blob(&registry, b"layer").await;
            other.put(&registry, "tag", &layered(&[b"layer"])).await.unwrap();
            registry.root().await.unwrap();
            assert!(is_served(&registry, link).await, "{act}");

            client.blob(&registry, link).await;
            let image = layered(&[link]);
            client.put(&registry, "tag", &image).await.unwrap();
            registry.root().await.unwrap();
            let (caller, name) = (Caller::anonymous(), client.1.clone());
            match act {
                "purge" => {
                    let digest = digest_of(&image).parse().unwrap();
                    registry.purge(&name, &digest).await.unwrap();
                }
                "hide" => {
                    let grant = client.0.visibility(&caller, name).await.unwrap();
                    registry.set_visibility(&grant, Visibility::Private).await.unwrap();
                }
                _ => {
                    let grant = client.0.removal(&caller, name).await.unwrap();
                    registry.remove_repository(&grant).await.unwrap();
                }
            }
            assert!(!is_served(&registry, &image).await, "{act}");
            assert!(is_served(&registry, link).await, "{act}");
            // Once the other is gone, too, it is a withdrawn blob and nothing else.
            let gone = digest_of(&layered(&[b"layer"]));
            other.delete(&registry, &gone).await.unwrap();
            registry.root().await.unwrap();
            assert!(!is_served(&registry, link).await, "{act}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_blob_takes_nothing_with_it() {
    let (client, other) = (Client::new(), Client::of("other/app"));
    let folder = TempDir::new().unwrap();
    let registry = open_without_grace(folder.path()).await;
    for blob in [&b"first"[..], b"second", b"third"] {
        let digest = client.blob(&registry, blob).await;
        client.delete_blob(&registry, &digest).await.unwrap();
    }
    // Three that a collection is about to remove.
    registry.stop_at(Step::Forgotten);
    collect(&registry).await.unwrap_err();
    *registry.stop.lock().unwrap() = None;

    let refuse = async |bytes: &'static [u8]| {
        let digest = client.blob(&registry, bytes).await;
        client.delete_blob(&registry, &digest).await.unwrap();
        let canonical = CanonicalDigest::of(bytes);
        let content = Content { canonical, cid: raw_cid(canonical.0), size: bytes.len() as u64 };
        registry.withdraw_refused(&content).await.unwrap();
    };
    refuse(b"refused").await;
    assert_eq!(stored(&registry).await, digests(&[b"first", b"second", b"third"]));

    // What a root has stays, as a blob or as a link.
    other.blob(&registry, b"layer").await;
    let image = layered(&[b"layer"]);
    other.put(&registry, "tag", &image).await.unwrap();
    registry.root().await.unwrap();
    let link = link_to(b"layer");
    refuse(link).await;
    assert!(is_served(&registry, link).await);
    collect(&registry).await.unwrap();
    assert_eq!(stored(&registry).await, digests(&[b"layer", link, &image]));
    assert_whole(&registry).await;
}
