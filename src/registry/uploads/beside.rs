//! Content that comes beside an upload: the whole of a blob, for an upload that has bytes already.

use bytes::Bytes;

use super::super::{Blob, Registry, RegistryError, Result, now};
use super::allowance::Allowance;
use super::new_id;
use super::quota::Share;
use crate::auth::PushGrant;
use crate::index::{Destination, IndexErrorKind};
use crate::oci::Digest;
use crate::storage::{Ingest, StorageErrorKind};

/// Content on its way in that belongs to no upload. Dropped, it is forgotten.
pub struct Beside {
    registry: Registry,
    id: String,
    ingest: Option<Box<dyn Ingest>>,
    share: Share,
    allowance: Allowance,
}

impl Registry {
    /// Begins to take in content that belongs to no upload, and is to have that digest.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn begin_beside(&self, grant: &PushGrant, digest: &Digest) -> Result<Beside> {
        let id = new_id();
        let allowance =
            self.allowance(grant.repository(), &id, Some((digest, grant.caller()))).await?;
        let ingest = Some(self.storage.begin(&id).await?);
        let share = Share::new(&self.quota, 0);
        Ok(Beside { registry: self.clone(), id, ingest, share, allowance })
    }

    /// Returns the blob of that digest, if the repository has it.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn pushed_blob(&self, grant: &PushGrant, digest: &Digest) -> Result<Option<Blob>> {
        let row = self.index.renewed_blob(grant.repository(), digest).await?;
        Ok(row.map(|row| self.own_blob(*digest, super::super::blobs::content(&row))))
    }
}

impl Beside {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`RegistryError::OverQuota`], [`RegistryError::UploadTooLarge`], [`RegistryError::UploadsFull`] and those of the storage, after which nothing
    /// can be appended.
    pub async fn append(&mut self, bytes: Bytes) -> Result<()> {
        let Some(ingest) = &mut self.ingest else {
            return Err(RegistryError::UploadUnknown(self.id.clone()));
        };
        let length = bytes.len() as u64;
        let allowed = match self.allowance.check(self.share.bytes.saturating_add(length)) {
            Ok(()) => self.registry.admit(&mut self.share, length).await,
            refused => refused,
        };
        let appended = match allowed {
            Ok(()) => ingest.append(bytes).await.map_err(Into::into),
            refused => refused,
        };
        if appended.is_err() {
            self.forget();
        }
        appended
    }

    /// Makes it a blob of the repository, if it has that digest; else it is forgotten. Goes on to its
    /// end even if this future is dropped.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`] where the repository was removed meanwhile; those of the storage and the index.
    pub async fn finish(mut self, grant: &PushGrant, digest: &Digest) -> Result<Option<Blob>> {
        let Some(ingest) = self.ingest.take() else { return Ok(None) };
        let (registry, repository) = (self.registry.clone(), grant.repository().clone());
        let (id, digest, share) = (self.id.clone(), *digest, self.take_share());
        let identity = grant.identity();
        let finishing = async move {
            registry.recall(&digest).await?;
            let (finished, begun, _storing) = match registry.store_upload(ingest, &digest).await {
                Ok(stored) => stored,
                Err(error) => {
                    registry.discard_upload(&id).await?;
                    share.clear();
                    return match error.kind {
                        StorageErrorKind::DigestMismatch => Ok(None),
                        _ => Err(error.into()),
                    };
                }
            };
            let blob = registry.row(&finished, vec![digest]).await?;
            let destination = Destination { repository: &repository, identity };
            match registry.index.record_blob(destination, &blob, now()).await {
                Ok(()) => {}
                Err(error) if error.kind == IndexErrorKind::Removed => {
                    registry.forget_refused(&finished.content);
                    share.clear();
                    return Err(RegistryError::UploadUnknown(id));
                }
                Err(error) => {
                    if error.exceeded().is_some() {
                        registry.forget_refused(&finished.content);
                        share.clear();
                    }
                    return Err(error.into());
                }
            }
            share.clear();
            registry.expect_stored(&repository, &finished.content, begun).await?;
            Ok(Some(registry.own_blob(digest, finished.content)))
        };
        self.registry.spawn_uncancellable(finishing).await
    }

    fn forget(&mut self) {
        let Some(mut ingest) = self.ingest.take() else { return };
        let (registry, id, share) = (self.registry.clone(), self.id.clone(), self.take_share());
        self.registry.runtime.spawn(async move {
            // Only to wait for what is being written.
            let _ = ingest.checkpoint().await;
            drop(ingest);
            match registry.discard_upload(&id).await {
                Ok(()) => share.clear(),
                Err(error) => tracing::info!(
                    upload = id, %error, "failed to remove content that was sent without an upload"
                ),
            }
        });
    }

    /// Returns what counts the bytes, for the task that they end with.
    fn take_share(&mut self) -> Share {
        std::mem::replace(&mut self.share, Share::new(&self.registry.quota, 0))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::super::super::crashes::{Client, open};
    use super::*;
    use crate::oci::Algorithm;

    #[tokio::test]
    async fn nothing_is_stored_while_content_is_forgotten() {
        let folder = TempDir::new().unwrap();
        let registry = open(folder.path()).await;
        let grant = Client::new().push().await;
        let digest = Digest::of(Algorithm::Sha256, b"bytes");
        let mut beside = registry.begin_beside(&grant, &digest).await.unwrap();
        beside.append(Bytes::from_static(b"bytes")).await.unwrap();
        let alone = registry.storing.write().await;
        let finishing = beside.finish(&grant, &digest);
        tokio::pin!(finishing);
        let early = timeout(Duration::from_secs(1), &mut finishing).await;
        assert!(early.is_err(), "it does not wait");
        drop(alone);
        assert!(finishing.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn content_is_forgotten_while_an_upload_is_hashed_that_is_refused() {
        let folder = TempDir::new().unwrap();
        let registry = open(folder.path()).await;
        let grant = Client::new().push().await;
        let wrong = Digest::of(Algorithm::Sha512, b"other bytes");
        let id = registry.begin_upload(&grant).await.unwrap();
        let _alone = registry.storing.write().await;
        for _ in 0..2 {
            let mut upload = registry.claim_upload(&grant, &id, None).await.unwrap();
            upload.append(Bytes::from_static(b"bytes")).await.unwrap();
            let finished = timeout(Duration::from_mins(1), upload.finish(&wrong)).await;
            let refused = finished.expect("it waits").map(drop);
            assert!(matches!(refused, Err(RegistryError::DigestMismatch(_))), "{refused:?}");
        }
        let mut beside = registry.begin_beside(&grant, &wrong).await.unwrap();
        beside.append(Bytes::from_static(b"bytes")).await.unwrap();
        let finished = timeout(Duration::from_mins(1), beside.finish(&grant, &wrong)).await;
        assert!(finished.expect("it waits").unwrap().is_none());
    }
}
