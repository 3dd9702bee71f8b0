//! Locks: what a cleaning has left that was cut short is mended once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use roadstead::oci::{Algorithm, Digest};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::common::KuboNode;
use crate::kubo::storage::{InProcess, open_with};

#[test]
fn of_all_who_want_to_link_after_a_cleaning_that_was_cut_short_one_mends() {
    let Some(node) = KuboNode::start() else { return };
    Runtime::new().unwrap().block_on(async {
        let locks = Arc::<InProcess>::default();
        let storage = open_with(&node, "/roadstead", Arc::clone(&locks)).await;
        locks.is_cut.store(true, Ordering::Relaxed);
        let before = locks.cleanings.load(Ordering::Relaxed);
        let mut writers = JoinSet::new();
        for writer in 0..20 {
            let storage = Arc::clone(&storage);
            writers.spawn(async move {
                let bytes = format!("by {writer}").into_bytes();
                let digest = Digest::of(Algorithm::Sha256, &bytes);
                let mut ingest = storage.begin(&format!("upload-{writer}")).await.unwrap();
                ingest.append(bytes.into()).await.unwrap();
                ingest.finish(&digest).await.unwrap();
            });
        }
        writers.join_all().await;
        assert_eq!(locks.cleanings.load(Ordering::Relaxed) - before, 1);
        assert_eq!(storage.contents().await.unwrap().len(), 20);
    });
}
