//! The index as all requests share it: a pool, and a query or a transaction per call.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::cache::RowCache;
use super::columns::damaged;
use super::connection::{Connection, Link, misuse};
use super::edges::ReferrerQuery;
use super::generation::{self, Generation};
use super::locks::Locks;
use super::pool::Pool;
use super::uploads::ClaimRequest;
use super::writer::LockedWriter;
use super::{
    Access, BlobRow, Claim, Folding, Index, IndexError, IndexErrorKind, Lease, ManifestRow,
    NewBlob, PublicBlock, PublishedRoot, ReferrerRow, Result, StoredManifest, TreeState, UploadKey,
    UploadRow, UploadState, Writer, blobs, edges, manifests, nodes, published, queue, repositories,
    secrets, sqlite, tags, uploads, withdrawn,
};
use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag, Visibility};

/// How long a request waits for the write transaction of another.
pub(super) const GATE_LIMIT: Duration = Duration::from_secs(30);

/// A database that was opened.
pub(super) struct Database {
    /// Where connections come from.
    pub(super) pool: Pool,
    /// Where those come from whose writes need not outlast a loss of power, if these are others.
    pub(super) hasty: Option<Pool>,
    /// What each transaction that writes passes, where only one may run at a time.
    pub(super) gate: Option<Arc<Mutex<()>>>,
    /// The writer's lock among the tasks of this process.
    pub(super) lock: Arc<Mutex<()>>,
    /// What is known of the version.
    pub(super) generation: Arc<Generation>,
    /// What it was opened for.
    pub(super) access: Access,
    /// Whether it could only be opened for reading, since there was no space to write anything.
    pub(super) had_no_space: bool,
    /// What was found of late.
    pub(super) cache: RowCache,
    /// How long a statement of a request may take, where there is a network between.
    pub(super) limit: Duration,
    /// Where locks of the storage are taken.
    pub(super) locks: Locks,
}

impl Database {
    /// Returns a connection to read from.
    pub(super) async fn read(&self) -> Result<Connection> {
        Ok(self.connection(self.pool.link().await?, None))
    }

    /// Returns a connection to write to, by one statement or in a transaction.
    pub(super) async fn write(&self) -> Result<Connection> {
        self.check_access()?;
        let passed = self.pass().await?;
        Ok(self.connection(self.pool.link().await?, passed))
    }

    /// The same for uploads under way. Of them a loss of power may take back what it likes: their
    /// bytes are not on the disk either, and one whose bytes are gone is forgotten.
    async fn write_hastily(&self) -> Result<Connection> {
        let Some(pool) = &self.hasty else { return self.write().await };
        self.check_access()?;
        // There is one such connection; no other task shall wait until it is back.
        let link = pool.link().await?;
        Ok(self.connection(link, self.pass().await?))
    }

    /// Waits for other writers, where only one may write at a time.
    async fn pass(&self) -> Result<Option<OwnedMutexGuard<()>>> {
        let Some(gate) = &self.gate else { return Ok(None) };
        match tokio::time::timeout(GATE_LIMIT, Arc::clone(gate).lock_owned()).await {
            Ok(passed) => Ok(Some(passed)),
            Err(error) => {
                let kind = IndexErrorKind::Unavailable;
                Err(IndexError::new(kind, "waiting for another transaction", error))
            }
        }
    }

    async fn begin(&self) -> Result<Connection> {
        let mut connection = self.write().await?;
        connection.begin().await?;
        Ok(connection)
    }

    fn connection(&self, link: Link, passed: Option<OwnedMutexGuard<()>>) -> Connection {
        Connection::new(link, self.gate.clone(), passed).within(self.limit)
    }

    fn check_access(&self) -> Result<()> {
        if self.had_no_space {
            let why = "there was none at the start: make room, and restart";
            return Err(IndexError::new(IndexErrorKind::Full, "writing", why));
        }
        match self.access {
            Access::Full => Ok(()),
            Access::ReadOnly => Err(misuse("writing", "the index was opened for reading")),
        }
    }
}

#[async_trait]
impl Index for Database {
    async fn version(&self) -> Result<u64> {
        match self.generation.seen().await? {
            Some(seen) => Ok(seen.version),
            None => generation::version(&mut self.read().await?).await,
        }
    }

    async fn blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<BlobRow>> {
        let look_up = async || blobs::find(&mut self.read().await?, repository, digest).await;
        self.cache.blobs().find(&self.generation, repository, digest, look_up).await
    }

    async fn stored_blob(&self, digest: &CanonicalDigest) -> Result<Option<BlobRow>> {
        blobs::stored(&mut self.read().await?, digest).await
    }

    async fn repositories_with_blob(
        &self,
        digest: &Digest,
        limit: u32,
    ) -> Result<Vec<RepositoryName>> {
        blobs::repositories_with(&mut self.read().await?, digest, limit).await
    }

    async fn repository_exists(&self, repository: &RepositoryName) -> Result<bool> {
        repositories::exists(&mut self.read().await?, repository).await
    }

    async fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>> {
        let look_up = async || manifests::find(&mut self.read().await?, repository, digest).await;
        self.cache.manifests().find(&self.generation, repository, digest, look_up).await
    }

    async fn stored_manifest(&self, digest: &CanonicalDigest) -> Result<Option<StoredManifest>> {
        manifests::stored(&mut self.read().await?, digest).await
    }

    async fn stored_content(
        &self,
        last: Option<&CanonicalDigest>,
        limit: u32,
    ) -> Result<Vec<CanonicalDigest>> {
        blobs::all_stored(&mut self.read().await?, last, limit).await
    }

    async fn manifests(&self, repository: &RepositoryName) -> Result<Vec<Digest>> {
        manifests::all_names(&mut self.read().await?, repository).await
    }

    async fn tagged_manifest(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<ManifestRow>> {
        let look_up =
            async || manifests::find_tagged(&mut self.read().await?, repository, tag).await;
        self.cache.tagged().find(&self.generation, repository, tag, look_up).await
    }

    async fn tags(
        &self,
        repository: &RepositoryName,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Tag>> {
        tags::list(&mut self.read().await?, repository, last, limit).await
    }

    async fn repositories(&self, last: Option<&str>, limit: u32) -> Result<Vec<RepositoryName>> {
        repositories::list(&mut self.read().await?, last, limit).await
    }

    async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
        limit: u32,
    ) -> Result<Vec<ReferrerRow>> {
        let query = ReferrerQuery { repository, subject, artifact_type, last, limit };
        edges::referrers(&mut self.read().await?, &query).await
    }

    async fn record_blob(
        &self,
        repository: &RepositoryName,
        blob: &NewBlob,
        now: i64,
    ) -> Result<()> {
        let mut connection = self.begin().await?;
        blobs::record(&mut connection, Some(repository), blob, now).await?;
        connection.commit().await
    }

    async fn mount_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        now: i64,
    ) -> Result<bool> {
        let mut connection = self.begin().await?;
        let mounted = blobs::mount(&mut connection, repository, digest, now).await?;
        connection.commit().await?;
        Ok(mounted)
    }

    async fn create_upload(
        &self,
        id: &str,
        repository: &RepositoryName,
        owner: &str,
        now: i64,
    ) -> Result<()> {
        uploads::create(&mut self.write_hastily().await?, id, repository, owner, now).await
    }

    async fn upload(&self, key: &UploadKey<'_>) -> Result<Option<UploadRow>> {
        uploads::find(&mut self.read().await?, key).await
    }

    async fn claim_upload(
        &self,
        key: &UploadKey<'_>,
        offset: Option<u64>,
        claim: &str,
        stale_before: i64,
        now: i64,
    ) -> Result<Claim> {
        let request = ClaimRequest { key, offset, claim, stale_before, now };
        let mut connection = self.write_hastily().await?;
        connection.begin().await?;
        let claimed = uploads::claim(&mut connection, &request).await?;
        match claimed {
            Claim::Granted(_) => connection.commit().await?,
            Claim::Busy(_) | Claim::Offset(_) | Claim::Unknown => connection.rollback().await?,
        }
        Ok(claimed)
    }

    async fn save_upload(
        &self,
        id: &str,
        claim: &str,
        offset: u64,
        checkpoint: &[u8],
        now: i64,
    ) -> Result<bool> {
        uploads::save(&mut self.write_hastily().await?, id, claim, offset, checkpoint, now).await
    }

    async fn renew_upload(&self, id: &str, claim: &str, now: i64) -> Result<bool> {
        uploads::renew(&mut self.write_hastily().await?, id, claim, now).await
    }

    async fn release_upload(&self, id: &str, claim: &str) -> Result<()> {
        uploads::release(&mut self.write_hastily().await?, id, claim).await
    }

    async fn finish_upload(
        &self,
        id: &str,
        claim: &str,
        repository: &RepositoryName,
        blob: &NewBlob,
        now: i64,
    ) -> Result<bool> {
        let mut connection = self.begin().await?;
        if !uploads::remove_claimed(&mut connection, id, claim).await? {
            connection.rollback().await?;
            return Ok(false);
        }
        blobs::record(&mut connection, Some(repository), blob, now).await?;
        connection.commit().await?;
        Ok(true)
    }

    async fn remove_upload(&self, id: &str) -> Result<bool> {
        uploads::remove(&mut self.write_hastily().await?, id).await
    }

    async fn purge_uploads(&self, before: i64, stale_before: i64) -> Result<Vec<String>> {
        uploads::purge(&mut self.write_hastily().await?, before, stale_before).await
    }

    async fn upload_count(&self) -> Result<u64> {
        uploads::count(&mut self.read().await?).await
    }

    async fn upload_bytes(&self) -> Result<u64> {
        uploads::bytes(&mut self.read().await?).await
    }

    async fn uploads(&self, stale_before: i64) -> Result<Vec<UploadState>> {
        uploads::states(&mut self.read().await?, stale_before).await
    }

    async fn upload_ids(&self) -> Result<Vec<String>> {
        uploads::ids(&mut self.read().await?).await
    }

    async fn enqueue(
        &self,
        intent: &[u8],
        manifest: Option<&StoredManifest>,
        now: i64,
    ) -> Result<i64> {
        let mut connection = self.begin().await?;
        let seq = queue::append(&mut connection, intent, manifest, now).await?;
        connection.commit().await?;
        Ok(seq)
    }

    async fn open_entry_count(&self) -> Result<u64> {
        queue::open_count(&mut self.read().await?).await
    }

    async fn unfolded_entry_count(&self) -> Result<u64> {
        queue::unfolded_count(&mut self.read().await?).await
    }

    async fn tree_state(&self, tree: Visibility) -> Result<TreeState> {
        queue::tree_state(&mut self.read().await?, tree).await
    }

    async fn folding(&self, tree: Visibility) -> Result<Folding> {
        queue::folding(&mut self.read().await?, tree).await
    }

    async fn node(&self, cid: &Cid) -> Result<Option<Bytes>> {
        nodes::bytes(&mut self.read().await?, cid).await
    }

    async fn public_block(&self, cid: &Cid, removed_after: i64) -> Result<Option<PublicBlock>> {
        let mut connection = self.read().await?;
        match nodes::public(&mut connection, cid, removed_after).await? {
            Some(Some(bytes)) => return Ok(Some(PublicBlock::Stored(bytes))),
            Some(None) => {
                if let Some(bytes) = manifests::bytes_by_cid(&mut connection, cid).await? {
                    return Ok(Some(PublicBlock::Stored(bytes)));
                }
            }
            None => {}
        }
        blobs::block(&mut connection, cid, Some(removed_after)).await
    }

    async fn is_withdrawn(&self, cid: &Cid) -> Result<bool> {
        withdrawn::has(&mut self.read().await?, cid).await
    }

    async fn is_content_withdrawn(&self, digest: &CanonicalDigest) -> Result<bool> {
        withdrawn::has_content(&mut self.read().await?, digest).await
    }

    async fn block(&self, cid: &Cid) -> Result<Option<PublicBlock>> {
        let mut connection = self.read().await?;
        if let Some(bytes) = nodes::bytes(&mut connection, cid).await? {
            return Ok(Some(PublicBlock::Stored(bytes)));
        }
        if let Some(bytes) = manifests::bytes_by_cid(&mut connection, cid).await? {
            return Ok(Some(PublicBlock::Stored(bytes)));
        }
        blobs::block(&mut connection, cid, None).await
    }

    async fn lock(&self) -> Result<Box<dyn Writer>> {
        self.check_access()?;
        let guard = Arc::clone(&self.lock).lock_owned().await;
        let connection = self.read().await?.for_the_writer();
        let writer = LockedWriter::lock(connection, guard, Arc::clone(&self.generation)).await?;
        Ok(Box::new(writer))
    }

    fn is_shared(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    async fn begin_linking(&self) -> Result<Option<Box<dyn Lease>>> {
        self.check_access()?;
        self.locks.begin_linking().await
    }

    async fn begin_cleaning(&self) -> Result<Box<dyn Lease>> {
        self.check_access()?;
        self.locks.begin_cleaning().await
    }

    async fn begin_publishing(&self) -> Result<Option<Box<dyn Lease>>> {
        self.check_access()?;
        self.locks.begin_publishing().await
    }

    async fn publication(&self) -> Result<Option<Vec<u8>>> {
        published::record(&mut self.read().await?).await
    }

    async fn set_publication(&self, record: &[u8]) -> Result<()> {
        published::set_record(&mut self.write().await?, record).await
    }

    async fn published_roots(&self) -> Result<Vec<PublishedRoot>> {
        published::roots(&mut self.read().await?).await
    }

    async fn secret(&self, name: &str) -> Result<[u8; 32]> {
        if let Some(key) = secrets::find(&mut self.read().await?, name).await? {
            return Ok(key);
        }
        let mut connection = self.write().await?;
        secrets::make(&mut connection, name).await?;
        let made = secrets::find(&mut connection, name).await?;
        made.ok_or_else(|| damaged("making a key", "it is not there"))
    }

    async fn ping(&self) -> Result<()> {
        self.check_access()?;
        if self.gate.as_ref().is_some_and(|gate| gate.try_lock().is_err()) {
            // Another task is writing, which answers half of the question.
            return generation::version(&mut self.read().await?).await.map(drop);
        }
        generation::beat(&mut self.write().await?).await
    }

    async fn verify(&self) -> Result<()> {
        sqlite::verify(&mut self.read().await?).await
    }

    async fn close(&self) {
        for pool in self.hasty.iter().chain([&self.pool]) {
            pool.close().await;
        }
        self.locks.close().await;
        self.generation.close();
    }
}
