//! The writer's lock, once it is taken.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use tokio::sync::OwnedMutexGuard;
use tracing::warn;

use super::connection::Connection;
use super::generation::{self, Generation};
use super::{
    BlobRow, Entry, EntryState, Folding, ManifestEdge, ManifestRow, NewBlob, NewManifest, NodeRefs,
    Result, StoredManifest, TagRow, TreeState, Writer, blobs, edges, links, maintenance, manifests,
    nodes, postgres, published, queue, tags, withdrawn,
};
use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag, Visibility};

/// The lock, and the connection on which its holder writes.
pub(super) struct LockedWriter {
    locked: Option<LockedConnection>,
    generation: Arc<Generation>,
}

/// What goes back, connection first, when the writer is dropped.
struct LockedConnection {
    connection: Connection,
    _lock: OwnedMutexGuard<()>,
}

impl LockedWriter {
    /// Takes the lock; `guard` is its part within this process.
    pub(super) async fn lock(
        mut connection: Connection,
        guard: OwnedMutexGuard<()>,
        generation: Arc<Generation>,
    ) -> Result<Self> {
        connection.set_locked(true);
        postgres::lock(&mut connection).await?;
        Ok(Self { locked: Some(LockedConnection { connection, _lock: guard }), generation })
    }

    fn connection(&mut self) -> &mut Connection {
        &mut self
            .locked
            .as_mut()
            .expect("it is taken out only when the writer is dropped")
            .connection
    }

    /// Runs an operation in the open transaction, or in one of its own.
    async fn write<T>(
        &mut self,
        operation: impl AsyncFnOnce(&mut Connection) -> Result<T>,
    ) -> Result<T> {
        if self.connection().in_transaction() {
            return operation(self.connection()).await;
        }
        self.begin().await?;
        match operation(self.connection()).await {
            Ok(done) => {
                self.commit().await?;
                Ok(done)
            }
            Err(error) => {
                if let Err(second) = self.rollback().await {
                    warn!(error = %second, "could not roll back after another failure");
                }
                Err(error)
            }
        }
    }
}

impl Drop for LockedWriter {
    fn drop(&mut self) {
        let Some(mut locked) = self.locked.take() else { return };
        if locked.connection.is_quiet() {
            tokio::spawn(async move {
                match postgres::unlock(&mut locked.connection).await {
                    Ok(()) => locked.connection.set_locked(false),
                    Err(error) => warn!(%error, "closing the connection to give the lock back"),
                }
            });
        }
    }
}

#[async_trait]
impl Writer for LockedWriter {
    async fn begin(&mut self) -> Result<()> {
        self.connection().begin().await
    }

    async fn commit(&mut self) -> Result<()> {
        let version = generation::advance(self.connection()).await?;
        self.generation.unsettle();
        self.connection().commit().await?;
        self.generation.settle(version);
        Ok(())
    }

    async fn rollback(&mut self) -> Result<()> {
        self.connection().rollback().await
    }

    async fn open_entries(&mut self, limit: u32) -> Result<Vec<Entry>> {
        queue::open_entries(self.connection(), limit).await
    }

    async fn entry(&mut self, seq: i64) -> Result<Option<Entry>> {
        queue::entry(self.connection(), seq).await
    }

    async fn set_checked(&mut self, seq: i64, tree: Visibility, edits: &[u8]) -> Result<()> {
        self.write(async |connection| queue::set_checked(connection, seq, tree, edits).await).await
    }

    async fn set_outcome(&mut self, seq: i64, state: EntryState, outcome: &[u8]) -> Result<()> {
        self.write(async |connection| queue::set_outcome(connection, seq, state, outcome).await)
            .await
    }

    async fn blob(
        &mut self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<BlobRow>> {
        blobs::find(self.connection(), repository, digest).await
    }

    async fn blobs(
        &mut self,
        repository: &RepositoryName,
        digests: &[Digest],
    ) -> Result<HashMap<Digest, BlobRow>> {
        blobs::find_all(self.connection(), repository, digests).await
    }

    async fn manifest(
        &mut self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>> {
        manifests::find(self.connection(), repository, digest).await
    }

    async fn stored_manifest(
        &mut self,
        digest: &CanonicalDigest,
    ) -> Result<Option<StoredManifest>> {
        manifests::stored(self.connection(), digest).await
    }

    async fn tag(&mut self, repository: &RepositoryName, tag: &Tag) -> Result<Option<TagRow>> {
        tags::find(self.connection(), repository, tag).await
    }

    async fn tags_of(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<(Tag, TagRow)>> {
        tags::of_manifest(self.connection(), repository, digest).await
    }

    async fn manifest_names(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<Digest>> {
        manifests::names(self.connection(), repository, digest).await
    }

    async fn blob_names(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<Digest>> {
        blobs::names(self.connection(), repository, digest).await
    }

    async fn referencing(
        &mut self,
        repository: &RepositoryName,
        names: &[Digest],
        limit: u32,
    ) -> Result<Vec<CanonicalDigest>> {
        edges::referencing(self.connection(), repository, names, limit).await
    }

    async fn edges(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<ManifestEdge>> {
        edges::of_manifest(self.connection(), repository, digest).await
    }

    async fn set_linked(
        &mut self,
        repository: &RepositoryName,
        names: &[Digest],
        linked: bool,
    ) -> Result<()> {
        self.write(async |connection| links::set(connection, repository, names, linked).await).await
    }

    async fn linked_names(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<Digest>> {
        links::names(self.connection(), repository, digest).await
    }

    async fn needed_names(
        &mut self,
        repository: &RepositoryName,
        names: &[Digest],
    ) -> Result<Vec<Digest>> {
        links::needed(self.connection(), repository, names).await
    }

    async fn is_named(&mut self, digest: &CanonicalDigest) -> Result<bool> {
        links::is_named(self.connection(), digest).await
    }

    async fn unsettled_links(&mut self, limit: u32) -> Result<Vec<(RepositoryName, Digest)>> {
        links::unsettled(self.connection(), limit).await
    }

    async fn is_needed(&mut self, digest: &CanonicalDigest) -> Result<bool> {
        withdrawn::is_needed(self.connection(), digest).await
    }

    async fn content_cid(&mut self, digest: &CanonicalDigest) -> Result<Option<Cid>> {
        if let Some(blob) = blobs::stored(self.connection(), digest).await? {
            return Ok(Some(blob.cid));
        }
        Ok(manifests::stored(self.connection(), digest).await?.map(|manifest| manifest.cid))
    }

    async fn repositories_with(
        &mut self,
        digest: &Digest,
        limit: u32,
    ) -> Result<Vec<RepositoryName>> {
        blobs::repositories_with(self.connection(), digest, limit).await
    }

    async fn linking(&mut self, digest: &CanonicalDigest) -> Result<Vec<RepositoryName>> {
        withdrawn::linking(self.connection(), digest).await
    }

    async fn withdraw(&mut self, digest: &CanonicalDigest, files: &[Cid]) -> Result<()> {
        self.write(async |connection| withdrawn::add(connection, digest, files).await).await
    }

    async fn end_withdrawal(&mut self, digests: &[CanonicalDigest]) -> Result<()> {
        self.write(async |connection| withdrawn::remove(connection, digests).await).await
    }

    async fn needing(
        &mut self,
        digest: &CanonicalDigest,
        limit: u32,
    ) -> Result<Vec<(RepositoryName, CanonicalDigest)>> {
        withdrawn::needing(self.connection(), digest, limit).await
    }

    async fn hold_stores(&mut self) -> Result<bool> {
        postgres::hold_stores(self.connection()).await
    }

    async fn withdrawn(&mut self) -> Result<Vec<CanonicalDigest>> {
        withdrawn::retained(self.connection()).await
    }

    async fn set_forgotten(&mut self, digest: &CanonicalDigest) -> Result<()> {
        self.write(async |connection| withdrawn::set_forgotten(connection, digest).await).await
    }

    async fn forget_manifest(&mut self, digest: &CanonicalDigest) -> Result<()> {
        self.write(async |connection| manifests::forget(connection, digest).await).await
    }

    async fn put_manifest(
        &mut self,
        repository: &RepositoryName,
        manifest: &NewManifest,
        now: i64,
    ) -> Result<()> {
        self.write(async |connection| manifests::put(connection, repository, manifest, now).await)
            .await
    }

    async fn put_tag(
        &mut self,
        repository: &RepositoryName,
        tag: &Tag,
        target: &TagRow,
        now: i64,
    ) -> Result<()> {
        self.write(async |connection| tags::put(connection, repository, tag, target, now).await)
            .await
    }

    async fn remove_tag(&mut self, repository: &RepositoryName, tag: &Tag) -> Result<()> {
        self.write(async |connection| tags::remove(connection, repository, tag).await).await
    }

    async fn remove_manifest(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<()> {
        self.write(async |connection| manifests::remove(connection, repository, digest).await).await
    }

    async fn remove_blob(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<()> {
        self.write(async |connection| blobs::remove(connection, repository, digest).await).await
    }

    async fn forget_unlinked(&mut self, repository: &RepositoryName) -> Result<()> {
        self.write(async |connection| links::forget_unlinked(connection, repository).await).await
    }

    async fn forget_blob(&mut self, digest: &CanonicalDigest) -> Result<()> {
        self.write(async |connection| blobs::forget(connection, digest).await).await
    }

    async fn put_blob(
        &mut self,
        repository: Option<&RepositoryName>,
        blob: &NewBlob,
        now: i64,
    ) -> Result<()> {
        self.write(async |connection| blobs::record(connection, repository, blob, now).await).await
    }

    async fn put_stored_manifest(&mut self, manifest: &StoredManifest) -> Result<()> {
        self.write(async |connection| manifests::store(connection, manifest).await).await
    }

    async fn tree_state(&mut self, tree: Visibility) -> Result<TreeState> {
        queue::tree_state(self.connection(), tree).await
    }

    async fn folding(&mut self, tree: Visibility) -> Result<Folding> {
        queue::folding(self.connection(), tree).await
    }

    async fn folding_part(
        &mut self,
        tree: Visibility,
        after: i64,
        through: i64,
    ) -> Result<Folding> {
        queue::folding_part(self.connection(), tree, after, through).await
    }

    async fn set_root(&mut self, tree: Visibility, root: &Cid, through: i64) -> Result<()> {
        self.write(async |connection| queue::set_root(connection, tree, root, through).await).await
    }

    async fn node(&mut self, cid: &Cid) -> Result<Option<Bytes>> {
        nodes::bytes(self.connection(), cid).await
    }

    async fn node_refs(&mut self, cids: &[Cid]) -> Result<NodeRefs> {
        nodes::refs(self.connection(), cids).await
    }

    async fn put_nodes(&mut self, nodes: &[(Cid, Option<Bytes>)]) -> Result<()> {
        self.write(async |connection| nodes::put(connection, nodes).await).await
    }

    async fn add_node_refs(&mut self, deltas: &[(Cid, i64)], now: i64) -> Result<()> {
        self.write(async |connection| nodes::add_refs(connection, deltas, now).await).await
    }

    async fn hold_root(&mut self, root: &Cid, now: i64) -> Result<bool> {
        self.write(async |connection| published::hold(connection, root, now).await).await
    }

    async fn set_published(&mut self, roots: &[Cid], now: i64, expires: i64) -> Result<()> {
        self.write(async |connection| {
            published::set_published(connection, roots, now, expires).await
        })
        .await
    }

    async fn release_root(&mut self, root: &Cid) -> Result<bool> {
        self.write(async |connection| published::release(connection, root).await).await
    }

    async fn prune(&mut self, before: i64) -> Result<u64> {
        self.write(async |connection| maintenance::prune(connection, before).await).await
    }

    async fn clear(&mut self) -> Result<()> {
        self.write(async |connection| maintenance::clear(connection).await).await
    }
}
