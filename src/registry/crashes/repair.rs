//! Repairs that stop between any two steps.

use std::path::PathBuf;

use super::*;
use crate::oci::CanonicalDigest;
use crate::registry::{Fault, Mender};

fn content_file(folder: &TempDir, bytes: &[u8]) -> PathBuf {
    let hex = CanonicalDigest::of(bytes).hex();
    folder.path().join("content/sha256").join(&hex[..2]).join(hex)
}

fn tree_file(folder: &TempDir, bytes: &[u8]) -> PathBuf {
    let hex = CanonicalDigest::of(bytes).hex();
    let blobs = folder.path().join("public/docker/registry/v2/blobs/sha256");
    blobs.join(&hex[..2]).join(hex).join("data")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_was_stopped_anywhere_is_carried_to_its_end_by_the_next() {
    for stop in [Some(Step::Restored), Some(Step::Relinked), None] {
        for is_noted in [false, true] {
            let (client, folder) = (Client::new(), TempDir::new().unwrap());
            let registry = open(folder.path()).await;
            let image = client.image(&registry, b"config").await;
            client.put(&registry, "v1", &image).await.unwrap();
            let root = registry.root().await.unwrap();
            let fault = Fault::Content(CanonicalDigest::of(b"config"));
            let digest = Digest::of(Algorithm::Sha256, b"config");
            let repository: RepositoryName = "team/app".parse().unwrap();
            if is_noted {
                fs::write(content_file(&folder, b"config"), b"confix").unwrap();
                let mended = registry.mend(&fault).await.unwrap();
                assert!(mended.done.is_empty() && mended.left.len() == 1, "{mended:?}");
                assert!(registry.index.blob(&repository, &digest).await.unwrap().is_none());
            }
            // The tree has it, and the content is something else.
            fs::remove_file(tree_file(&folder, b"config")).unwrap();
            fs::write(tree_file(&folder, b"config"), b"config").unwrap();
            fs::write(content_file(&folder, b"config"), b"confix").unwrap();
            *registry.stop.lock().unwrap() = stop;
            assert_eq!(registry.mend(&fault).await.is_ok(), stop.is_none(), "{stop:?}");
            drop(registry);

            let registry = open(folder.path()).await;
            registry.mend(&fault).await.unwrap();
            assert_eq!(fs::read(content_file(&folder, b"config")).unwrap(), b"config");
            assert!(registry.index.blob(&repository, &digest).await.unwrap().is_some());
            assert!(registry.index.lost_blobs().await.unwrap().is_empty(), "{stop:?}");
            assert_eq!(registry.root().await.unwrap(), root);
            let report = registry.check_and_repair(&registry, &Silent).await.unwrap();
            assert_eq!((report.mended, report.findings), (Vec::new(), Vec::new()), "{stop:?}");
            assert_whole(&registry).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_between_the_two_looks_of_a_repair_is_not_lost() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let image = client.image(&registry, b"config").await;
    client.put(&registry, "v1", &image).await.unwrap();
    let fault = Fault::Content(CanonicalDigest::of(b"config"));
    for _ in 0..30 {
        fs::write(content_file(&folder, b"config"), b"confix").unwrap();
        let (mended, _) = tokio::join!(registry.mend(&fault), client.blob(&registry, b"config"));
        mended.unwrap();
        // Whoever came first, what was acknowledged is there.
        let report = registry.check_and_repair(&registry, &Silent).await.unwrap();
        assert_eq!(report.findings, Vec::new());
        assert!(registry.index.lost_blobs().await.unwrap().is_empty());
        assert_eq!(fs::read(tree_file(&folder, b"config")).unwrap(), b"config");
    }
}
