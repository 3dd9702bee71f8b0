//! Uploads: content on its way in, one claim at a time.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::blobs::new_blob;
use super::{Blob, Registry, RegistryError, Result, now};
use crate::auth::PushGrant;
use crate::index::Claim;
use crate::oci::{Digest, RepositoryName};
use crate::storage::{Ingest, StorageError, StorageErrorKind};

/// An upload that one request has claimed. Saved or finished, it is given back; dropped before
/// that, what arrived is saved in the background.
pub struct Upload {
    registry: Registry,
    repository: RepositoryName,
    id: String,
    claim: String,
    ingest: Option<Box<dyn Ingest>>,
}

impl Registry {
    /// Begins an upload and returns its name.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn begin_upload(&self, grant: &PushGrant) -> Result<String> {
        let id = Uuid::new_v4().to_string();
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
    /// [`RegistryError::UploadUnknown`]; [`RegistryError::UploadOffset`] when it stands elsewhere or
    /// somebody else is appending.
    pub async fn claim_upload(
        &self,
        grant: &PushGrant,
        id: &str,
        offset: Option<u64>,
    ) -> Result<Upload> {
        let (repository, claim) = (grant.repository().clone(), Uuid::new_v4().to_string());
        // One process owns the index: a claim ends with its request, and none is ever stale.
        let stale_before = i64::MIN;
        let row = match self
            .index
            .claim_upload(&repository, id, offset, &claim, stale_before, now())
            .await?
        {
            Claim::Held(row) => row,
            Claim::Busy(offset) | Claim::Offset(offset) => {
                return Err(RegistryError::UploadOffset { offset });
            }
            Claim::Unknown => return Err(RegistryError::UploadUnknown(id.to_owned())),
        };
        let mut upload =
            Upload { registry: self.clone(), repository, id: id.to_owned(), claim, ingest: None };
        match self.storage.resume(id, row.offset, &row.checkpoint).await {
            Ok(ingest) => upload.ingest = Some(ingest),
            Err(error) if error.kind == StorageErrorKind::NotFound => {
                tracing::warn!(upload = id, %error, "forgot an upload whose bytes are gone");
                upload.forget().await?;
                return Err(RegistryError::UploadUnknown(id.to_owned()));
            }
            Err(error) => {
                self.index.release_upload(id, &upload.claim).await?;
                return Err(error.into());
            }
        }
        Ok(upload)
    }

    /// Ends an upload without a result.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`]
    pub async fn cancel_upload(&self, grant: &PushGrant, id: &str) -> Result<()> {
        let unknown = || RegistryError::UploadUnknown(id.to_owned());
        self.index.upload(grant.repository(), id).await?.ok_or_else(unknown)?;
        self.index.remove_upload(id).await?;
        Ok(self.storage.discard(id).await?)
    }

    /// Forgets uploads that nobody has touched for that long, and bytes in the storage that belong
    /// to none. Returns how many went. Must not run beside requests the first time, since a
    /// manifest on its way in has no upload.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn purge_uploads(&self, older_than: Duration, orphans: bool) -> Result<usize> {
        let age = i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
        let mut purged = self.index.stale_uploads(now().saturating_sub(age)).await?;
        if orphans {
            let known: HashSet<String> = self.index.upload_ids().await?.into_iter().collect();
            purged
                .extend(self.storage.ingests().await?.into_iter().filter(|id| !known.contains(id)));
        }
        for id in &purged {
            self.index.remove_upload(id).await?;
            self.storage.discard(id).await?;
        }
        Ok(purged.len())
    }
}

impl Upload {
    /// Returns how many bytes the upload has with those appended so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.ingest.as_ref().map_or(0, |ingest| ingest.offset())
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// Those of the storage, after which the upload stands where it was last saved.
    pub async fn append(&mut self, bytes: Bytes) -> Result<()> {
        let Some(ingest) = &mut self.ingest else { return Err(self.unknown()) };
        if let Err(error) = ingest.append(bytes).await {
            self.ingest = None;
            self.registry.index.release_upload(&self.id, &self.claim).await?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Saves what was appended, gives the upload back, and returns its offset.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`] when it was cancelled meanwhile; those of the storage.
    pub async fn save(mut self) -> Result<u64> {
        let Some(ingest) = self.ingest.take() else { return Err(self.unknown()) };
        save(&self.registry, &self.id, &self.claim, ingest).await
    }

    /// Gives the upload back as it was before this claim.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn abandon(mut self) -> Result<()> {
        if let Some(mut ingest) = self.ingest.take() {
            // Only to wait for what is being written; where it stands is not recorded.
            let _ = ingest.checkpoint().await;
        }
        Ok(self.registry.index.release_upload(&self.id, &self.claim).await?)
    }

    /// Ends the upload: its bytes are a blob of the repository if they have that digest.
    ///
    /// # Errors
    /// [`RegistryError::DigestMismatch`], after which the upload is gone.
    pub async fn finish(mut self, digest: &Digest) -> Result<Blob> {
        let Some(ingest) = self.ingest.take() else { return Err(self.unknown()) };
        let finished = match ingest.finish(digest).await {
            Ok(finished) => finished,
            Err(error) if error.kind == StorageErrorKind::DigestMismatch => {
                tracing::info!(upload = self.id, %error, "refused an upload");
                self.forget().await?;
                return Err(RegistryError::DigestMismatch(*digest));
            }
            Err(error) => {
                self.registry.index.release_upload(&self.id, &self.claim).await?;
                return Err(error.into());
            }
        };
        let blob = new_blob(&finished, vec![*digest])?;
        self.registry.index.record_blob(&self.repository, &blob, now()).await?;
        self.registry.index.remove_upload(&self.id).await?;
        Ok(Blob { digest: *digest, content: finished.content })
    }

    async fn forget(&self) -> Result<()> {
        self.registry.index.remove_upload(&self.id).await?;
        Ok(self.registry.storage.discard(&self.id).await?)
    }

    fn unknown(&self) -> RegistryError {
        RegistryError::UploadUnknown(self.id.clone())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(ingest) = self.ingest.take() else { return };
        let (registry, id, claim) = (self.registry.clone(), self.id.clone(), self.claim.clone());
        self.registry.runtime.spawn(async move {
            if let Err(error) = save(&registry, &id, &claim, ingest).await {
                tracing::info!(upload = id, %error, "could not save an upload that broke off");
            }
        });
    }
}

async fn save(
    registry: &Registry,
    id: &str,
    claim: &str,
    mut ingest: Box<dyn Ingest>,
) -> Result<u64> {
    let saved = match ingest.checkpoint().await {
        Ok(checkpoint) => {
            registry.index.save_upload(id, claim, ingest.offset(), &checkpoint, now()).await?
        }
        Err(error) => {
            registry.index.release_upload(id, claim).await?;
            return Err(error.into());
        }
    };
    if saved {
        return Ok(ingest.offset());
    }
    registry.storage.discard(id).await?;
    Err(RegistryError::UploadUnknown(id.to_owned()))
}

impl Registry {
    /// Takes a small document in as content.
    pub(super) async fn keep(
        &self,
        bytes: Bytes,
    ) -> std::result::Result<crate::storage::Finished, StorageError> {
        let digest = crate::oci::CanonicalDigest::of(&bytes).into();
        let id = Uuid::new_v4().to_string();
        let mut ingest = self.storage.begin(&id).await?;
        let kept = match ingest.append(bytes).await {
            Ok(()) => ingest.finish(&digest).await,
            Err(error) => Err(error),
        };
        if kept.is_err() {
            self.storage.discard(&id).await?;
        }
        kept
    }
}
