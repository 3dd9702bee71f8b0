//! An upload that one request goes on with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::RwLockReadGuard;
use tokio::task::AbortHandle;

use super::super::{Blob, Registry, RegistryError, Result, now};
use super::allowance::Allowance;
use super::ongoing::{Ending, Going, Request};
use super::quota::Share;
use super::{CLAIM, RENEWAL, key, millis};
use crate::auth::PushGrant;
use crate::index::{Destination, IndexErrorKind, UploadRow};
use crate::oci::{Digest, RepositoryIdentity};
use crate::storage::{self, Content, Finished, Ingest, StorageErrorKind};

/// An upload that one request has claimed. Saved or finished, it is given back; dropped before
/// that, what arrived is saved in the background.
pub struct Upload {
    claimed: Option<(ClaimedUpload, Box<dyn Ingest>)>,
    id: String,
    is_resumable: bool,
}

/// A claim, good for as long as this lives, unless another process takes the upload over.
struct ClaimedUpload {
    registry: Registry,
    /// The upload before this request.
    row: UploadRow,
    /// Which repository the request was allowed for.
    identity: Option<RepositoryIdentity>,
    claim: String,
    lease: Lease,
    going: Going,
    share: Share,
    allowance: Allowance,
    /// Whether its namespace had a quota when the request began.
    is_limited: bool,
}

/// Renews a claim until it is dropped.
struct Lease {
    renewing: AbortHandle,
    /// Whether the upload is being finished, when no other process may take it over.
    is_finishing: Arc<AtomicBool>,
}

impl Upload {
    pub(super) fn new(
        registry: &Registry,
        (row, identity): (UploadRow, Option<RepositoryIdentity>),
        claim: String,
        going: Going,
        ingest: Box<dyn Ingest>,
        allowance: Allowance,
    ) -> Self {
        let lease = Lease::begin(registry, &row.id, &claim, &going.request);
        let id = row.id.clone();
        let share = Share::new(&registry.quota, row.offset);
        let registry = registry.clone();
        let is_limited = allowance.is_limited();
        let claimed = ClaimedUpload {
            registry,
            row,
            identity,
            claim,
            lease,
            going,
            share,
            allowance,
            is_limited,
        };
        Self { claimed: Some((claimed, ingest)), id, is_resumable: true }
    }

    /// Returns how many bytes the upload has with those appended so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.claimed.as_ref().map_or(0, |(_, ingest)| ingest.offset())
    }

    /// Makes it an upload that no client can come back to: dropped, it is forgotten with its bytes.
    pub fn forget_on_drop(&mut self) {
        self.is_resumable = false;
    }

    /// Waits until the request has to end, since a newer one goes on with the upload.
    pub fn ending(&self) -> impl Future<Output = Ending> + use<> {
        let request = self.claimed.as_ref().map(|(claimed, _)| Arc::clone(&claimed.going.request));
        async move {
            match request {
                Some(request) => request.ending().await,
                None => std::future::pending().await,
            }
        }
    }

    /// Says which blob it is to be: one that the namespace has already, where the client may see it, is not limited by its
    /// quota.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn expect(&mut self, grant: &PushGrant, digest: &Digest) -> Result<()> {
        if let Some((claimed, _)) = &mut self.claimed
            && claimed.is_limited
        {
            let UploadRow { repository, id, .. } = &claimed.row;
            let blob = Some((digest, grant.caller()));
            claimed.allowance = claimed.registry.allowance(repository, id, blob).await?;
        }
        Ok(())
    }

    /// Fails where that many more bytes, which were announced, do not fit.
    ///
    /// # Errors
    /// [`RegistryError::OverQuota`], [`RegistryError::UploadTooLarge`], [`RegistryError::UploadsFull`]; those of the index.
    pub async fn check_quota(&self, announced: u64) -> Result<()> {
        let Some((claimed, _)) = &self.claimed else { return Err(self.unknown()) };
        claimed.allowance.check(self.offset().saturating_add(announced))?;
        claimed.registry.check_quota(self.offset().saturating_add(announced), announced).await
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`RegistryError::OverQuota`], after which the upload is forgotten with this; [`RegistryError::UploadTooLarge`] and
    /// [`RegistryError::UploadsFull`], after which the upload has what came before; those of the storage, after which it is at the offset that was last saved.
    pub async fn append(&mut self, bytes: Bytes) -> Result<()> {
        let Some((claimed, ingest)) = &mut self.claimed else { return Err(self.unknown()) };
        let allowed = claimed.allowance.check(ingest.offset().saturating_add(bytes.len() as u64));
        if allowed.is_err() {
            // What cannot become a blob takes no space of others.
            self.is_resumable = false;
            return allowed;
        }
        claimed.registry.clone().admit(&mut claimed.share, bytes.len() as u64).await?;
        let appended = ingest.append(bytes).await;
        claimed.going.request.note(ingest.offset());
        if appended.is_err()
            && let Some((claimed, _)) = self.claimed.take()
        {
            // What was written in vain takes space.
            claimed.rewind().await;
        }
        Ok(appended?)
    }

    /// Saves what was appended, gives the upload back, and returns its offset. Goes on to its end
    /// even if this future is dropped.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`] when it was cancelled meanwhile, and
    /// [`RegistryError::UploadTakenOver`]; those of the storage.
    pub async fn save(mut self) -> Result<u64> {
        let Some((claimed, ingest)) = self.claimed.take() else { return Err(self.unknown()) };
        claimed.registry.clone().spawn_uncancellable(claimed.save(ingest)).await
    }

    /// Gives the upload back as it was before this claim; what was appended is dropped.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn abandon(mut self) -> Result<()> {
        let Some((claimed, ingest)) = self.claimed.take() else { return Ok(()) };
        claimed.registry.clone().spawn_uncancellable(claimed.abandon(ingest)).await
    }

    /// Gives the upload to the request that goes on with it, and returns what this one is answered.
    pub async fn give_way(mut self, ending: Ending) -> RegistryError {
        let Some((claimed, ingest)) = self.claimed.take() else { return self.unknown() };
        let registry = claimed.registry.clone();
        let gone = registry.spawn_uncancellable(async move {
            let (registry, row) = (claimed.registry.clone(), claimed.row.clone());
            match ending {
                Ending::Saved => drop(claimed.save(ingest).await?),
                Ending::Dropped => claimed.abandon(ingest).await?,
            }
            registry.gone(&row).await
        });
        match gone.await {
            Ok(error) | Err(error) => error,
        }
    }

    /// Ends the upload: its bytes are a blob of the repository if they have that digest. Goes on to
    /// its end even if this future is dropped.
    ///
    /// # Errors
    /// [`RegistryError::DigestMismatch`], after which the upload is at the offset before this
    /// claim; [`RegistryError::UploadTakenOver`] and [`RegistryError::UploadUnknown`] when the claim
    /// is lost.
    pub async fn finish(mut self, digest: &Digest) -> Result<Blob> {
        let Some((claimed, ingest)) = self.claimed.take() else { return Err(self.unknown()) };
        let is_resumable = self.is_resumable;
        claimed
            .registry
            .clone()
            .spawn_uncancellable(claimed.finish(ingest, *digest, is_resumable))
            .await
    }

    fn unknown(&self) -> RegistryError {
        RegistryError::UploadUnknown(self.id.clone())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some((claimed, ingest)) = self.claimed.take() else { return };
        let (id, is_resumable) = (claimed.row.id.clone(), self.is_resumable);
        claimed.registry.runtime.clone().spawn(async move {
            let ended = if is_resumable {
                claimed.save(ingest).await.map(drop)
            } else {
                claimed.forget(ingest).await
            };
            if let Err(error) = ended {
                tracing::info!(upload = id, %error, "failed to save an interrupted upload");
            }
        });
    }
}

impl ClaimedUpload {
    async fn save(self, mut ingest: Box<dyn Ingest>) -> Result<u64> {
        let checkpoint = match ingest.checkpoint().await {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                self.release().await;
                return Err(error.into());
            }
        };
        let (index, offset) = (&self.registry.index, ingest.offset());
        // What others have saved meanwhile counts too, and that it will be a blob which is there is only claimed.
        let saved = if self.is_limited {
            index.save_upload_within_quota(&self.row, &self.claim, offset, &checkpoint, now()).await
        } else {
            index.save_upload(&self.row.id, &self.claim, offset, &checkpoint, now()).await
        };
        match saved {
            Ok(true) => {
                self.share.save();
                Ok(offset)
            }
            Ok(false) => {
                let gone = self.registry.gone(&self.row).await?;
                if matches!(gone, RegistryError::UploadUnknown(_)) {
                    self.registry.discard_upload(&self.row.id).await?;
                    self.share.clear();
                }
                Err(gone)
            }
            Err(error) if error.exceeded().is_some() => {
                self.rewind().await;
                Err(error.into())
            }
            Err(error) => {
                self.release().await;
                Err(error.into())
            }
        }
    }

    async fn abandon(self, mut ingest: Box<dyn Ingest>) -> Result<()> {
        // Only to wait for what is being written; its offset is not recorded.
        let _ = ingest.checkpoint().await;
        drop(ingest);
        // While this drops what was appended, no other process may go on with the upload.
        self.lease.is_finishing.store(true, Ordering::Relaxed);
        let (index, UploadRow { id, .. }) = (&self.registry.index, &self.row);
        match index.renew_upload(id, &self.claim, now().saturating_add(millis(CLAIM))).await {
            Ok(true) => self.rewind().await,
            Ok(false) => {
                if matches!(self.registry.gone(&self.row).await?, RegistryError::UploadUnknown(_)) {
                    self.registry.discard_upload(id).await?;
                    self.share.clear();
                }
            }
            Err(error) => {
                tracing::warn!(upload = id, %error, "failed to drop the bytes of a failed request");
                self.release().await;
            }
        }
        Ok(())
    }

    async fn finish(
        self,
        ingest: Box<dyn Ingest>,
        digest: Digest,
        is_resumable: bool,
    ) -> Result<Blob> {
        let Self { registry, row, claim, .. } = &self;
        // From here on no other process takes the upload over, as long as this one lives.
        self.lease.is_finishing.store(true, Ordering::Relaxed);
        let ahead = now().saturating_add(millis(CLAIM));
        // Over SQLite there is no other process.
        if registry.index.is_shared() && !registry.index.renew_upload(&row.id, claim, ahead).await?
        {
            return Err(registry.gone(row).await?);
        }
        if let Err(error) = registry.recall(&digest).await {
            self.release().await;
            return Err(error);
        }
        let (finished, begun, _storing) = match registry.store_upload(ingest, &digest).await {
            Ok(stored) => stored,
            Err(error) if error.kind == StorageErrorKind::DigestMismatch => {
                tracing::info!(upload = row.id, %error, "refused an upload");
                if is_resumable {
                    self.rewind().await;
                } else {
                    registry.forget_upload(&row.id).await?;
                    self.share.clear();
                }
                return Err(RegistryError::DigestMismatch(digest));
            }
            Err(error) if error.kind == StorageErrorKind::NotFound => {
                tracing::warn!(upload = row.id, %error, "removed an upload whose bytes are missing");
                registry.forget_upload(&row.id).await?;
                self.share.clear();
                return Err(RegistryError::UploadUnknown(row.id.clone()));
            }
            Err(error) => {
                self.release().await;
                return Err(error.into());
            }
        };
        let blob = match registry.row(&finished, vec![digest]).await {
            Ok(blob) => blob,
            Err(error) => {
                self.release().await;
                return Err(error);
            }
        };
        let destination = Destination { repository: &row.repository, identity: self.identity };
        match registry.index.finish_upload(&row.id, claim, destination, &blob, now()).await {
            Ok(true) => {
                self.share.clear();
                registry.expect_stored(&row.repository, &finished.content, begun).await?;
                Ok(registry.own_blob(digest, finished.content))
            }
            Ok(false) => self.refused(&finished.content).await,
            Err(error) if error.kind == IndexErrorKind::Removed => {
                self.refused(&finished.content).await
            }
            Err(error) if error.exceeded().is_some() => {
                // Its bytes are no upload any more.
                registry.forget_refused(&finished.content);
                registry.forget_upload(&row.id).await?;
                self.share.clear();
                Err(error.into())
            }
            Err(error) => {
                self.release().await;
                Err(error.into())
            }
        }
    }

    /// Ends an upload that did not become a blob: its claim was lost, or its repository was removed.
    async fn refused(&self, content: &Content) -> Result<Blob> {
        let Self { registry, row, identity, .. } = self;
        let record = registry.index.repository(&row.repository).await?;
        if identity.is_none() || record.map(|record| record.identity()) == *identity {
            return Err(registry.gone(row).await?);
        }
        registry.forget_refused(content);
        registry.forget_upload(&row.id).await?;
        self.share.clear();
        Err(RegistryError::UploadUnknown(row.id.clone()))
    }

    /// Drops what this request has appended, and gives the upload back.
    async fn rewind(&self) {
        let UploadRow { id, offset, checkpoint, .. } = &self.row;
        match self.registry.storage.resume(id, *offset, checkpoint).await {
            Ok(_) => self.share.clear(),
            Err(error) => tracing::warn!(
                upload = id, %error, "failed to drop the bytes of a failed request"
            ),
        }
        self.release().await;
    }

    async fn forget(self, mut ingest: Box<dyn Ingest>) -> Result<()> {
        // Only to wait for what is being written.
        let _ = ingest.checkpoint().await;
        self.registry.forget_upload(&self.row.id).await?;
        self.share.clear();
        Ok(())
    }

    async fn release(&self) {
        self.registry.release(&self.row.id, &self.claim).await;
    }
}

impl Registry {
    /// Stores what has arrived under a digest, and returns it, when that began, and what keeps bytes from being removed
    /// until its row is there. Before something is stored, and after it was refused, nothing waits for it.
    pub(super) async fn store_upload(
        &self,
        mut ingest: Box<dyn Ingest>,
        digest: &Digest,
    ) -> storage::Result<(Finished, Instant, RwLockReadGuard<'_, ()>)> {
        ingest.prepare(digest).await?;
        let storing = self.storing.read().await;
        let begun = Instant::now();
        Ok((ingest.finish(digest).await?, begun, storing))
    }

    /// Says why a request has lost its upload.
    async fn gone(&self, row: &UploadRow) -> Result<RegistryError> {
        let found = self.index.upload(&key(row)).await?;
        Ok(match found {
            Some(row) => RegistryError::UploadTakenOver { offset: row.offset },
            None => RegistryError::UploadUnknown(row.id.clone()),
        })
    }
}

impl Lease {
    fn begin(registry: &Registry, id: &str, claim: &str, request: &Arc<Request>) -> Self {
        let (index, id, claim) = (registry.index.clone(), id.to_owned(), claim.to_owned());
        let (request, is_finishing) = (Arc::clone(request), Arc::new(AtomicBool::new(false)));
        let finishing = Arc::clone(&is_finishing);
        let renewing = registry.runtime.spawn(async move {
            loop {
                tokio::time::sleep(RENEWAL).await;
                let ahead = if finishing.load(Ordering::Relaxed) { millis(CLAIM) } else { 0 };
                match index.renew_upload(&id, &claim, now().saturating_add(ahead)).await {
                    Ok(true) => {}
                    Ok(false) => {
                        tracing::info!(upload = id, "another process took over an upload");
                        request.end(Ending::Dropped);
                        return;
                    }
                    Err(error) => tracing::warn!(
                        upload = id, %error, "failed to renew the claim on an upload"
                    ),
                }
            }
        });
        Self { renewing: renewing.abort_handle(), is_finishing }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}
