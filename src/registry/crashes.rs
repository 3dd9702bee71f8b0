//! Tests that stop a commit between any two steps and go on in the next process.

mod collection;
mod conditions;
mod events;
mod foreign_layers;
mod purge;
mod removal;
mod repair;
mod trees;
mod visibility;
mod withdrawal;

use std::fs;
use std::path::Path;

use bytes::Bytes;
use tempfile::TempDir;

use super::step::Step;
use super::{Condition, Limits, Registry, RegistryError, Result, Silent};
use crate::auth::{Authority, Caller, Names, PushGrant, open_to_all};
use crate::index;
use crate::oci::{Algorithm, Digest, Reference, RepositoryName, Visibility};
use crate::storage::open_embedded;

const STEPS: [Step; 5] =
    [Step::Enqueued, Step::Checked, Step::HalfApplied, Step::Applied, Step::Recorded];

impl Registry {
    /// Fails where the test wants the process to end.
    pub(super) fn failpoint(&self, step: Step) -> Result<()> {
        if self.stops_at(step) {
            return Err(RegistryError::Record(format!("stopped at {step:?}")));
        }
        Ok(())
    }

    pub(super) fn stops_at(&self, step: Step) -> bool {
        *self.stop.lock().unwrap() == Some(step)
    }

    fn stop_at(&self, step: Step) {
        *self.stop.lock().unwrap() = Some(step);
    }
}

/// Opens a registry as the next process does.
pub(super) async fn open(data: &Path) -> Registry {
    open_making(data, Some(Visibility::Public)).await
}

/// The same with what is set about new repositories.
async fn open_making(data: &Path, new_visibility: Option<Visibility>) -> Registry {
    let registry = recovered_making(data, new_visibility).await;
    registry.finish_visibility().await.unwrap();
    registry.finish_purges().await.unwrap();
    registry
}

/// Opens a registry with its queue carried out, and nothing else.
async fn recovered(data: &Path) -> Registry {
    recovered_making(data, Some(Visibility::Public)).await
}

async fn recovered_making(data: &Path, new_visibility: Option<Visibility>) -> Registry {
    let storage = open_embedded(data).unwrap();
    let index =
        index::open(&format!("sqlite:{}", data.join("index.sqlite").display())).await.unwrap();
    let limits = Limits { new_visibility, ..Limits::default() };
    let registry = Registry::new(index, storage, limits);
    registry.recover().await.unwrap();
    registry
}

/// A client that may do everything with one repository.
pub(super) struct Client(Authority, RepositoryName);

impl Client {
    pub(super) fn new() -> Self {
        Self::of("team/app")
    }

    fn of(name: &str) -> Self {
        Self(Authority::new(open_to_all(), Names::default()), name.parse().unwrap())
    }

    pub(super) async fn push(&self) -> PushGrant {
        self.0.push(&Caller::anonymous(), self.1.clone()).await.unwrap()
    }

    async fn blob(&self, registry: &Registry, bytes: &'static [u8]) -> Digest {
        let grant = self.push().await;
        let id = registry.begin_upload(&grant).await.unwrap();
        let mut upload = registry.claim_upload(&grant, &id, None).await.unwrap();
        upload.append(Bytes::from_static(bytes)).await.unwrap();
        let digest = Digest::of(Algorithm::Sha256, bytes);
        upload.finish(&digest).await.unwrap();
        digest
    }

    pub(super) async fn image(&self, registry: &Registry, config: &'static [u8]) -> Bytes {
        let digest = self.blob(registry, config).await;
        manifest(digest, config.len())
    }

    pub(super) async fn put(
        &self,
        registry: &Registry,
        reference: &str,
        bytes: &Bytes,
    ) -> Result<()> {
        self.put_if(registry, reference, bytes, Condition::default()).await
    }

    async fn put_if(
        &self,
        registry: &Registry,
        reference: &str,
        bytes: &Bytes,
        condition: Condition,
    ) -> Result<()> {
        let grant = self.push().await;
        let reference: Reference = reference.parse().unwrap();
        let tags = Vec::new();
        let put = registry.put_manifest(&grant, &reference, tags, None, bytes.clone(), condition);
        Box::pin(put).await.map(drop)
    }

    async fn delete(&self, registry: &Registry, reference: &str) -> Result<()> {
        self.delete_if(registry, reference, Condition::default()).await
    }

    async fn delete_if(
        &self,
        registry: &Registry,
        reference: &str,
        condition: Condition,
    ) -> Result<()> {
        let grant = self.0.delete(&Caller::anonymous(), self.1.clone()).await.unwrap();
        registry.delete_manifest(&grant, &reference.parse().unwrap(), condition).await
    }

    async fn delete_blob(&self, registry: &Registry, digest: &Digest) -> Result<()> {
        let grant = self.0.delete(&Caller::anonymous(), self.1.clone()).await.unwrap();
        registry.delete_blob(&grant, digest).await
    }

    async fn get(&self, registry: &Registry, reference: &str) -> Option<Bytes> {
        let grant = self.0.pull(&Caller::anonymous(), self.1.clone()).await.unwrap();
        let reference = reference.parse().unwrap();
        let found = Box::pin(registry.repository(&grant).manifest(&reference)).await;
        found.ok().map(|manifest| manifest.bytes)
    }
}

fn manifest(config: Digest, size: usize) -> Bytes {
    format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/json","digest":"{config}","size":{size}}},"layers":[]}}"#
    )
    .into()
}

/// An image without a config of its own, of those layers.
fn layered(layers: &[&[u8]]) -> Bytes {
    let descriptor = |bytes: &&[u8]| {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        format!(r#"{{"mediaType":"application/json","digest":"{digest}","size":{}}}"#, bytes.len())
    };
    let layers: Vec<String> = layers.iter().map(descriptor).collect();
    let config = &layers[0];
    let layers = layers.join(",");
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#).into()
}

fn digest_of(bytes: &Bytes) -> String {
    Digest::of(Algorithm::Sha256, bytes).to_string()
}

async fn assert_whole(registry: &Registry) {
    let report = Box::pin(registry.check(&Silent)).await.unwrap();
    assert_eq!(report.findings, []);
}

/// Runs a mutation that is stopped at each step in turn, goes on in the next process, and compares
/// the root with that of a registry where nothing was stopped.
async fn stop_anywhere(mutate: impl AsyncFn(&Client, &Registry) -> Result<()>) {
    let client = Client::new();
    let mut roots = Vec::new();
    for stop in STEPS.into_iter().map(Some).chain([None]) {
        let folder = TempDir::new().unwrap();
        let registry = Box::pin(open(folder.path())).await;
        let old = client.image(&registry, b"old").await;
        let new = client.image(&registry, b"new").await;
        client.put(&registry, "moving", &old).await.unwrap();
        client.put(&registry, "staying", &old).await.unwrap();
        client.put(&registry, &digest_of(&new), &new).await.unwrap();
        if let Some(step) = stop {
            registry.stop_at(step);
            assert!(mutate(&client, &registry).await.is_err(), "not stopped at {step:?}");
        } else {
            mutate(&client, &registry).await.unwrap();
        }
        drop(registry);
        let registry = Box::pin(open(folder.path())).await;
        assert_whole(&registry).await;
        roots.push((stop, registry.root().await.unwrap(), client.get(&registry, "moving").await));
    }
    let (_, root, tag) = roots.last().unwrap().clone();
    for (stop, other_root, other_tag) in roots {
        assert_eq!(other_root, root, "after a stop at {stop:?}");
        assert_eq!(other_tag, tag, "after a stop at {stop:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_was_stopped_anywhere_is_carried_to_its_end() {
    stop_anywhere(async |client, registry| {
        let newest = client.image(registry, b"newest").await;
        client.put(registry, "moving", &newest).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_was_moved_when_it_stopped_is_moved() {
    stop_anywhere(async |client, registry| {
        let new = client.image(registry, b"new").await;
        client.put(registry, "moving", &new).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_stopped_anywhere_is_carried_to_its_end() {
    stop_anywhere(async |client, registry| client.delete(registry, "moving").await).await;
    stop_anywhere(async |client, registry| {
        let old = manifest(Digest::of(Algorithm::Sha256, b"old"), 3);
        client.delete(registry, &digest_of(&old)).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_stopped_anywhere_leaves_what_another_image_names() {
    stop_anywhere(async |client, registry| {
        for blob in [&b"shared"[..], b"own", b"own too"] {
            client.blob(registry, blob).await;
        }
        let going = layered(&[b"own", b"shared", b"old"]);
        let staying = layered(&[b"own too", b"shared"]);
        let goes = registry.stop.lock().unwrap().take();
        client.put(registry, "going", &going).await.unwrap();
        client.put(registry, "too", &staying).await.unwrap();
        *registry.stop.lock().unwrap() = goes;
        client.delete(registry, &digest_of(&going)).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_after_its_deletion_was_stopped_anywhere_is_whole() {
    for step in [Step::Enqueued, Step::Checked, Step::HalfApplied, Step::Applied] {
        let (client, folder) = (Client::new(), TempDir::new().unwrap());
        let registry = open(folder.path()).await;
        let empty = registry.root().await.unwrap();
        let image = client.image(&registry, b"config").await;
        client.put(&registry, "tag", &image).await.unwrap();
        let before = registry.root().await.unwrap();
        registry.stop_at(step);
        client.delete(&registry, &digest_of(&image)).await.unwrap_err();
        *registry.stop.lock().unwrap() = None;
        client.put(&registry, "tag", &image).await.unwrap();
        drop(registry);
        let registry = open(folder.path()).await;
        assert_eq!(client.get(&registry, "tag").await, Some(image.clone()), "{step:?}");
        assert_whole(&registry).await;
        assert_eq!(registry.root().await.unwrap(), before, "{step:?}");
        client.delete(&registry, &digest_of(&image)).await.unwrap();
        assert_eq!(registry.root().await.unwrap(), empty, "{step:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_was_deleted_when_it_stopped_is_gone() {
    stop_anywhere(async |client, registry| {
        let stray = client.blob(registry, b"stray").await;
        client.delete_blob(registry, &stray).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_push_cannot_move_a_tag_back() {
    for step in [Step::Enqueued, Step::Checked, Step::HalfApplied, Step::Applied] {
        let (client, folder) = (Client::new(), TempDir::new().unwrap());
        let registry = open(folder.path()).await;
        let (old, new) =
            (client.image(&registry, b"old").await, client.image(&registry, b"new").await);
        registry.stop_at(step);
        client.put(&registry, "tag", &old).await.unwrap_err();
        *registry.stop.lock().unwrap() = None;
        // The same process goes on: what waits is older, and comes first.
        client.put(&registry, "tag", &new).await.unwrap();
        assert_eq!(client.get(&registry, "tag").await, Some(new));
        assert_eq!(client.get(&registry, &digest_of(&old)).await, Some(old));
        assert_whole(&registry).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_nothing_and_later_entries_go_on() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let good = client.image(&registry, b"config").await;
    let bad = manifest(Digest::of(Algorithm::Sha256, b"never pushed"), 12);
    let root = registry.root().await.unwrap();
    let refused = client.put(&registry, "bad", &bad).await.unwrap_err();
    assert!(matches!(refused, RegistryError::MissingReferences { .. }), "{refused}");
    assert_eq!(registry.root().await.unwrap(), root);
    client.put(&registry, "good", &good).await.unwrap();
    let used = Digest::of(Algorithm::Sha256, b"config");
    let refused = client.delete_blob(&registry, &used).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Referenced { .. }), "{refused}");
    assert_whole(&registry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_wait_while_the_storage_fails_and_land_in_order_later() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let (old, new) = (client.image(&registry, b"old").await, client.image(&registry, b"new").await);
    let obstacle = folder.path().join("public/docker");
    fs::write(&obstacle, b"in the way").unwrap();
    assert!(matches!(client.put(&registry, "tag", &old).await, Err(RegistryError::Storage(_))));
    assert!(matches!(client.put(&registry, "tag", &new).await, Err(RegistryError::Storage(_))));
    assert_eq!(client.get(&registry, "tag").await, None, "nothing is told before it is applied");
    fs::remove_file(&obstacle).unwrap();
    drop(registry);
    let registry = open(folder.path()).await;
    assert_eq!(client.get(&registry, "tag").await, Some(new));
    assert_whole(&registry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_goes_on_when_its_request_is_gone() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let image = client.image(&registry, b"config").await;
    for round in 0..20 {
        let tag = format!("tag-{round}");
        let limit = std::time::Duration::from_micros(200 * round);
        let _ = tokio::time::timeout(limit, client.put(&registry, &tag, &image)).await;
        registry.root().await.unwrap();
    }
    client.put(&registry, "last", &image).await.unwrap();
    assert_whole(&registry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_index_answers_as_before() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let (old, new) = (client.image(&registry, b"old").await, client.image(&registry, b"new").await);
    client.put(&registry, "old", &old).await.unwrap();
    client.put(&registry, "new", &new).await.unwrap();
    client.delete(&registry, "old").await.unwrap();
    let root = registry.root().await.unwrap();
    let before = registry.check(&Silent).await.unwrap();
    let rebuilt = registry.rebuild_index(&Silent).await.unwrap();
    assert_eq!(rebuilt.dropped, [""; 0]);
    assert_eq!((rebuilt.manifests, rebuilt.tags, rebuilt.blobs), (2, 1, 4));
    assert_eq!(registry.check(&Silent).await.unwrap(), before);
    assert_eq!(registry.root().await.unwrap(), root);
    assert_eq!(client.get(&registry, "new").await, Some(new));
    assert_eq!(client.get(&registry, &digest_of(&old)).await, Some(old));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_stays_so_although_the_storage_failed_then() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let good = client.image(&registry, b"good").await;
    let bad = manifest(Digest::of(Algorithm::Sha256, b"late"), 4);
    let obstacle = folder.path().join("public/docker");
    fs::write(&obstacle, b"in the way").unwrap();
    assert!(matches!(client.put(&registry, "good", &good).await, Err(RegistryError::Storage(_))));
    client.put(&registry, "bad", &bad).await.unwrap_err();
    client.blob(&registry, b"late").await;
    fs::remove_file(&obstacle).unwrap();
    drop(registry);
    let registry = open(folder.path()).await;
    assert_eq!(client.get(&registry, "good").await, Some(good));
    assert_eq!(client.get(&registry, "bad").await, None);
    assert_whole(&registry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_made_delays_no_other() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let (gone, good) =
        (client.image(&registry, b"gone").await, client.image(&registry, b"good").await);
    let hex = Digest::of(Algorithm::Sha256, b"gone").to_string().replace("sha256:", "");
    fs::remove_file(folder.path().join("content/sha256").join(&hex[..2]).join(&hex)).unwrap();
    let refused = client.put(&registry, "gone", &gone).await.unwrap_err();
    assert!(refused.to_string().contains("is missing in the storage"), "{refused}");
    client.put(&registry, "good", &good).await.unwrap();
    assert_eq!(client.get(&registry, "gone").await, None);
    drop(registry);
    let registry = open(folder.path()).await;
    assert_eq!(client.get(&registry, "good").await, Some(good));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_lands_without_another_push() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let image = client.image(&registry, b"config").await;
    let obstacle = folder.path().join("public/docker");
    fs::write(&obstacle, b"in the way").unwrap();
    client.put(&registry, "tag", &image).await.unwrap_err();
    registry.fold_pending().await.unwrap_err();
    fs::remove_file(&obstacle).unwrap();
    registry.fold_pending().await.unwrap();
    assert_eq!(client.get(&registry, "tag").await, Some(image));
    assert_whole(&registry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_parsed_once() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let (old, new) = (client.image(&registry, b"old").await, client.image(&registry, b"new").await);
    client.put(&registry, "tag", &old).await.unwrap();
    client.put(&registry, "tag", &old).await.unwrap();
    assert_eq!(registry.documents.read_count(), 0, "the request has parsed it");
    registry.stop_at(Step::Enqueued);
    client.put(&registry, "tag", &new).await.unwrap_err();
    drop(registry);
    let registry = open(folder.path()).await;
    assert_eq!(registry.documents.read_count(), 1, "nobody else has");
    assert_eq!(client.get(&registry, "tag").await, Some(new));
}
