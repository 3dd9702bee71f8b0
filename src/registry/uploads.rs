//! Uploads: content on its way in, one claim at a time.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::blobs::new_blob;
use super::{Blob, Registry, RegistryError, Result, now};
use crate::auth::PushGrant;
use crate::index::Claim;
use crate::oci::{Digest, RepositoryName};
use crate::storage::{Ingest, StorageErrorKind};

/// How long a claim is good for; a process that died holds none for longer.
const CLAIM: Duration = Duration::from_mins(1);

/// How often it is renewed while its request lives.
const RENEWAL: Duration = Duration::from_secs(20);

/// How old an upload has to be that no process has noted, to be taken for left behind.
const ORPHAN: Duration = Duration::from_hours(24);

/// An upload that one request has claimed. Saved or finished, it is given back; dropped before
/// that, what arrived is saved in the background.
pub struct Upload {
    held: Option<(Held, Box<dyn Ingest>)>,
    id: String,
    is_resumable: bool,
}

/// A claim, good for as long as this lives.
struct Held {
    registry: Registry,
    repository: RepositoryName,
    id: String,
    claim: String,
    _lease: Lease,
}

/// Renews a claim until it is dropped.
struct Lease(AbortHandle);

impl Registry {
    /// Begins an upload and returns its name.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn begin_upload(&self, grant: &PushGrant) -> Result<String> {
        let id = new_id();
        let owner = grant.identity().user.as_deref().unwrap_or_default();
        self.index.create_upload(&id, grant.repository(), owner, now()).await?;
        Ok(id)
    }

    /// Returns how many bytes an upload has.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`]
    pub async fn upload_offset(&self, grant: &PushGrant, id: &str) -> Result<u64> {
        let upload = self.index.upload(grant.repository(), id).await?;
        Ok(upload.ok_or_else(|| RegistryError::UploadUnknown(id.to_owned()))?.offset)
    }

    /// Claims an upload to append to it; at that offset, if one is given.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`]; [`RegistryError::UploadOffset`] when it stands elsewhere;
    /// [`RegistryError::UploadBusy`] when somebody else is appending.
    pub async fn claim_upload(
        &self,
        grant: &PushGrant,
        id: &str,
        offset: Option<u64>,
    ) -> Result<Upload> {
        let (registry, repository, id) = (self.clone(), grant.repository().clone(), id.to_owned());
        self.to_its_end(async move { registry.claim(repository, id, offset).await }).await
    }

    async fn claim(
        &self,
        repository: RepositoryName,
        id: String,
        offset: Option<u64>,
    ) -> Result<Upload> {
        let claim = Uuid::new_v4().to_string();
        let claimed = self
            .index
            .claim_upload(&repository, &id, offset, &claim, claimed_since(), now())
            .await?;
        let row = match claimed {
            Claim::Held(row) => row,
            Claim::Busy(offset) => return Err(RegistryError::UploadBusy { offset }),
            Claim::Offset(offset) => return Err(RegistryError::UploadOffset { offset }),
            Claim::Unknown => return Err(RegistryError::UploadUnknown(id)),
        };
        match self.storage.resume(&id, row.offset, &row.checkpoint).await {
            Ok(ingest) => {
                let lease = Lease::begin(self, &id, &claim);
                let registry = self.clone();
                let held = Held { registry, repository, id: id.clone(), claim, _lease: lease };
                Ok(Upload { held: Some((held, ingest)), id, is_resumable: true })
            }
            Err(error) if error.kind == StorageErrorKind::NotFound => {
                tracing::warn!(upload = id, %error, "forgot an upload whose bytes are gone");
                self.forget_upload(&id).await?;
                Err(RegistryError::UploadUnknown(id))
            }
            Err(error) => {
                self.release(&id, &claim).await;
                Err(error.into())
            }
        }
    }

    /// Gives a claim back. It lapses anyway if that fails.
    async fn release(&self, id: &str, claim: &str) {
        if let Err(error) = self.index.release_upload(id, claim).await {
            tracing::warn!(upload = id, %error, "could not give back the claim on an upload");
        }
    }

    async fn forget_upload(&self, id: &str) -> Result<()> {
        self.index.remove_upload(id).await?;
        Ok(self.storage.discard(id).await?)
    }

    /// Ends an upload without a result.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`]
    pub async fn cancel_upload(&self, grant: &PushGrant, id: &str) -> Result<()> {
        let unknown = || RegistryError::UploadUnknown(id.to_owned());
        self.index.upload(grant.repository(), id).await?.ok_or_else(unknown)?;
        let (registry, id) = (self.clone(), id.to_owned());
        self.to_its_end(async move { registry.forget_upload(&id).await }).await
    }

    /// Forgets uploads that nobody has touched for that long, and bytes in the storage that belong
    /// to none. Returns how many went. The first time it must not run beside requests of this process,
    /// since a manifest on its way in has no upload; of other processes that share the storage only what
    /// was begun a day ago is taken for left behind.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn purge_uploads(&self, older_than: Duration, orphans: bool) -> Result<usize> {
        let age = i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
        let before = now().saturating_sub(age);
        let mut purged = self.index.purge_uploads(before, claimed_since()).await?;
        if orphans {
            let known: HashSet<String> = self.index.upload_ids().await?.into_iter().collect();
            let is_alone = !self.storage.is_shared();
            let is_orphan = |id: &String| !known.contains(id) && (is_alone || is_old(id));
            purged.extend(self.storage.ingests().await?.into_iter().filter(is_orphan));
        }
        for id in &purged {
            self.storage.discard(id).await?;
        }
        Ok(purged.len())
    }
}

impl Upload {
    /// Returns how many bytes the upload has with those appended so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.held.as_ref().map_or(0, |(_, ingest)| ingest.offset())
    }

    /// Makes it an upload that nobody can come back to: dropped, it is forgotten with its bytes.
    pub fn forget_on_drop(&mut self) {
        self.is_resumable = false;
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// Those of the storage, after which the upload stands where it was last saved.
    pub async fn append(&mut self, bytes: Bytes) -> Result<()> {
        let Some((_, ingest)) = &mut self.held else { return Err(self.unknown()) };
        let appended = ingest.append(bytes).await;
        if appended.is_err()
            && let Some((held, _)) = self.held.take()
        {
            held.release().await;
        }
        Ok(appended?)
    }

    /// Saves what was appended, gives the upload back, and returns its offset. Goes on to its end
    /// even if this future is dropped.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`] when it was cancelled meanwhile; those of the storage.
    pub async fn save(mut self) -> Result<u64> {
        let Some((held, ingest)) = self.held.take() else { return Err(self.unknown()) };
        held.registry.clone().to_its_end(held.save(ingest)).await
    }

    /// Gives the upload back as it was before this claim.
    ///
    /// # Errors
    /// None so far.
    pub async fn abandon(mut self) -> Result<()> {
        let Some((held, mut ingest)) = self.held.take() else { return Ok(()) };
        let registry = held.registry.clone();
        let abandoned = registry.to_its_end(async move {
            // Only to wait for what is being written; where it stands is not recorded.
            let _ = ingest.checkpoint().await;
            held.release().await;
            Ok(())
        });
        abandoned.await
    }

    /// Ends the upload: its bytes are a blob of the repository if they have that digest. Goes on to
    /// its end even if this future is dropped.
    ///
    /// # Errors
    /// [`RegistryError::DigestMismatch`], after which the upload is gone.
    pub async fn finish(mut self, digest: &Digest) -> Result<Blob> {
        let Some((held, ingest)) = self.held.take() else { return Err(self.unknown()) };
        held.registry.clone().to_its_end(held.finish(ingest, *digest)).await
    }

    fn unknown(&self) -> RegistryError {
        RegistryError::UploadUnknown(self.id.clone())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some((held, ingest)) = self.held.take() else { return };
        let (id, is_resumable) = (held.id.clone(), self.is_resumable);
        held.registry.runtime.clone().spawn(async move {
            let ended = if is_resumable {
                held.save(ingest).await.map(drop)
            } else {
                held.forget(ingest).await
            };
            if let Err(error) = ended {
                tracing::info!(upload = id, %error, "could not put away an upload that broke off");
            }
        });
    }
}

impl Held {
    async fn save(self, mut ingest: Box<dyn Ingest>) -> Result<u64> {
        let checkpoint = match ingest.checkpoint().await {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                self.release().await;
                return Err(error.into());
            }
        };
        let (index, offset) = (&self.registry.index, ingest.offset());
        match index.save_upload(&self.id, &self.claim, offset, &checkpoint, now()).await {
            Ok(true) => Ok(offset),
            Ok(false) => {
                // Cancelled, if nobody has taken over a claim that lapsed.
                if index.upload(&self.repository, &self.id).await?.is_none() {
                    self.registry.storage.discard(&self.id).await?;
                }
                Err(RegistryError::UploadUnknown(self.id))
            }
            Err(error) => {
                self.release().await;
                Err(error.into())
            }
        }
    }

    async fn finish(self, ingest: Box<dyn Ingest>, digest: Digest) -> Result<Blob> {
        let Self { registry, repository, id, claim, _lease } = self;
        let finished = match ingest.finish(&digest).await {
            Ok(finished) => finished,
            Err(error) if error.kind == StorageErrorKind::DigestMismatch => {
                tracing::info!(upload = id, %error, "refused an upload");
                registry.forget_upload(&id).await?;
                return Err(RegistryError::DigestMismatch(digest));
            }
            Err(error) if error.kind == StorageErrorKind::NotFound => {
                registry.forget_upload(&id).await?;
                return Err(RegistryError::UploadUnknown(id));
            }
            Err(error) => {
                registry.release(&id, &claim).await;
                return Err(error.into());
            }
        };
        let recorded = match new_blob(&finished, vec![digest]) {
            Ok(blob) => registry.index.record_blob(&repository, &blob, now()).await,
            Err(error) => return Err(error),
        };
        if let Err(error) = recorded {
            registry.release(&id, &claim).await;
            return Err(error.into());
        }
        registry.index.remove_upload(&id).await?;
        Ok(Blob::here(digest, finished.content))
    }

    async fn forget(self, mut ingest: Box<dyn Ingest>) -> Result<()> {
        // Only to wait for what is being written.
        let _ = ingest.checkpoint().await;
        self.registry.forget_upload(&self.id).await
    }

    async fn release(&self) {
        self.registry.release(&self.id, &self.claim).await;
    }
}

impl Lease {
    fn begin(registry: &Registry, id: &str, claim: &str) -> Self {
        let (index, id, claim) = (registry.index.clone(), id.to_owned(), claim.to_owned());
        let renewing = registry.runtime.spawn(async move {
            loop {
                tokio::time::sleep(RENEWAL).await;
                if let Err(error) = index.renew_upload(&id, &claim, now()).await {
                    tracing::warn!(upload = id, %error, "could not renew the claim on an upload");
                }
            }
        });
        Self(renewing.abort_handle())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Makes a name for an upload, which tells when that was.
pub(super) fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// Tells whether an upload was begun so long ago that nobody is at work on it who has not noted it.
fn is_old(id: &str) -> bool {
    let begun = Uuid::try_parse(id).ok().and_then(|id| id.get_timestamp());
    begun.is_some_and(|begun| {
        let (seconds, _) = begun.to_unix();
        Duration::from_millis(now().unsigned_abs()) > Duration::from_secs(seconds) + ORPHAN
    })
}

/// Returns the time since when a claim must have been renewed to be good.
fn claimed_since() -> i64 {
    now().saturating_sub(i64::try_from(CLAIM.as_millis()).unwrap_or(i64::MAX))
}
